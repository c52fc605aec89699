"""A folder with a store, and one with finished nano runs."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from regression_parts import Bench
from warm import Warm

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return Bench(tmp_path, monkeypatch, capsys)


@dataclass(frozen=True)
class Nano:
    """Two runs of one nano policy, which differ in the decoding seed, and a report of the policy with noise."""

    warm: Warm
    folder: Path
    run: str
    other_decoding: str
    noised: Path

    def call(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.warm.run(*arguments, "--store", self.folder / "store", cwd=self.folder)


@pytest.fixture(scope="session")
def nano(warm: Warm, nano_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Nano:
    folder = tmp_path_factory.mktemp("nano")
    shutil.copytree(nano_store, folder / "store")
    fewer = ("--set", "evaluation.suites=['alpacafarm','vicuna']", "--set", "evaluation.second_judges=[]")
    store = (*fewer, "--store", folder / "store", "--json")
    runs = [
        json.loads(warm.run("run", "--method", "sft", "--recipe", "nano", *more, *store, cwd=folder).stdout)
        for more in ((), ("--set", "decoding.seed=1"))
    ]
    assert runs[0]["policy"] == runs[1]["policy"]
    noised = add_noise(folder / runs[0]["policy"], folder / "noised", scale=0.3)
    said = warm.run("eval", "--policy", noised, "--recipe", "nano", *store, cwd=folder)
    assert said.returncode == 0, said.stderr
    (folder / "noised.json").write_text(said.stdout)
    names = [Path(run["run"]).name for run in runs]
    return Nano(warm, folder, names[0], names[1], folder / "noised.json")


def add_noise(policy: Path, to: Path, scale: float) -> Path:
    """A copy of a checkpoint with Gaussian noise on every weight: `scale` standard deviations of its tensor."""
    from safetensors.numpy import load_file, save_file

    to.mkdir()
    for path in policy.iterdir():
        if path.suffix == ".json" and path.name not in ("manifest.json", "meter.json", "metrics.json"):
            (to / path.name).write_bytes(path.read_bytes())
    rng = np.random.default_rng(0)
    weights = {
        name: (w + scale * w.std() * rng.standard_normal(w.shape)).astype(w.dtype)
        for name, w in sorted(load_file(policy / "model.safetensors").items())
    }
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to
