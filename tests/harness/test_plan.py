"""Plans: everything is checked before anything runs, and a fingerprint names all that went in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rlp_bench.api.errors import BenchError, RecipeError
from rlp_bench.plan.graph import Bench, Plan, build_plan
from rlp_bench.recipes.load import load_recipe, load_trainer
from rlp_bench.recipes.trainer_settings import build, changed_settings

pytestmark = pytest.mark.usefixtures("stranger_plugins")


def plan(path: Path, *overrides: str, seed: int = 0) -> Plan:
    return build_plan(load_recipe(str(path), overrides), "stranger", seed)


def fingerprints(made: Plan) -> dict[str, str]:
    return {node.label: node.fingerprint for node in made.nodes}


def test_nodes_come_after_their_inputs_and_second_stages_are_numbered(recipe_file: Path) -> None:
    made = plan(recipe_file)
    assert [node.label for node in made.nodes] == [
        "data-sft",
        "base",
        "stranger_parrot",
        "stranger_parrot-2",
        "data-unlabeled",
        "stranger_blend",
    ]
    seen: set[str] = set()
    for node in made.nodes:
        assert {handle.fingerprint for handle in node.sources()} <= seen
        seen.add(node.fingerprint)
    assert made.final.label == "stranger_blend"


def test_settings_are_default_under_recipe_under_method(recipe_file: Path) -> None:
    once, loud = [node for node in plan(recipe_file).nodes if node.trainer == "stranger_parrot"]
    assert once.settings == {"steps": 4, "suffix": ""}  # steps: the recipe's
    assert loud.settings == {"steps": 4, "suffix": "!"}  # suffix: the method's


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("data.sft=5", {"data-sft", "stranger_parrot", "stranger_parrot-2", "stranger_blend"}),
        ("data.unlabeled=5", {"data-unlabeled", "stranger_blend"}),
        ("stages.stranger_parrot.steps=9", {"stranger_parrot", "stranger_parrot-2", "stranger_blend"}),
        ("prompting.template=x {instruction}", {"stranger_parrot", "stranger_parrot-2", "stranger_blend"}),
        ("annotator.noise=0.1", {"stranger_parrot", "stranger_parrot-2", "stranger_blend"}),
        ("judge.order=random", set()),  # evaluation: no stage's business
        ("decoding.temperature=0.1", set()),
        ("compute.processes=2", set()),
    ],
)
def test_fingerprint_moves_with_what_a_stage_uses(
    recipe_file: Path, override: str, changed: set[str]
) -> None:
    before, after = fingerprints(plan(recipe_file)), fingerprints(plan(recipe_file, override))
    assert {label for label in before if before[label] != after[label]} == changed


def stage_fingerprint(trainer: type, **settings: Any) -> str:
    """Of a stage of this trainer with these settings under nano."""
    bench = Bench(load_recipe("nano"), "any", 0)
    instance, faults = build(trainer, settings)
    assert not faults
    return bench._add_stage("any", "sample", {}, instance).fingerprint


def test_a_new_setting_renames_nothing_until_it_is_set() -> None:
    """Else an option that nobody uses would train everything of everybody again."""
    known = load_trainer("sample")

    @dataclass(frozen=True)
    class Grown(known):  # type: ignore[misc, valid-type]
        penalty: float = 0.0
        words: tuple[str, ...] = ()

    assert stage_fingerprint(Grown) == stage_fingerprint(known)
    assert stage_fingerprint(Grown, n=4) == stage_fingerprint(known, n=4) != stage_fingerprint(known)
    assert stage_fingerprint(Grown, penalty=0.5) != stage_fingerprint(known)
    assert stage_fingerprint(Grown, words=["so"]) != stage_fingerprint(known)


def test_a_setting_given_at_its_default_is_as_if_it_was_not_given() -> None:
    @dataclass(frozen=True)
    class Typed(load_trainer("sample")):  # type: ignore[misc]
        rate: float = 1
        words: tuple[str, ...] = ("a", "b")
        kinds: list[str] = field(default_factory=lambda: ["x"])
        either: bool | int = True

    plain = stage_fingerprint(Typed)
    given = {"rate": 1.0, "words": ["a", "b"], "kinds": ["x"], "either": True, "n": 10, "limit": None}
    assert stage_fingerprint(Typed, **given) == plain
    assert stage_fingerprint(Typed, either=1) != plain
    assert stage_fingerprint(Typed, kinds=[]) != plain


def test_a_setting_without_default_is_always_named() -> None:
    @dataclass(frozen=True)
    class Needy(load_trainer("sample")):  # type: ignore[misc]
        text: str = field(kw_only=True)

        def __post_init__(self) -> None:
            if self.n > len(self.text):
                raise BenchError("n is too large")  # with the default of n and a short text, as here

    assert stage_fingerprint(Needy, text="ab", n=1) != stage_fingerprint(Needy, text="cd", n=1)
    assert changed_settings(Needy(text="ab", n=1)) == {"text": "ab", "n": 1}


def test_a_raised_version_renames_the_artifact() -> None:
    known = load_trainer("sample")
    raised = type("Raised", (known,), {"version": "next"})
    assert stage_fingerprint(raised) != stage_fingerprint(known)


def test_a_node_records_all_settings_and_is_named_by_the_changed_ones() -> None:
    made = build_plan(load_recipe("nano", ["stages.ppo.clip=0.2"]), "ppo", 0)
    node = next(node for node in made.nodes if node.trainer == "ppo")
    assert node.settings["clip"] == 0.2
    assert "clip" not in node.identity["settings"]
    assert node.identity["settings"]["rollouts"] == 4
    assert node.fingerprint == build_plan(load_recipe("nano"), "ppo", 0).final.fingerprint


def test_seed_moves_stages_and_neither_base_nor_data(recipe_file: Path) -> None:
    before, after = fingerprints(plan(recipe_file)), fingerprints(plan(recipe_file, seed=1))
    same = {label for label in before if before[label] == after[label]}
    assert same == {"base", "data-sft", "data-unlabeled"}


def test_base_is_known_by_its_content(recipe_file: Path, checkpoint: Path) -> None:
    before = fingerprints(plan(recipe_file))
    (checkpoint / "model.safetensors").write_bytes(b"\3" + bytes(7) + b"{ }")
    after = fingerprints(plan(recipe_file))
    assert before["base"] != after["base"]
    assert before["stranger_blend"] != after["stranger_blend"]


def test_all_mistakes_of_a_method_are_reported(recipe_file: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        build_plan(load_recipe(str(recipe_file)), "stranger_confused", 0)
    lines = str(caught.value).splitlines()
    for part in (
        'input "init": expected policy, "data-sft" is demonstrations',
        'sufix: unknown setting; did you mean "suffix"',
        'steps: "many": ',
        'input "policies" (policy) is missing',
        'trainer "stranger_parot" is not installed: did you mean "stranger_parrot"',
    ):
        assert sum(part in line for line in lines) == 1, part
    assert len(lines) == 5


def test_override_of_what_the_method_fixes_is_an_error(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"suffix: method stranger sets suffix = '!'"):
        plan(recipe_file, "stages.stranger_parrot.suffix=?")


def test_split_that_the_recipe_lacks_is_an_error(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match="unlabeled: is 0, and method stranger needs this split"):
        plan(recipe_file, "data.unlabeled=0")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", None, "has no config.json"),
        ("tokenizer.json", None, "has no tokenizer"),
        ("model.safetensors", None, "has no *.safetensors"),
        ("model.safetensors", "cut off", "not a whole safetensors file"),
        ("config.json", "{", "not JSON"),
        ("config.json", '{"pad_token_id": 1, "eos_token_id": [2, 1]}', "pad and EOS are both token 1"),
        (
            "tokenizer_config.json",
            '{"pad_token": {"content": "</s>"}, "eos_token": "</s>"}',
            'both token "</s>"',
        ),
    ],
)
def test_unusable_base_checkpoint(
    recipe_file: Path, checkpoint: Path, file: str, content: str | None, said: str
) -> None:
    if content is None:
        (checkpoint / file).unlink()
    else:
        (checkpoint / file).write_text(content)
    with pytest.raises(RecipeError) as caught:
        plan(recipe_file)
    (line,) = str(caught.value).splitlines()
    assert said in line


def test_a_large_checkpoint_file_is_hashed_again_only_where_it_changed(tmp_path, monkeypatch):
    from rlp_bench.recipes import base_checkpoint as checkpoint
    from rlp_bench.store.store import hash_file

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoint, "LARGE", 4)
    read = []
    monkeypatch.setattr(checkpoint, "hash_file", lambda path: read.append(path) or hash_file(path))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    first = checkpoint.hash_known(path)
    assert checkpoint.hash_known(path) == first == hash_file(path)
    assert len(read) == 1
    path.write_bytes(b"\3" + bytes(7) + b"{ }")
    assert checkpoint.hash_known(path) == hash_file(path) != first
    assert len(read) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))  # no folder: nothing is remembered, nothing fails
    assert checkpoint.hash_known(path) == hash_file(path)
