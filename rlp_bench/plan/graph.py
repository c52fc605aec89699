"""A method's graph of stages, validated before anything runs.

`@method` functions connect stages on a `Bench`; `build_plan` returns the nodes in execution order, each with the
fingerprint of its artifact: trainer and version, non-default settings, inputs, seed, and the recipe sections in the
trainer's `uses`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, RecipeError, nearest
from rlp_bench.api.types import Training
from rlp_bench.recipes.base_checkpoint import base_artifact
from rlp_bench.recipes.data_sources import data_keys, open_source
from rlp_bench.recipes.data_sources import identity as data_identity
from rlp_bench.recipes.load import load_trainer
from rlp_bench.recipes.schema import Recipe
from rlp_bench.recipes.trainer_settings import build, canonical, changed_settings, setting_names
from rlp_bench.store.store import fingerprint

USABLE = ("prompting", "annotator", "engine", "training")
"""Recipe sections allowed in a trainer's `uses`; a default [training] enters no fingerprint."""


@dataclass(frozen=True)
class Handle:
    """The future output of a stage; passed to other stages as input."""

    label: str
    kind: str
    fingerprint: str
    """The node's fingerprint; empty if its stage is invalid."""


@dataclass(frozen=True)
class Node:
    """One stage of a plan."""

    label: str
    """"ppo", and "ppo-2" for a method's second PPO stage."""
    kind: str
    trainer: str
    """A trainer's name, "checkpoint" for the base, or "data"."""
    fingerprint: str
    identity: Mapping[str, Any]
    """The value that the fingerprint is computed from."""
    inputs: Mapping[str, Handle | list[Handle]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """All settings, defaults included."""
    instance: Any = None
    """The trainer with its settings; for "data", the data source; for "checkpoint", the artifact."""
    pinned: frozenset[str] = frozenset()
    """Settings that the method itself gives; they are not tuned."""

    def sources(self) -> Iterator[Handle]:
        """Yields the handles of all inputs, in order."""
        for given in self.inputs.values():
            yield from given if isinstance(given, list) else [given]


@dataclass(frozen=True)
class Plan:
    """The stages that a method's final policy needs, in execution order."""

    recipe: Recipe
    method: str
    seed: int
    nodes: tuple[Node, ...]
    final: Node
    tuned: Mapping[str, Any] | None = None
    """Tuned settings of the last stage ({} if the method is not tuned); None: without [tuning]."""

    @property
    def group(self) -> str:
        """Name of the group of comparable runs: the recipe's id, with "+tuned" where [tuning] was applied."""
        return self.recipe.id if self.tuned is None else f"{self.recipe.id}+tuned"


def method(name: str, source: str = "") -> Callable[[Callable[..., Handle]], Callable[..., Handle]]:
    """Decorator that sets a method's name and the paper it comes from."""

    def mark(function: Callable[..., Handle]) -> Callable[..., Handle]:
        function.name, function.source = name, source  # type: ignore[attr-defined]
        return function

    return mark


class Bench:
    """Builds a method's graph: the recipe's standard stages, and `fit` to add further ones. It runs nothing."""

    def __init__(self, recipe: Recipe, method: str, seed: int) -> None:
        self.recipe, self.method, self.seed = recipe, method, seed
        self.nodes: list[Node] = []
        self.problems: list[str] = []
        self._given: dict[str, Handle] = {}
        self._sections: dict[str, Any] = {}

    @property
    def base(self) -> Handle:
        """The base checkpoint."""
        return self._once("base", self._add_base)

    @property
    def sft(self) -> Handle:
        """The base model fine-tuned on the recipe's demonstrations (trainer "sft")."""
        return self._once("sft", lambda: self._standard("sft", self.base, self.data("sft")))

    @property
    def preferences(self) -> Handle:
        """Pairs of SFT samples labeled by the annotator (trainer "preferences"), or the pairs of the recipe's file."""
        if self.recipe.data.preferences_from:
            return self._once(
                "preferences",
                lambda: self.fit("import_preferences", init=self.base, pairs=self.data("pairs")),
            )
        return self._once(
            "preferences", lambda: self._standard("preferences", self.sft, self.data("preferences"))
        )

    @property
    def unlabeled(self) -> Handle:
        """Prompts without labels, for policy training."""
        return self.data("unlabeled")

    @property
    def dev(self) -> Handle:
        """Prompts for model selection, never for training; disjoint from evaluation items."""
        return self.data("dev")

    def setting(self, trainer: str, name: str) -> Any:
        """A setting of a trainer under this recipe, for methods whose graph depends on it."""
        found = load_trainer(trainer)
        instance = self._instance(f"method {self.method}: {trainer}", trainer, found, {})
        return getattr(instance or found(), name)

    def data(self, split: str) -> Handle:
        """A training split of the recipe's data source, or of a file that it names."""
        return self._once(f"data-{split}", lambda: self._add_data(split))

    def fit(self, trainer: str, **given: Any) -> Handle:
        """Adds a stage; handles (or lists of handles) are its inputs, all other arguments its settings."""
        label = self._label(trainer)
        where = f"method {self.method}: {label}"
        try:
            found: Any = load_trainer(trainer)
        except BenchError as error:
            self.problems.append(f"{where}: {error}")
            return Handle(label, "unknown", "")
        before = len(self.problems)
        inputs = self._inputs(where, found, given)
        pinned = {k: v for k, v in given.items() if k not in inputs and not (v is None and k in found.inputs)}
        instance = self._instance(where, trainer, found, pinned)
        if len(self.problems) > before or instance is None or _broken(inputs):
            return Handle(label, found.output, "")
        return self._add_stage(label, trainer, inputs, instance, frozenset(pinned))

    def changed(self, stage: Handle, settings: Mapping[str, Any]) -> Handle:
        """A copy of the stage with changed settings; the original stays in the plan if another stage needs it."""
        node = next(node for node in self.nodes if node.fingerprint == stage.fingerprint)
        instance, faults = build(type(node.instance), {**node.settings, **settings})
        self.problems += [f"method {self.method}: {node.label}: {name}: {fault}" for name, fault in faults]
        return stage if faults else self._add_stage(node.label, node.trainer, dict(node.inputs), instance)

    def _once(self, name: str, make: Callable[[], Handle]) -> Handle:
        if name not in self._given:
            self._given[name] = make()
        return self._given[name]

    def _label(self, trainer: str) -> str:
        labels = {node.label for node in self.nodes}
        number = 1
        while (label := trainer if number == 1 else f"{trainer}-{number}") in labels:
            number += 1
        return label

    def _add(self, node: Node) -> Handle:
        """Adds a node to the plan; equal stages share one node."""
        same = next((other for other in self.nodes if other.fingerprint == node.fingerprint), None)
        if same is None:
            self.nodes.append(node)
        kept = same or node
        return Handle(kept.label, kept.kind, kept.fingerprint)

    def _add_base(self) -> Handle:
        try:
            base = base_artifact(self.recipe.base.checkpoint)
        except BenchError as error:
            self.problems.append(str(error))
            return Handle("base", "policy", "")
        return self._add(
            Node("base", "policy", "checkpoint", base.fingerprint, base.manifest["provenance"], instance=base)
        )

    def _add_data(self, split: str) -> Handle:
        where, key, kind = data_keys(split)
        reference, count = getattr(self.recipe.data, where), getattr(self.recipe.data, key)
        label = f"data-{split}"
        try:
            source = open_source(reference)
            identity = data_identity(reference, source, split, count)
        except BenchError as error:
            self.problems.append(f"data.{where}: {error}")
            return Handle(label, kind, "")
        if count == 0:
            self.problems.append(f"data.{key}: is 0, and method {self.method} needs this split; set a count")
            return Handle(label, kind, "")
        return self._add(Node(label, kind, "data", fingerprint(identity), identity, instance=source))

    def _standard(self, trainer: str, policy: Handle, data: Handle) -> Handle:
        """A standard stage of the recipe; policy and data are assigned to its inputs by kind."""
        try:
            inputs = load_trainer(trainer).inputs  # type: ignore[attr-defined]
        except BenchError:
            return self.fit(trainer)  # reports the error
        by_kind = {kind.rstrip("*?"): name for name, kind in inputs.items() if not kind.endswith("?")}
        given = {by_kind[handle.kind]: handle for handle in (policy, data) if handle.kind in by_kind}
        return self.fit(trainer, **given)

    def _inputs(self, where: str, trainer: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """The handles in `given`; reports those whose kinds do not match the trainer's `inputs`."""
        inputs: dict[str, Any] = {}
        for name, value in given.items():
            if not _is_handle(value):
                continue
            if name not in trainer.inputs:
                self.problems.append(f'{where}: unknown input "{name}"; {nearest(name, trainer.inputs)}')
                inputs[name] = value
                continue
            kind = trainer.inputs[name].rstrip("*?")
            many = "*" in trainer.inputs[name]
            handles = list(value) if isinstance(value, list | tuple) else [value]
            if not many and isinstance(value, list | tuple):
                self.problems.append(f'{where}: input "{name}": takes one {kind}, {len(handles)} were given')
            self.problems += [
                f'{where}: input "{name}": expected {kind}, "{handle.label}" is {handle.kind}'
                for handle in handles
                if handle.kind not in (kind, "unknown")
            ]
            inputs[name] = handles if many else handles[0]
        for name, kind in trainer.inputs.items():
            if name not in inputs and not kind.endswith("?"):
                given_text = "None was given" if name in given and given[name] is None else "is missing"
                self.problems.append(f'{where}: input "{name}" ({kind.rstrip("*")}) {given_text}')
        return {name: inputs[name] for name in (*trainer.inputs, *inputs) if name in inputs}

    def _instance(self, where: str, name: str, trainer: type, pinned: Mapping[str, Any]) -> Any:
        """The trainer with its settings: the method's override the recipe's, which override the defaults."""
        from_recipe = {**inherited(self.recipe, trainer), **self.recipe.stages.get(name, {})}
        instance, faults = build(trainer, {**from_recipe, **pinned})
        for setting, message in faults:
            origin = where if setting in pinned or not setting else f"stages.{name}"
            self.problems.append(f"{origin}: {setting}: {message}" if setting else f"{origin}: {message}")
        for setting, value in pinned.items():
            key = f"stages.{name}.{setting}"
            if key in self.recipe.overridden and from_recipe.get(setting) != value:
                self.problems.append(
                    f"--set {key}: method {self.method} sets {setting} = {value!r} itself; remove the "
                    "override, or write a method with another value"
                )
        return instance

    def _add_stage(
        self,
        label: str,
        trainer: str,
        inputs: dict[str, Any],
        instance: Any,
        pinned: frozenset[str] = frozenset(),
    ) -> Handle:
        identity = {
            "trainer": trainer,
            "version": instance.version,
            "settings": changed_settings(instance),
            "inputs": {name: _fingerprints(given) for name, given in inputs.items()},
            "seed": self.seed,
            "recipe": {
                section: self._section(section)
                for section in instance.uses
                if section != "training" or self.recipe.stage_training() != Training()
            },
        }
        node = Node(
            label,
            instance.output,
            trainer,
            fingerprint(identity),
            identity,
            inputs,
            canonical(instance),
            instance,
            pinned,
        )
        return self._add(node)

    def _section(self, name: str) -> Any:
        """A recipe section for fingerprints, with the versions of the plug-ins that it names."""
        if name not in self._sections:
            self._sections[name] = self._describe(name)
        return self._sections[name]

    def _describe(self, name: str) -> Any:
        if name not in USABLE:
            self.problems.append(f'a trainer\'s `uses` names "{name}"; {nearest(name, USABLE)}')
            return None
        section = getattr(self.recipe, name).model_dump(mode="json")
        if name == "annotator":
            judge = registry.resolve("judge", self.recipe.annotator.judge)
            return {**section, "version": judge.version, "manifest": dict(judge.manifest())}
        if name == "engine":
            low = {"precision": "bf16"} if self.recipe.training.precision == "bf16" else {}
            return {
                **section,
                "version": getattr(registry.load("engine", section["name"]), "version", ""),
                **low,
            }
        return section


def inherited(recipe: Recipe, trainer: type) -> dict[str, Any]:
    """The recipe's settings of the stage that a trainer is a variant of (`settings_of`), where it has them too."""
    names = setting_names(trainer)
    others = recipe.stages.get(getattr(trainer, "settings_of", ""), {})
    return {name: value for name, value in others.items() if name in names}


def _fingerprints(given: Handle | Sequence[Handle]) -> Any:
    return given.fingerprint if isinstance(given, Handle) else [handle.fingerprint for handle in given]


def _is_handle(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(each, Handle) for each in value)
    return isinstance(value, Handle)


def _broken(inputs: Mapping[str, Any]) -> bool:
    """Whether the stage of an input is invalid (already reported)."""
    flat = [h for given in inputs.values() for h in (given if isinstance(given, list) else [given])]
    return not all(handle.fingerprint for handle in flat)


def build_plan(
    recipe: Recipe,
    method_name: str,
    seed: int,
    tuned: Mapping[str, Any] | None = None,
    kind: type[Bench] = Bench,
) -> Plan:
    """The validated plan of a method under a recipe.

    Args:
        tuned: settings that override all others in the last stage; earlier stages, shared by methods, do not change.
        kind: the class of the bench that the method builds its graph on.

    Raises:
        UnknownName: the method is unknown.
        RecipeError: all errors of the plan, one per line.
    """
    function = registry.load("method", method_name)
    bench = kind(recipe, method_name, seed)
    final = function(bench)
    if not isinstance(final, Handle):
        bench.problems.append(
            f"method {method_name}: returned {type(final).__name__}, not the final policy's handle"
        )
    elif final.kind not in ("policy", "unknown"):
        bench.problems.append(
            f'method {method_name}: returned "{final.label}", which is {final.kind}, not a policy'
        )
    replaced = final
    if tuned and not bench.problems:
        final = bench.changed(final, tuned)
    if bench.problems:
        raise RecipeError("\n".join(dict.fromkeys(bench.problems)))
    by_fingerprint = {node.fingerprint: node for node in bench.nodes}
    _check_used(bench, by_fingerprint, final, replaced)
    needed = _ancestors(by_fingerprint, final.fingerprint)
    nodes = tuple(node for node in bench.nodes if node.fingerprint in needed)
    return Plan(recipe, method_name, seed, nodes, by_fingerprint[final.fingerprint], tuned)


def _check_used(bench: Bench, nodes: Mapping[str, Node], final: Handle, replaced: Handle) -> None:
    """Raises RecipeError for a stage whose output nothing uses; `replaced`: the last stage before it was tuned."""
    used = _ancestors(nodes, final.fingerprint) | _ancestors(nodes, replaced.fingerprint)
    unused = [n for n in bench.nodes if n.fingerprint not in used and n.trainer not in ("data", "checkpoint")]
    if unused:
        last = unused[-1]
        raise RecipeError(
            f"method {bench.method}: {last.label}: no later stage uses its {last.kind}; pass it on, or "
            "remove the stage"
        )


def _ancestors(nodes: Mapping[str, Node], final: str) -> set[str]:
    """Fingerprints of a node and all its ancestors; unused stages are left out."""
    needed: set[str] = set()
    waiting = [final]
    while waiting:
        one = waiting.pop()
        if one not in needed:
            needed.add(one)
            waiting += [handle.fingerprint for handle in nodes[one].sources()]
    return needed
