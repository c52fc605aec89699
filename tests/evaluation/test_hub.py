"""hf:// references, fetched by the real huggingface_hub from a small hub on loopback."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from patience import PATIENCE

from rlp_bench.api.errors import DataError
from rlp_bench.api.hub import localize

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "somebody/things"
FILES = {
    "alpaca_eval.json": json.dumps(
        [{"instruction": "Name a fruit.", "output": "An apple.", "dataset": "koala"}]
    ).encode(),
    "folder/one.txt": b"one",
    "folder/deep/two.txt": b"two",
    "farm/alpaca_instructions/val.json": json.dumps(
        [{"instruction": f"Count to {n}.", "input": "", "output": "One."} for n in range(8)]
    ).encode(),
}
PRELUDE = "import sys; from rlp_bench.api.hub import localize; "


class Hub(BaseHTTPRequestHandler):
    """The three addresses that a download asks for."""

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        resolve, info = f"/datasets/{REPO}/resolve/{COMMIT}/", f"/api/datasets/{REPO}/revision/{COMMIT}"
        tree = f"/api/datasets/{REPO}/tree/{COMMIT}"
        headers = {"X-Repo-Commit": COMMIT}
        if path.startswith(resolve) and path.removeprefix(resolve) in FILES:
            data, kind = FILES[path.removeprefix(resolve)], "application/octet-stream"
            headers["ETag"] = f'"{hashlib.sha1(data).hexdigest()}"'
        elif path == info:
            siblings = [{"rfilename": name} for name in FILES]
            data, kind = (
                json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings}).encode(),
                "application/json",
            )
        elif path.startswith(tree):
            rows = [{"type": "file", "path": n, "size": len(d), "oid": "0" * 40} for n, d in FILES.items()]
            data, kind = json.dumps(rows).encode(), "application/json"
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if REPO in path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def environment(hub, home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE"))}
    address = f"http://127.0.0.1:{hub.server_address[1]}"
    slow = {"HF_HUB_ETAG_TIMEOUT": str(int(PATIENCE)), "HF_HUB_DOWNLOAD_TIMEOUT": str(int(PATIENCE))}
    own = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**kept, **slow, **own, **more}


def run(hub, home: Path, code: str, **more: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its address when it is imported."""
    command = [sys.executable, "-c", PRELUDE + code]
    return subprocess.run(
        command,
        env=environment(hub, home, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_file_a_folder_and_a_second_time_from_the_cache(hub, tmp_path):
    file = f"hf://datasets/{REPO}@{COMMIT}/alpaca_eval.json"
    done = run(hub, tmp_path, f"print(localize({file + ',difficulty=x.csv'!r}))")
    assert done.returncode == 0, done.stderr
    path, _, rest = done.stdout.strip().partition(",")
    assert rest == "difficulty=x.csv"
    assert Path(path).read_bytes() == FILES["alpaca_eval.json"]
    folder = run(hub, tmp_path, f"print(localize('hf:/datasets/{REPO}@{COMMIT}/folder'))")
    assert folder.returncode == 0, folder.stderr
    root = Path(folder.stdout.strip())
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*.txt")) == ["deep/two.txt", "one.txt"]
    hub.asked.clear()
    again = run(hub, tmp_path, f"print(localize({file!r}))", HF_HUB_OFFLINE="1")
    assert again.stdout.strip() == path
    assert hub.asked == []


def test_eval_reads_a_suite_from_the_hub(hub, tmp_path):
    (tmp_path / "o.json").write_text(json.dumps([{"instruction": "Name a fruit.", "output": "A pear tree."}]))
    command = [sys.executable, "-m", "rlp_bench", "eval", "--outputs", str(tmp_path / "o.json")]
    command += ["--data", f"hf://datasets/{REPO}@{COMMIT}/alpaca_eval.json", "--judge", "longest", "--json"]
    command += ["--store", str(tmp_path / "store")]
    done = subprocess.run(
        command,
        env=environment(hub, tmp_path / "hf"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [report] = json.loads(done.stdout)["suites"]
    assert report["win_rate"] == 100.0
    assert report["subsets"]["koala"]["n"] == 1


@pytest.mark.parametrize(
    ("measurement", "shown"),
    [
        ("diagnostics", lambda found: found["reward_model"]["policy_pairs"]["pool_accuracy"] == 1.0),
        ("tuning", lambda found: found["win_rate"] == 100.0),
        ("trajectory", lambda found: [(p["rollouts"], p["accuracy"], p["gold"]) for p in found]
            == [(0, 1.0, None), (4, 1.0, None)]),
        ("preference_accuracy", lambda found: (found["labels"][0]["pool"], found["rewards"][0]["own"]["pool"]["n"])
            == (1.0, 4)),
    ],
)  # fmt: skip
def test_what_is_measured_on_dev_prompts_reads_them_from_the_hub(hub, tmp_path, measurement, shown):
    source = f"alpacafarm_data:hf://datasets/{REPO}@{COMMIT}/farm"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("measure_on_hub.py")), measurement, source, str(tmp_path)],
        env=environment(hub, tmp_path / "hf"), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert shown(json.loads(done.stdout)), done.stdout
    assert any(path.endswith("farm/alpaca_instructions/val.json") for path in hub.asked)


def test_what_cannot_be_fetched_is_one_line(hub, tmp_path):
    for reference, said in (
        (f"hf://datasets/{REPO}@{COMMIT}/none.json", "cannot be downloaded and is not in the cache"),
        (f"hf://datasets/somebody/else@{COMMIT}/x.json", "no such repository"),
    ):
        code = f"""
from rlp_bench.api.errors import DataError
try: localize({reference!r})
except DataError as error: print(error)"""
        done = run(hub, tmp_path, code)
        assert said in done.stdout, done.stdout + done.stderr
        assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("hf://datasets/a/b@main/x.json", '"main" is a branch or a tag, which may move'),
        ("hf://datasets/a/b/x.json", "no revision is given"),
        ("hf://a/b", "expected hf://datasets/OWNER/NAME@COMMIT/PATH"),
    ],
)
def test_only_a_commit_is_taken(reference, said):
    with pytest.raises(DataError, match=said):
        localize(reference)


def test_other_arguments_pass_as_they_are():
    assert localize("folder/file.json,references=x") == "folder/file.json,references=x"
