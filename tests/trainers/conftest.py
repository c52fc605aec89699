"""Checkpoints, artifacts and a context for the tests of stages."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny import PROMPTING, CountingMeter, PrefersLonger, make_policy, preference

from rlp_bench.api.files import write_json, write_jsonl
from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Two threads on shared cores are many times slower than one at this size."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def policy(policy_folder) -> Artifact:
    return Artifact("policy", "p" * 64, policy_folder)


@pytest.fixture
def context(tmp_path):
    from rlp_bench.trainers.generation.transformers_engine import TransformersEngine

    return Context(
        seed=0,
        device="cpu",
        prompting=PROMPTING,
        scratch=tmp_path / "scratch",
        progress=lambda done, total, note="": None,
        meter=CountingMeter(),
        engine=TransformersEngine("cpu", 1),
        annotator=PrefersLonger(),
    )


@pytest.fixture
def artifact(tmp_path):
    """Makes an artifact of rows: artifact(kind, rows)."""
    made = []

    def make(kind, rows):
        folder = tmp_path / f"{kind}-{len(made)}"
        folder.mkdir()
        made.append(folder)
        write_jsonl(folder / "rows.jsonl", rows)
        return Artifact(kind, f"{len(made):064d}", folder)

    return make


@pytest.fixture
def train(tmp_path, context):
    """Runs a stage into a fresh folder with a scratch of its own: train(stage, name, **inputs) -> Artifact."""

    def run(stage, name, given=context, **inputs):
        out = tmp_path / name
        out.mkdir()
        metrics = stage.train(inputs, out, replace(given, scratch=tmp_path / f"scratch-{name}"))
        assert all(isinstance(value, float) for value in metrics.values()), metrics
        write_json(out / "metrics.json", dict(metrics))
        return Artifact(stage.output, name.ljust(64, "0"), out)

    return run


@pytest.fixture
def prompts(artifact):
    texts = [f"what is {x} {y}" for x in ("a", "b", "c", "d", "e", "f") for y in ("fox", "owl", "red", "big")]
    return artifact("prompts", [{"instruction": text, "input": ""} for text in texts])


@pytest.fixture
def preferences(artifact):
    """ "good" beats "bad", whatever else is said."""
    rows = [
        preference(f"what is {x} {y} {z}", f"{y} good {x}", f"{y} bad {x}")
        for x in ("a", "b", "c", "d")
        for y in ("fox", "owl", "red", "big")
        for z in ("e", "f", "g", "and")
    ]
    return artifact("preferences", rows)
