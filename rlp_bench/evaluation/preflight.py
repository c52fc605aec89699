"""Checks, before anything is trained, everything that would stop a run later.

One function for `plan`, `validate`, `run` and `matrix`: rows of every data split, evaluation items, judges (options,
key, and whether the server answers), what stages load besides their inputs, tokenizer and template, disk space.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rlp_bench.api import escape, registry
from rlp_bench.api.errors import BenchError, DataError, RecipeError, lines_of
from rlp_bench.api.types import Item, Question
from rlp_bench.evaluation.kinds.table import kind_of
from rlp_bench.evaluation.resolve import load_judge, load_suite
from rlp_bench.plan.disk import bytes_free, bytes_needed
from rlp_bench.plan.estimate.estimate import predict
from rlp_bench.plan.graph import Bench, Node, Plan
from rlp_bench.recipes.base_checkpoint import locate
from rlp_bench.recipes.data_sources import open_source, read_split
from rlp_bench.recipes.prompt_check import check_prompting
from rlp_bench.recipes.schema import EngineSection, Recipe
from rlp_bench.run.runner import is_done
from rlp_bench.store.store import Store

Questions = list[tuple[str, str]]
"""(instruction, input) of the items that a judge will be asked about."""


@dataclass(frozen=True)
class Check:
    """One check and its outcome."""

    what: str
    found: str = ""
    error: str = ""
    """Empty: passed."""


@dataclass(frozen=True)
class Scope:
    """What a command is about to do."""

    recipe: Recipe
    store: Store
    plans: Sequence[Plan] = ()
    """The plans to run; (): the recipe is checked for any method."""
    evaluate: bool = True
    suites: Sequence[str] | None = None
    """Aliases to evaluate; None: the recipe's."""
    reach: bool = True
    """Whether to contact judges' servers and hubs."""

    def missing(self) -> dict[str, Node]:
        """Fingerprint -> stage without an artifact."""
        nodes = [node for plan in self.plans for node in plan.nodes]
        return {node.fingerprint: node for node in nodes if not is_done(node, self.store)}

    def aliases(self) -> list[str]:
        """The suites to evaluate."""
        names = self.suites or self.recipe.evaluation.suites or self.recipe.suites
        return list(dict.fromkeys(names)) if self.evaluate else []


def preflight(scope: Scope) -> list[Check]:
    """The outcome of every check; nothing is written and no completion is requested.

    For finished runs there is nothing to check: their evaluation may be in the cache, so that no server is needed.
    """
    missing = scope.missing()
    if scope.plans and not missing:
        return []
    checks = list(_data(scope, missing))
    questions: Questions = []
    checks += _suites(scope, questions)
    checks += _judges(scope, missing, questions)
    checks += _stages(scope, missing)
    checks += _engines(scope)
    checks += _checkpoint(scope)
    checks += _disk(scope, missing)
    return checks


def require(checks: Sequence[Check]) -> None:
    """Raises RecipeError with the errors of all failed checks, one per line."""
    errors = [line for check in checks for line in check.error.splitlines()]
    if errors:
        raise RecipeError("\n".join(dict.fromkeys(errors)))


def as_json(checks: Sequence[Check]) -> list[dict[str, str]]:
    """The checks as JSON values."""
    return [asdict(check) for check in checks]


def _outcome(what: str, check: Callable[..., Any], *given: Any, **named: Any) -> Check:
    try:
        return Check(what, str(check(*given, **named)))
    except BenchError as error:
        return Check(what, error="\n".join(escape.line(line) for line in lines_of(error)))


def _data(scope: Scope, missing: dict[str, Node]) -> Iterator[Check]:
    """The rows of each split that is not in the store yet."""
    nodes: Collection[Node] = missing.values()
    if not scope.plans:
        bench = Bench(scope.recipe, "any", 0)
        for split in ("sft", "preferences", "unlabeled", "dev"):
            if getattr(scope.recipe.data, split) and not (
                split == "preferences" and scope.recipe.data.preferences_from
            ):
                bench.data(split)
        if scope.recipe.data.preferences_from:
            bench.data("pairs")
        yield from (Check("data", error=problem) for problem in bench.problems)
        nodes = bench.nodes
    for node in nodes:
        if node.trainer == "data":
            given = node.identity
            yield _outcome(
                node.label, _rows, given["suite"], given["split"], given["n"], scope.reach, node.instance
            )
    reference, pairs = scope.recipe.data.source, scope.recipe.evaluation.dev_pairs
    if scope.aliases() and pairs:
        yield _outcome("evaluation.dev_pairs", _dev_rows, reference, pairs, scope.reach)


def _dev_rows(reference: str, pairs: int, reach: bool) -> str:
    try:
        return _rows(reference, "dev", pairs, reach)
    except BenchError as error:
        raise DataError(f"evaluation.dev_pairs={pairs}: {error}") from None


def _rows(reference: str, split: str, count: int, reach: bool, source: Any = None) -> str:
    """`source`: the opened data source; None: it is opened here."""
    source = open_source(reference) if source is None else source
    if not reach and getattr(source, "remote", False):
        return f"{count} rows of {reference}: not checked"
    available = getattr(source, "available", None)
    if available is not None:
        there = available(split)
        if there < count:
            raise DataError(f'data.{split}: {count} rows requested, "{reference}" has {there}')
        return f"{count} rows"
    rows, drops, _ = read_split(reference, source, split, count)
    return f"{len(rows)} rows" + (f", {len(drops)} left out" if drops else "")


def _suites(scope: Scope, questions: Questions) -> Iterator[Check]:
    """The items of each suite; adds those that are judged to `questions`."""
    for alias in scope.aliases():
        yield _outcome(f"suite {alias}", _items, scope, alias, questions)


def _items(scope: Scope, alias: str, questions: Questions) -> str:
    reference = scope.recipe.suites.get(alias, alias)
    if not scope.reach and "hf:/" in reference:
        return f"{reference}: not checked"
    suite = load_suite(alias, scope.recipe.suites)
    kind = kind_of(alias, suite.kind)
    items: Sequence[Any] = suite.items()
    if not items:
        raise DataError(f'suite "{alias}": has no items; give a file with items')
    if kind.pairs is not None:
        questions += [(item.instruction, item.input) for item in items if isinstance(item, Item)]
    return f"{len(items)} {'questions' if isinstance(items[0], Question) else 'items'}"


def _judges(scope: Scope, missing: dict[str, Node], questions: Questions) -> Iterator[Check]:
    """The judges of the evaluation, and the annotator where a stage uses it."""
    recipe = scope.recipe
    if scope.aliases():
        for name in dict.fromkeys((recipe.judge.name, *recipe.evaluation.second_judges)):
            yield _outcome(f"judge {name}", _judge, load_judge, name, questions, scope.reach)
    asked = any("annotator" in getattr(node.instance, "uses", ()) for node in missing.values())
    if asked or (not scope.plans and recipe.annotator.judge):
        name = recipe.annotator.judge
        yield _outcome(
            f"annotator {name}", _judge, lambda name: registry.resolve("judge", name), name, [], scope.reach
        )


def _judge(load: Callable[[str], Any], name: str, questions: Questions, reach: bool) -> str:
    judge = load(name)
    check = getattr(judge, "check", None)
    return "no server needed" if check is None else str(check(questions, reach=reach))


def _stages(scope: Scope, missing: dict[str, Node]) -> Iterator[Check]:
    """What stages load besides their inputs, by the optional method `check` of their trainers."""
    for node in missing.values():
        check = getattr(node.instance, "check", None)
        if node.trainer not in ("data", "checkpoint") and check is not None:
            yield _outcome(node.label, check, reach=scope.reach)


def _engines(scope: Scope) -> Iterator[Check]:
    """Engines besides the default one need packages that rlp-bench does not require."""
    names = {scope.recipe.engine.name, scope.recipe.training.sampler} - {EngineSection().name}
    for name in sorted(names):
        yield _outcome(f"engine {name}", _installed, name, scope.recipe)


def _installed(name: str, recipe: Recipe) -> str:
    registry.load("engine", name)(**recipe.engine_options)
    return "installed"


def _checkpoint(scope: Scope) -> Iterator[Check]:
    folder = locate(scope.recipe.base.checkpoint)
    yield _outcome("base checkpoint", check_prompting, folder, scope.recipe.stage_prompting())


def _disk(scope: Scope, missing: dict[str, Node]) -> Iterator[Check]:
    """The space for all plans together; a stage that several of them share counts once."""
    if scope.plans:
        methods = list(dict.fromkeys(plan.method for plan in scope.plans))
        named = methods[0] if len(methods) == 1 else f"{len(methods)} methods"
        yield _outcome(f"disk for {named}", _space, scope, missing, named)


def _space(scope: Scope, missing: dict[str, Node], named: str) -> str:
    left = set(missing)
    models = checkpoints = 0
    free = bytes_free(scope.store.root)
    for plan in scope.plans:
        own = left & {node.fingerprint for node in plan.nodes}
        if not own:
            continue
        found = bytes_needed(plan, predict(plan), own)
        if found is None:
            return f"{free / 1e9:.1f} GB free; the size of the model is not known"
        models, checkpoints = models + found[0], max(checkpoints, found[1])
        left -= own
    needed = models + checkpoints
    if needed > free:
        raise BenchError(
            f'store "{scope.store.root}": about {needed / 1e9:.1f} GB are needed for {named}, '
            f"{free / 1e9:.1f} GB are free; free space (`rlp-bench gc`) or give another --store"
        )
    return f"{needed / 1e9:.2f} GB needed, {free / 1e9:.1f} GB free"
