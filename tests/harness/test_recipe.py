"""Recipes: what is wrong is said all at once, with the nearest name; the id is the content's."""

from pathlib import Path

import pytest

from rlp_bench.api.errors import RecipeError, UnknownName
from rlp_bench.recipes.load import load_recipe, recipe_names

pytestmark = pytest.mark.usefixtures("stranger_plugins")


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), overrides)
    return str(caught.value).splitlines()


def test_every_fault_is_listed_once_with_the_nearest_name(recipe_file: Path) -> None:
    text = recipe_file.read_text()
    text = text.replace("sft = 6", 'sft = "six"\nunlabelled = 3').replace(
        "steps = 4", "stepz = 4\nsuffix = 1"
    )
    text = text.replace('name = "stranger_lookup"', 'name = "stranger_lokup"')
    text = text.replace('suites = ["greetings"]', 'suites = ["greeting"]')
    text = text.replace('[annotator]\njudge = "stranger_shortest"', "[annotator]\nnoise = 2.0")
    recipe_file.write_text(text + "\n[stages.pppo]\nbeta = 1\n[colour]\nred = 1\n")
    found = faults(recipe_file)
    expected = {
        "data.sft": '"six"',
        "data.unlabelled": 'did you mean "unlabeled"',
        "annotator.judge": "is missing",
        "annotator.noise": "less than or equal to 1",
        "engine.name": 'did you mean "stranger_lookup"',
        "evaluation.suites.0": 'did you mean "greetings"',
        "stages.stranger_parrot.stepz": 'did you mean "steps"',
        "stages.stranger_parrot.suffix": "valid string",
        "stages.pppo": 'did you mean "ppo"',
        "colour": "unknown setting",
    }
    for where, message in expected.items():
        (line,) = [line for line in found if line.startswith(f"greetings.toml: {where}: ")]
        assert message in line
    assert len(found) == len(expected)


def test_override_is_a_toml_value_a_bare_word_or_a_number_without_its_zero(recipe_file: Path) -> None:
    overrides = ["data.sft=7", "name=other", "decoding.temperature=.5", 'evaluation.suites=["greetings"]']
    recipe = load_recipe(str(recipe_file), [*overrides, "stages.stranger_parrot.suffix=?"])
    assert (recipe.data.sft, recipe.name, recipe.decoding.temperature) == (7, "other", 0.5)
    assert recipe.evaluation.suites == ("greetings",)
    assert recipe.stages["stranger_parrot"] == {"steps": 4, "suffix": "?"}


def test_faults_of_overrides_name_the_flag(recipe_file: Path) -> None:
    overrides = ["data.stf=7", "nonsense", "stages.stranger_parrot.steps=many", "judge.order=[", "name.x=1"]
    found = faults(recipe_file, *overrides)
    assert any(line.startswith("--set data.stf: unknown setting; did you mean") for line in found)
    assert '--set "nonsense": expected key.key=value' in found
    assert any(line.startswith('--set stages.stranger_parrot.steps: "many": ') for line in found)
    assert any(line.startswith('--set judge.order: "[" is not a TOML value') for line in found)
    assert '--set name.x: "name" is a value, not a table' in found
    assert len(found) == 5


def test_id_moves_with_content_and_not_with_compute_or_comments(recipe_file: Path) -> None:
    recipe = load_recipe(str(recipe_file))
    same = load_recipe(str(recipe_file), ["compute.processes=2", "compute.threads=4"])
    other = load_recipe(str(recipe_file), ["stages.stranger_parrot.steps=5"])
    recipe_file.write_text("# a comment\n" + recipe_file.read_text())
    assert recipe.id == same.id == load_recipe(str(recipe_file)).id
    assert recipe.id.startswith("greetings@")
    assert len(recipe.id) == len("greetings@") + 8
    assert other.id != recipe.id


def test_recipe_is_frozen(recipe_file: Path) -> None:
    recipe = load_recipe(str(recipe_file))
    with pytest.raises(ValueError, match="frozen"):
        recipe.data.sft = 3  # type: ignore[misc]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_recipe_with_a_byte_order_mark_and_crlf_is_the_same_recipe(
    recipe_file: Path, encoding: str
) -> None:
    known = load_recipe(str(recipe_file)).id
    text = recipe_file.read_text(encoding="utf-8").replace("\n", "\r\n")
    recipe_file.write_bytes(text.encode(encoding))
    assert load_recipe(str(recipe_file)).id == known


@pytest.mark.parametrize(
    "value", ["9" * 5000, "-" + "9" * 400, "[" * 3000 + "]" * 3000, "[" * 100 + "]" * 100]
)
def test_a_value_beyond_the_limits_is_one_line_in_file_and_override(recipe_file: Path, value: str) -> None:
    (line,) = faults(recipe_file, f"data.sft={value}")
    assert line.startswith("--set data.sft: ")
    assert "beyond the limits" in line
    recipe_file.write_text(f"name = {value}\n")
    (line,) = faults(recipe_file)
    assert "not TOML: beyond the limits" in line


@pytest.mark.parametrize("text", ["name = ", "\x00"])
def test_file_that_is_not_toml_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    (line,) = faults(path)
    assert line.startswith("broken.toml: not TOML: ")


def test_unknown_recipe_and_missing_file() -> None:
    with pytest.raises(UnknownName, match='did you mean "micro"'):
        load_recipe("mirco")
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe("nowhere/micro.toml")


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_valid(name: str) -> None:
    assert load_recipe(name).id.startswith(f"{name}@")
