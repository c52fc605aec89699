"""What would stop a run later stops it before anything is trained."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlp_bench.api.errors import RecipeError
from rlp_bench.evaluation.preflight import Scope, preflight, require
from rlp_bench.plan import disk
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.store.store import Store

MICRO_BASE = Path(__file__).parents[2] / "rlp_bench" / "micro" / "base"


@contextmanager
def server(status: int) -> Iterator[tuple[str, list[str]]]:
    """(base URL, paths asked for) of a server that answers everything with one status."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"GET {self.path}")
            body = b'{"error": {"message": "no"}}' if status != 200 else b'{"object": "list", "data": []}'
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            asked.append(f"POST {self.path}")
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1", asked
    finally:
        http.shutdown()
        http.server_close()


def errors(
    tmp_path: Path, *sets: str, method: str = "rlp_spg", recipe: str = "nano", **scope: object
) -> list[str]:
    """The errors of all checks of a method under a recipe with changed settings."""
    read = load_recipe(recipe, sets)
    checks = preflight(Scope(read, Store(tmp_path / "store"), [build_plan(read, method, 0)], **scope))
    return [check.error for check in checks if check.error]


def demonstrations(path: Path, rows: int) -> Path:
    found = [{"instruction": f"Name lake {n}.", "input": "", "output": "Como."} for n in range(rows)]
    path.write_text(json.dumps(found))
    return path


def test_the_shipped_recipes_of_the_embedded_world_pass(tmp_path):
    for recipe in ("micro", "nano"):
        assert errors(tmp_path, recipe=recipe) == []
    assert not (tmp_path / "store").exists()


def test_a_split_with_too_few_rows_stops_a_run_before_its_first_stage(tmp_path, cli):
    folder = tmp_path / "alpaca_instructions"
    folder.mkdir()
    for name in ("sft", "preference", "unlabeled", "val"):
        demonstrations(folder / f"{name}.json", 20)
    source = f'data.source="alpacafarm_data:{tmp_path}"'
    counts = ("data.sft=20", "data.preferences=8", "data.unlabeled=21", "evaluation.dev_pairs=30", source)
    sets = [part for one in counts for part in ("--set", one)]
    done = cli("run", "--recipe", "nano", "--method", "ppo", *sets, "--store", str(tmp_path / "store"))
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert [line for line in lines if "expected 21 or more" in line], lines
    assert [line for line in lines if "evaluation.dev_pairs=30" in line], lines
    assert not list((tmp_path / "store").rglob("*.jsonl"))


def test_evaluation_files_are_read_before_training(tmp_path):
    missing = tmp_path / "none.json"
    sets = (f'suites.own="alpacafarm:{missing}"', 'evaluation.suites=["own"]')
    [error] = errors(tmp_path, *sets)
    assert str(missing) in error
    assert errors(tmp_path, *sets, evaluate=False) == []
    assert errors(tmp_path, *sets, suites=["vicuna"]) == []


def test_the_micro_judges_cannot_judge_other_items(tmp_path):
    items = tmp_path / "lakes.json"
    demonstrations(items, 3)
    found = errors(tmp_path, f'suites.own="alpacafarm:{items}"', 'evaluation.suites=["own"]')
    assert len(found) == 3  # the judge and two second judges
    assert "not an instruction of the micro world" in found[0]


def test_a_judges_key_must_be_set(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    [error] = errors(tmp_path, 'judge.name="chat:gpt-4.1"', reach=False)
    assert "$OPENAI_API_KEY" in error


@pytest.mark.parametrize(("status", "expected"), [(200, ""), (404, ""), (503, ""), (401, "check $LAKE_KEY")])
def test_a_judges_server_is_asked_for_nothing_but_its_models(tmp_path, monkeypatch, status, expected):
    monkeypatch.setenv("LAKE_KEY", "abc")
    with server(status) as (url, asked):
        found = errors(tmp_path, f'judge.name="chat:m,base_url={url},key_env=LAKE_KEY"')
    assert asked == ["GET /v1/models"]
    assert [expected in error for error in found] == ([True] if expected else [])


def test_a_server_that_does_not_answer_is_an_error_unless_no_check(tmp_path):
    with server(200) as (url, _):
        pass
    judge = f'judge.name="alpacafarm_pool:m,base_url={url}"'
    [error] = errors(tmp_path, judge)
    assert url in error
    assert "--no-check" in error
    assert errors(tmp_path, judge, reach=False) == []


def test_a_finished_run_needs_no_server(nano_trained):
    recipe = load_recipe("nano", [])
    done = Scope(recipe, Store(nano_trained), [build_plan(recipe, "rlp_spg", 0)])
    assert preflight(done) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "no such folder"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, "expected entailment, neutral and"),
        ({"id2label": {"0": "CONTRADICTION", "1": "NEUTRAL", "2": "ENTAILMENT"}}, ""),
        ({}, "no id2label"),
    ],
)
def test_an_entailment_model_is_looked_up_before_the_policy_is_trained(
    tmp_path, monkeypatch, config, expected
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "nli"
    if config is not None:
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
    found = errors(tmp_path, f'stages.spg.entailment="nli:{folder}"')
    assert [expected in error for error in found] == ([True] if expected else [])


def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MICRO_BASE, tmp_path / "base"))


def test_a_tokenizer_with_more_tokens_than_the_embedding(tmp_path):
    folder = base(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 300}))
    [error] = errors(tmp_path, f'base.checkpoint="{folder}"', method="sft")
    assert "its embedding 300 rows" in error


def test_a_damaged_tokenizer(tmp_path):
    folder = base(tmp_path)
    (folder / "tokenizer.json").write_text('{"model": 3}')
    [error] = errors(tmp_path, f'base.checkpoint="{folder}"', method="sft")
    assert "not a tokenizer" in error


def test_a_template_that_leaves_no_room_for_the_instruction(tmp_path):
    [error] = errors(tmp_path, f'prompting.template="{"<user> " * 40}{{instruction}}"', method="sft")
    assert "the template alone has 4" in error


def test_a_disk_with_too_little_space(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    [error] = errors(tmp_path, method="rlp_spg")
    assert "10 GB" not in error
    assert "0.0 GB are free" in error


def test_a_stage_that_nothing_uses_is_an_error(tmp_path, monkeypatch):
    from rlp_bench.api import registry

    def wasteful(bench):
        bench.fit("reward", init=bench.sft, preferences=bench.preferences)
        return bench.sft

    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda group, name: wasteful if name == "wasteful" else load(group, name)
    )
    with pytest.raises(RecipeError, match="reward: no later stage uses its reward"):
        build_plan(load_recipe("nano", []), "wasteful", 0)


def test_validate_lists_what_it_checked_and_plan_what_is_missing(tmp_path, cli):
    good = json.loads(cli("validate", "nano", "--method", "ppo", "--json").stdout)
    assert good["ok"]
    assert {"data-sft", "suite alpacafarm", "base checkpoint", "disk for ppo"} <= {
        c["what"] for c in good["checks"]
    }
    wrong = ("--set", 'suites.alpacafarm="alpacafarm:none.json"')
    bad = cli("validate", "nano", *wrong)
    assert bad.returncode == 2
    assert "none.json" in bad.stderr
    planned = cli("plan", "--recipe", "nano", "--method", "ppo", *wrong)
    assert planned.returncode == 0
    assert "before it can run:" in planned.stdout
    matrix = cli(
        "matrix",
        "--recipe",
        "nano",
        "--methods",
        "sft,ppo",
        "--seeds",
        "0..1",
        *wrong,
        "--store",
        str(tmp_path / "s"),
    )
    assert matrix.returncode == 2
    assert matrix.stderr.count("none.json") == 1
    assert not list((tmp_path / "s").rglob("*.jsonl"))


def test_all_errors_are_told_at_once(tmp_path):
    read = load_recipe("nano", ['judge.name="chat:m,base_url=http://127.0.0.1:9"', 'suites.mmlu="mmlu:none"'])
    checks = preflight(Scope(read, Store(tmp_path / "store")))
    with pytest.raises(RecipeError) as caught:
        require(checks)
    assert len(str(caught.value).splitlines()) == 2
