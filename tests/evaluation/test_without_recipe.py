"""`eval` without a recipe: the micro world's template, limits and judges never reach other items."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from rlp_bench.api.errors import DataError, RecipeError
from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.evaluation.without_recipe import chat_template
from rlp_bench.micro import load_world
from rlp_bench.recipes.load import load_recipe
from rlp_bench.store.store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "judges"))
from stub_server import Stub  # beside the judges' tests

MICRO_BASE = Path(__file__).parents[2] / "rlp_bench" / "micro" / "base"
CHAT = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
CHAT += "{% if add_generation_prompt %}[answer]{% endif %}"


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """Four items that are neither AlpacaFarm's nor the micro world's."""
    rows = [{"instruction": f"Name river number {n}.", "output": "The Elbe."} for n in range(4)]
    path = tmp_path / "rivers.json"
    path.write_text(json.dumps(rows))
    return path


def checkpoint(folder: Path, template: str = "") -> Path:
    """A copy of the micro world's base model, with a chat template or none."""
    shutil.copytree(MICRO_BASE, folder)
    path = folder / "tokenizer_config.json"
    given = json.loads(path.read_text())
    path.write_text(json.dumps({**given, **({"chat_template": template} if template else {})}))
    return folder


def test_an_endpoint_gets_the_bare_instruction_and_the_suites_limit(items, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Stub(reply=lambda body: "A river.") as stub:
        report = eval_command(
            policy="openai:m", base_url=stub.url, suites=[f"alpacafarm:{items}"], judge="longest",
            store=Store(tmp_path / "store"),
        )  # fmt: skip
        assert {body["messages"][-1]["content"] for body in stub.bodies} == {
            f"Name river number {n}." for n in range(4)
        }
        assert {(body["max_tokens"], body["temperature"]) for body in stub.bodies} == {(300, 0.7)}
    [suite] = report["suites"]
    assert suite["second_judges"] == {}
    assert report["settings"]["prompting"]["template"] == "{instruction}"
    assert "recipe" not in report


def test_items_of_ones_own_are_not_called_alpacafarm(items, tmp_path, cli):
    outputs = tmp_path / "outputs.json"
    outputs.write_text(
        json.dumps([{"instruction": r["instruction"], "output": "x"} for r in json.loads(items.read_text())])
    )
    call = ("eval", "--outputs", outputs, "--data", items, "--judge", "longest")
    [found] = json.loads(cli(*call, "--json").stdout)["suites"]
    assert found["alias"] == "own_items"
    assert found["evidence"] == "4 of your own items: none of them is one of alpacafarm's"
    assert "4 of your own items" in cli(*call).stdout


def test_a_judge_must_be_named_and_worlds_are_not_mixed(items, cli):
    done = cli("eval", "--policy", MICRO_BASE, "--suite", f"alpacafarm:{items}")
    assert done.returncode == 2
    assert "has no default judge; give --judge NAME" in done.stderr
    both = ("--suite", f"alpacafarm:{items}", "--suite", "vicuna", "--judge", "longest")
    done = cli("eval", "--policy", MICRO_BASE, *both)
    assert done.returncode == 2
    assert "is not of the micro world, others are" in done.stderr


def test_a_checkpoint_uses_its_chat_template_or_one_that_is_named(items, tmp_path, cli):
    common = ("--suite", f"alpacafarm:{items}", "--judge", "longest", "--json")
    short = ("--set", "decoding.max_response_tokens=8")
    done = cli("eval", "--policy", checkpoint(tmp_path / "base"), *common)
    assert done.returncode == 2
    assert "has no chat template, and no prompt template is given; give one, e.g." in done.stderr
    named = cli(
        "eval", "--policy", tmp_path / "base", *common, *short, "--set", 'prompting.template="Q {instruction} A"'
    )  # fmt: skip
    assert named.returncode == 0, named.stderr
    chat = checkpoint(tmp_path / "chat", CHAT)
    assert chat_template(chat) == "[user]{instruction}[answer]"  # the tokenizer adds BOS
    found = cli("eval", "--policy", chat, *common, *short)
    assert found.returncode == 0, found.stderr
    with pytest.raises(DataError, match="does not contain the instruction once"):
        chat_template(checkpoint(tmp_path / "odd", "always the same"))


@pytest.mark.parametrize("judge", ["micro_pool", "micro_pool:one", "micro_second", "micro_gold"])
def test_judges_of_the_micro_world_refuse_other_items(judge, items, cli, tmp_path):
    outputs = tmp_path / "outputs.json"
    rows = [{"instruction": r["instruction"], "output": "x"} for r in json.loads(items.read_text())]
    outputs.write_text(json.dumps(rows))
    done = cli("eval", "--outputs", outputs, "--data", items, "--judge", judge)
    assert done.returncode == 2
    assert 'river number 0." is not an instruction of the micro world' in done.stderr
    assert all(load_world().skill(text) for text in load_world().prompts("dev", 50))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("prompting.template=Answer this.", "expected {instruction} once"),
        ("prompting.template={instruction} {instruction}", "expected {instruction} once"),
        ("prompting.template={instruction} {question}", "the placeholder {question} is not known"),
        ("prompting.template_with_input={instruction}:", "expected {input}"),
    ],
)
def test_a_template_has_the_instruction_once_and_no_other_placeholder(setting, said):
    key, _, text = setting.partition("=")
    with pytest.raises(RecipeError, match=said.replace("{", r"\{").replace("}", r"\}")):
        load_recipe("nano", [f"{key}='{text}'"])
