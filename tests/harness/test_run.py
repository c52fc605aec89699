"""What a stage is handed: what its `uses` names, and nothing else of the recipe."""

from pathlib import Path

import pytest

from rlp_bench.api.errors import BenchError
from rlp_bench.api.protocols import Context
from rlp_bench.display import Display
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.meter import StageMeter
from rlp_bench.run.noisy_annotator import NoisyAnnotator
from rlp_bench.run.records import find_run
from rlp_bench.run.runner import StageRunner, run_plan
from rlp_bench.store.store import Store

pytestmark = pytest.mark.usefixtures("stranger_plugins")


def context_of(label: str, recipe_file: Path, tmp_path: Path) -> Context:
    recipe = load_recipe(str(recipe_file))
    display = Display(quiet=True)
    (node,) = [node for node in build_plan(recipe, "stranger", 5).nodes if node.label == label]
    runner = StageRunner(recipe, Store(tmp_path / "store"), display)
    return runner._context(node, 5, tmp_path, display.task(label), StageMeter())


def test_annotator_with_its_noise_is_given_to_who_says_so(recipe_file: Path, tmp_path: Path) -> None:
    context = context_of("stranger_parrot", recipe_file, tmp_path)
    assert isinstance(context.annotator, NoisyAnnotator)
    assert (context.annotator.noise, context.seed) == (0.25, 5)
    assert context.prompting.render("hello") == "Q: hello A:"
    assert context_of("stranger_blend", recipe_file, tmp_path).annotator is None


def test_taking_what_uses_does_not_name_is_an_error(recipe_file: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match='its `uses` does not name "engine"'):
        context_of("stranger_parrot", recipe_file, tmp_path).engine.sample  # noqa: B018
    with pytest.raises(BenchError, match='its `uses` does not name "prompting"'):
        context_of("stranger_blend", recipe_file, tmp_path).prompting.render("hello")


def test_record_is_read_back_as_it_was(recipe_file: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    plan = build_plan(load_recipe(str(recipe_file), ["data.sft=5"]), "stranger", 1)
    with Display(quiet=True) as display:
        made = run_plan(plan, store, display)
    read = find_run(store)
    assert read.recipe.model_dump() == made.recipe.model_dump()  # the flags that gave it are not kept
    assert read.recipe.id == plan.recipe.id
    assert read.lineage == made.lineage
    assert (read.method, read.seed, read.path, read.policy) == (
        made.method,
        made.seed,
        made.path,
        made.policy,
    )
    assert read.policy.metrics == {"saw_annotator": 0.0}
    assert read.named("stranger_parrot").metrics["saw_annotator"] == 1.0  # type: ignore[union-attr]
    assert [row["instruction"] for row in read.lineage[0][1].rows()] == [
        f"welcome {word}" for word in ("one", "two", "three", "four", "five")
    ]
    assert find_run(store, made.path.name).path == made.path
    assert made.last("reward") is None


def test_a_manifest_records_all_settings_also_those_at_their_default(
    recipe_file: Path, tmp_path: Path
) -> None:
    """The fingerprint holds the others alone; tables and cost estimates read from here."""
    plan = build_plan(load_recipe(str(recipe_file)), "stranger", 1)
    with Display(quiet=True) as display:
        made = run_plan(plan, Store(tmp_path / "store"), display)
    parrot = made.named("stranger_parrot")
    assert parrot is not None
    assert parrot.manifest["provenance"]["settings"] == {"steps": 4, "suffix": ""}
