"""`rlp-bench export`: the checkpoint that others load is the run's policy, and its card says what it is."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from warm import Warm

from rlp_bench.api.errors import BenchError
from rlp_bench.api.seals import write_sealed
from rlp_bench.api.types import Decoding
from rlp_bench.export.checkpoint import export_run
from rlp_bench.export.model_card import cell, clean, code, model_card, table
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.records import RunRecord, find_run, read_record
from rlp_bench.store.store import Store

SETS = ("data.sft=64", "data.preferences=40", "data.unlabeled=32")
TOKEN = "hf_secretTOKENofNobody"
REPO = "somebody/tiny-policy"


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "RLP_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **variables}


Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def call(warm: Warm) -> Call:
    """call(arguments, cwd=folder): the command line."""
    return lambda *arguments, cwd: warm.run(*arguments, cwd=cwd, env=environment())


@pytest.fixture(scope="module")
def home(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of two nano runs: an evaluated policy of PPO, and a best-of-n without weights."""
    folder = tmp_path_factory.mktemp("export")
    sets = [part for each in SETS for part in ("--set", each)]
    nano = ("--recipe", "nano", *sets, "--store", "s")
    call("run", "--method", "ppo", *nano, "--suite", "llmbar", cwd=folder).check_returncode()
    call("run", "--method", "longest", *nano, "--no-eval", cwd=folder).check_returncode()
    return folder


@pytest.fixture(scope="module")
def record(home: Path) -> RunRecord:
    return find_run(Store(home / "s"), "ppo")


@pytest.fixture(scope="module")
def folder(call: Call, home: Path) -> Path:
    """The PPO run, exported by the command."""
    done = call("export", "ppo", "--store", "s", "--out", "policy", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    out = home / "policy"
    assert told["files"] == {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.iterdir())
    }
    assert told["pushed"] is None
    return out


def test_transformers_loads_it_and_it_is_the_runs_policy(record: RunRecord, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rlp_bench.api import registry

    tokenizer, own = (AutoTokenizer.from_pretrained(str(path)) for path in (folder, record.policy.path))
    model, ours = (AutoModelForCausalLM.from_pretrained(str(p)) for p in (folder, record.policy.path))
    rows = record.named("data-unlabeled").rows()[:8]  # type: ignore[union-attr]
    prompting = record.recipe.stage_prompting()
    prompts = [prompting.render(row["instruction"]) for row in rows]
    engine = registry.load("engine", "transformers")()
    drawn = engine.sample(record.policy.path, prompts, Decoding(0.0, 1.0, 24))
    for prompt, (sample,) in zip(prompts, drawn, strict=True):
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        assert ids.tolist() == own(prompt, return_tensors="pt")["input_ids"].tolist()
        with torch.no_grad():
            assert torch.equal(model(ids).logits, ours(ids).logits)
            answer = model.generate(input_ids=ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
        assert tokenizer.decode(answer, skip_special_tokens=True) == sample.text
    assert len({sample.text for (sample,) in drawn}) > 1


def test_the_checkpoint_is_whole_and_nothing_else(record: RunRecord, folder: Path, tmp_path: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "README.md",
    } <= names
    assert not {"manifest.json", "metrics.json", "meter.json", "log.jsonl", "snapshots"} & names
    for name in names - {"README.md"}:
        assert (folder / name).read_bytes() == (record.policy.path / name).read_bytes()
    (tmp_path / "again").mkdir()  # an empty folder is free
    export_run(record, tmp_path / "again")
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def front(text: str) -> dict:
    _, head, _ = text.split("---\n", 2)
    found: dict = yaml.safe_load(head)
    return found


def test_the_card_says_what_it_is(record: RunRecord, folder: Path, home: Path) -> None:
    text = (folder / "README.md").read_text()
    report = json.loads((record.path / "report.json").read_text())
    [suite] = report["suites"]
    low, high = suite["ci95"]
    row = next(line for line in text.splitlines() if line.startswith("| llmbar | win rate"))
    assert f"{suite['win_rate']:.2f} ± {suite['standard_error']:.2f}" in row
    assert f"{low:.1f} to {high:.1f} | {suite['n_scored']}/{suite['n_items']}" in row
    for part in (
        record.group,
        "seed 0",
        f"{suite['coverage']['judged']} judged",
        suite["data"]["items"],
        record.policy.manifest["content"],
        '"name": "micro_pool"',
        "data micro: not stated",
        "## Warnings",
        "64 in, 64 used",
        "AutoModelForCausalLM",
        '"learning_rate": 0.0003',
    ):
        assert part in text, part
    assert str(home) not in text
    head = front(text)
    assert head["license"] == "unknown"
    assert head["model-index"][0]["results"][0]["metrics"][0]["value"] == round(suite["win_rate"], 4)


def test_a_run_that_was_not_evaluated_says_so(record: RunRecord, folder: Path) -> None:
    text = model_card(record, None, folder)
    assert "This run was not evaluated" in text
    assert "This policy was not evaluated" in text
    assert "model-index" not in front(text)


def test_the_datas_license_is_told_and_this_machines_folders_are_not(record: RunRecord, folder: Path) -> None:
    data = "/home/somebody/a"
    sets = [
        f"data.source=alpacafarm_data:{data}/all.json,splits={data}/s.json",
        f"data.preferences_from=hh_rlhf:{data}/hh.jsonl.gz",
        f"base.checkpoint={data}/llama",
    ]
    text = model_card(replace(record, recipe=load_recipe("real_text", sets)), None, folder)
    assert front(text)["license"] == "other"
    assert "CC BY-NC 4.0 (tatsu-lab: research use only)" in text
    assert r"data hh_rlhf:.../hh.jsonl.gz: MIT" in text
    assert "alpacafarm_data:.../all.json,splits=.../s.json" in text
    assert "base checkpoint llama: not stated" in text
    assert "somebody" not in text
    assert "template_with_input = " in text
    assert clean("hf://datasets/a/b@c/x.json") == "hf://datasets/a/b@c/x.json"
    assert clean({"a": ["~/x/y", "package://p/q", 3, "1/2"]}) == {"a": [".../y", "package://p/q", 3, "1/2"]}


def test_names_cannot_break_out_of_the_card(record: RunRecord, folder: Path) -> None:
    method = "x: [1]\n---\nlicense: mit\n| <script> | `a` #"
    text = model_card(replace(record, method=method), None, folder)
    assert front(text)["license"] == "unknown"
    assert front(text)["tags"][1] == " ".join(method.split())
    assert "<script>" not in text.split("---\n", 2)[2].split("## Results")[0].replace(r"\<script\>", "")
    assert table(["a"], [["x | y\nz"]]).splitlines()[2:] == [r"| x \| y z |"]
    assert cell("[a](b) <i> *c*") == r"\[a\](b) &lt;i&gt; \*c\*"
    assert code("json", "a ```` b").startswith("`````json\n")


# --- Refusals -----------------------------------------------------------------------------------------


def test_a_best_of_n_policy_is_refused_in_one_line(call: Call, home: Path) -> None:
    done = call("export", "longest", "--store", "s", "--out", "bon", cwd=home)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "the best of several samples of another policy (best_of_n.json)" in line
    assert not (home / "bon").exists()


def test_bad_input_is_one_line_and_leaves_nothing(call: Call, home: Path, folder: Path) -> None:
    (home / "file").write_text("x")
    before = sorted(path.name for path in home.iterdir())
    for arguments, said in (
        (["ppo", "--out", "policy"], '"policy" exists and is not an empty folder; give another --out'),
        (["ppo", "--out", "file"], '"file" exists and is not an empty folder'),
        (["ppo", "--out", "no/where"], '"no" is not a folder; create it first'),
        (["pqo"], 'run "pqo" does not exist'),
        (["ppo", "--push", "nobody"], '--push "nobody": expected OWNER/NAME'),
        (["ppo", "--push", REPO], "HF_TOKEN is not set"),
        (["ppo", "--public"], "--public: is given without --push; add --push OWNER/NAME"),
    ):
        done = call("export", *arguments, "--store", "s", cwd=home)
        assert done.returncode == 2, (arguments, done.stdout)
        [line] = done.stderr.splitlines()
        assert said in line
    assert sorted(path.name for path in home.iterdir()) == before


def test_unfinished_and_damaged_runs_are_refused(call: Call, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "s", tmp_path / "s")
    record = find_run(Store(tmp_path / "s"), "ppo")
    weights = record.policy.path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1  # as long as it was
    weights.write_bytes(data)
    with pytest.raises(BenchError, match=r"model\.safetensors has changed since it was sealed"):
        export_run(record, tmp_path / "out")
    write_sealed(record.path / "run.json", {**read_record(record.path), "status": "running"})
    done = call("export", "ppo", "--store", "s", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "is not finished" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


# --- A hub --------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """The four addresses that an upload of small files asks for."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.server.asked.append((path, self.headers.get("Authorization"), body))  # type: ignore[attr-defined]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid username or password."})
        if path == "/api/repos/create":
            return self._answer(200, {"url": f"{self._here()}/{REPO}"})
        if path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if path == f"/api/models/{REPO}/preupload/main":
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
            return self._answer(200, {"files": modes})
        if path == f"/api/models/{REPO}/commit/main":
            return self._answer(200, {"commitUrl": f"{self._here()}/{REPO}/commit/abc", "commitOid": "abc"})
        return self._answer(404, {"error": "not here"})

    def _here(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def _answer(self, status: int, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def pushed(home: Path, out: str, address: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    arguments = ("export", "ppo", "--store", "s", "--out", out, "--push", REPO)
    env = environment(HF_ENDPOINT=address, HF_TOKEN=token, HF_HOME=str(home / "hf"))
    command = [str(Path(sys.executable).parent / "rlp-bench"), *arguments]
    return subprocess.run(
        command, cwd=home, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_push_sends_every_file_and_keeps_the_token_to_itself(home: Path, hub: ThreadingHTTPServer) -> None:
    address = f"http://127.0.0.1:{hub.server_address[1]}"
    done = pushed(home, "sent", address)
    assert done.returncode == 0, done.stderr
    assert f"pushed: {address}/{REPO}/commit/abc" in done.stdout
    asked = {path: body for path, _, body in hub.asked}  # type: ignore[attr-defined]
    made = json.loads(asked["/api/repos/create"])
    assert (made["name"], made["organization"]) == ("tiny-policy", "somebody")
    assert made.get("private") is True or made.get("visibility") == "private"
    lines = [json.loads(line) for line in asked[f"/api/models/{REPO}/commit/main"].splitlines()]
    sent = {line["value"]["path"]: line["value"]["content"] for line in lines if line["key"] == "file"}
    assert {n: base64.b64decode(text) for n, text in sent.items()} == {
        path.name: path.read_bytes() for path in (home / "sent").iterdir()
    }
    for path in (home / "sent").iterdir():
        assert TOKEN.encode() not in path.read_bytes()


@pytest.mark.parametrize("what", ["wrong token", "nobody there"])
def test_a_push_that_fails_is_one_line_and_the_folder_stays(
    home: Path, hub: ThreadingHTTPServer, what: str
) -> None:
    address = f"http://127.0.0.1:{hub.server_address[1]}" if what == "wrong token" else "http://127.0.0.1:9"
    out = f"kept-{what.partition(' ')[0]}"
    done = pushed(home, out, address, TOKEN if what == "nobody there" else "hf_other")
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert f'--push "{REPO}": ' in line
    assert f"upload it with `hf upload {REPO} {out}`" in line
    assert "hf_other" not in line
    assert (home / out / "model.safetensors").is_file()
