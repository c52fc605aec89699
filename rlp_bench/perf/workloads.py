"""The fixed workloads: seeded work on the micro world, the same on every machine.

A workload prepares itself in an empty folder and yields a function that does the work once and returns its counters.
Counters do not depend on the machine: prompts, pairs and settings are fixed, and EOS cannot be sampled, so that
rounding differences change which tokens are sampled but not how many.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench import micro
from rlp_bench.api import registry
from rlp_bench.api.files import write_jsonl
from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, Decoding, Pair, Prompting
from rlp_bench.perf.checkpoint import endless_policy
from rlp_bench.perf.server import chat_server
from rlp_bench.run.meter import StageMeter

Counters = Mapping[str, float]
Work = Callable[[], Counters]
PROMPTING = Prompting(micro.PROMPT_TEMPLATE, "", micro.MAX_PROMPT_TOKENS, micro.MAX_RESPONSE_TOKENS)


@dataclass(frozen=True)
class Asked:
    """Options of the workloads."""

    cache: str = ""
    """Folder of the answer cache; empty: a new one."""


@dataclass(frozen=True)
class Workload:
    """One timed workload."""

    name: str
    unit: str
    """The counter whose rate is reported."""
    about: str
    prepare: Callable[[Path, Asked], AbstractContextManager[Work]]
    version: str = "1"
    """Incremented when the work changes; different versions are not compared."""


@contextmanager
def _rollout(folder: Path, asked: Asked) -> Iterator[Work]:
    policy = endless_policy(folder / "policy")
    engine = registry.load("engine", "transformers")()
    prompts = [PROMPTING.render(text) for text in micro.load_world().prompts("unlabeled", 128)]
    decoding = Decoding(max_response_tokens=micro.MAX_RESPONSE_TOKENS)

    def work() -> Counters:
        drawn = [one for group in engine.sample(policy, prompts, decoding, seed=0) for one in group]
        return {"samples": len(drawn), "tokens_sampled": sum(one.tokens for one in drawn)}

    yield work


@contextmanager
def _reward(folder: Path, asked: Asked) -> Iterator[Work]:
    inputs = {
        "init": Artifact("policy", "0" * 64, micro.base_path()),
        "preferences": _preferences(folder / "pairs", 32 * 12 + 1, finished=True),
    }
    stage = registry.load("trainer", "reward")(batch=32, learning_rate=1e-3, heldout=1e-9)
    yield lambda: _train(stage, inputs)[1]


@contextmanager
def _ppo(folder: Path, asked: Asked) -> Iterator[Work]:
    policy = Artifact("policy", "0" * 64, endless_policy(folder / "policy"))
    pairs = _preferences(folder / "pairs", 33, finished=False)
    reward = registry.load("trainer", "reward")(batch=16, heldout=0.05)
    _train(reward, {"init": policy, "preferences": pairs}, folder / "reward")
    rows = [{"instruction": text, "input": ""} for text in micro.load_world().prompts("unlabeled", 64)]
    inputs = {
        "init": policy,
        "reward": Artifact("reward", "0" * 64, folder / "reward"),
        "prompts": _rows("prompts", folder / "prompts", rows),
    }
    stage = registry.load("trainer", "ppo")(
        rollouts=2, rollout_batch=32, minibatch=32, microbatch=32, epochs=2, learning_rate=3e-4, snapshots=()
    )
    yield lambda: _train(stage, inputs)[1]


@contextmanager
def _judged(folder: Path, asked: Asked) -> Iterator[Work]:
    judge, pairs = registry.resolve("judge", "micro_pool:all"), _answers(1500)
    yield lambda: _verdicts(judge.judge(pairs))


@contextmanager
def _requests(folder: Path, asked: Asked) -> Iterator[Work]:
    pairs, seeds = _answers(150), itertools.count()
    with chat_server() as url:
        options = f"bench-1,base_url={url},provider=bench,cache={asked.cache or folder / 'answers'},max_concurrency=8"
        judge = registry.resolve("judge", f"chat:{options}")

        def work() -> Counters:
            """Judges with a new seed in every round, so that no answer comes from the cache."""
            before = dict(judge.spent())
            found = _verdicts(judge.judge(pairs, next(seeds)))
            spent = {name: value - before[name] for name, value in judge.spent().items() if _is_count(value)}
            return {
                **found,
                "requests": spent["sent"],
                "retries": max(0, spent["sent"] - spent["answered"] - spent["failed"]),
                "cache_hits": spent["cached"],
                "prompt_tokens": spent["prompt_tokens"],
                "completion_tokens": spent["completion_tokens"],
            }

        yield work


@contextmanager
def _statistics(folder: Path, asked: Asked) -> Iterator[Work]:
    import numpy as np

    from rlp_bench.statistics import hierarchical_mean, paired_difference

    draw = np.random.default_rng(0).integers(0, 3, (6, 805)) / 2
    seeds = [{f"item-{n}": float(score) for n, score in enumerate(row)} for row in draw]

    def work() -> Counters:
        first = paired_difference(seeds[0], seeds[1], resamples=9999, interval="bootstrap")
        over = hierarchical_mean(seeds)
        return {"resamples": 2 * 9999, "items": first.n, "items_over_seeds": over.n}

    yield work


WORKLOADS = (
    Workload("rollout", "tokens_sampled", "128 prompts x 48 tokens, the transformers engine", _rollout),
    Workload("reward", "pairs", "the reward stage, 12 updates of 32 pairs", _reward),
    Workload("ppo", "samples", "the PPO stage, 2 rollouts of 32 prompts x 48 tokens, 4 updates", _ppo),
    Workload("judged_pairs", "pairs", "1500 pairs judged by the 13 annotators of micro_pool", _judged),
    Workload("judged_requests", "requests", "150 pairs judged over HTTP by a server that answers at once", _requests),
    Workload("statistics", "resamples", "805 items: permutation, paired bootstrap, error over 6 seeds", _statistics),
)  # fmt: skip


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _answers(n: int) -> list[Pair]:
    """n pairs of a correct answer and another question's answer."""
    told = micro.load_world().demonstrations(n + 1)
    return [Pair(asked, answer, told[place + 1][1]) for place, (asked, answer) in enumerate(told[:n])]


def _verdicts(verdicts: Any) -> dict[str, float]:
    missing = sum(verdict.preference is None for verdict in verdicts)
    return {"pairs": len(verdicts), "missing": missing}


def _preferences(folder: Path, n: int, finished: bool) -> Artifact:
    rows = [
        {
            "instruction": pair.instruction, "input": "", "chosen": pair.first, "rejected": pair.second,
            "chosen_finished": finished, "rejected_finished": finished, "source": "annotator", "annotator": "",
        }
        for pair in _answers(n)
    ]  # fmt: skip
    return _rows("preferences", folder, rows)


def _rows(kind: str, folder: Path, rows: list[dict[str, Any]]) -> Artifact:
    folder.mkdir()
    write_jsonl(folder / "rows.jsonl", rows)
    return Artifact(kind, "0" * 64, folder)


def _train(stage: Any, inputs: Mapping[str, Any], out: Path | None = None) -> tuple[Any, dict[str, float]]:
    """(metrics, counters) of a stage, run as the harness runs it; its output is deleted unless `out` is given."""
    with tempfile.TemporaryDirectory() as folder:
        place = out or Path(folder) / "out"
        place.mkdir()
        meter = StageMeter()
        context = Context(
            seed=0, device="cpu", prompting=PROMPTING, scratch=Path(folder) / "scratch", meter=meter,
            progress=lambda done, total, note="": None, engine=_NoEngine(),
        )  # fmt: skip
        with meter:
            metrics = stage.train(inputs, place, context)
    pairs = {"pairs": metrics["rows_used"]} if "preferences" in inputs else {}
    return metrics, {**meter.counters, **pairs}


class _NoEngine:
    """Engine placeholder: the timed stages need no engine."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a timed stage has no engine: {name}")
