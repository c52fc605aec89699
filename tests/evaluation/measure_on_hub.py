"""`python measure_on_hub.py WHAT SOURCE FOLDER`: one measurement on the dev prompts of a data source, as JSON."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evaluation_parts import TableEngine, artifact, silent

from rlp_bench.analysis.preference_accuracy import measured, reward_rows
from rlp_bench.display import Display
from rlp_bench.evaluation.evaluator import Evaluation
from rlp_bench.evaluation.resolve import load_judge
from rlp_bench.matrix import tuning
from rlp_bench.matrix.trajectory import points_of
from rlp_bench.recipes.data_sources import open_source
from rlp_bench.recipes.load import load_recipe
from rlp_bench.store.store import Store

ANSWERS = ["short", "a longer one"]
PAIR = {
    "instruction": "Name a fruit.",
    "chosen": ANSWERS[1],
    "rejected": ANSWERS[0],
    "chosen_tokens": 3,
    "rejected_tokens": 1,
    "chosen_finished": True,
    "rejected_finished": True,
}


def main(what: str, source: str, folder: Path) -> Any:
    """The measurement of a policy with two answers to everything, a reward model and an SFT policy."""
    recipe = load_recipe(
        "nano",
        [
            f"data.source={source}", "data.dev=4", "evaluation.dev_pairs=4", "tuning.prompts=4",
            'judge.name="longest"', "evaluation.second_judges=[]",
        ],
    )  # fmt: skip
    logprobs = {ANSWERS[0]: -1.0, ANSWERS[1]: -2.0}
    policy = artifact(folder / "policy", "policy", answers={"*": ANSWERS[::-1]}, logprobs=logprobs)
    sft = artifact(folder / "sft", "policy", answers={"*": ANSWERS}, logprobs=logprobs)
    reward = artifact(folder / "reward", "reward", scores={ANSWERS[0]: 0.0, ANSWERS[1]: 1.0})
    for made, trainer in ((policy, "ppo"), (sft, "sft"), (reward, "reward")):
        made.manifest["provenance"].update(trainer=trainer, settings={"beta": 0.1, "rollouts": 4})
    record = SimpleNamespace(
        recipe=recipe, method="ppo", seed=0, policy=policy, last=lambda kind: reward,
        lineage=[("sft", sft), ("reward", reward), ("ppo", policy)],
    )  # fmt: skip
    engine, store, display = TableEngine(), Store(folder / "store"), Display(quiet=True)
    runner: Any = SimpleNamespace(engine=engine)

    def labels() -> Any:
        pairs = artifact(folder / "pairs", "preferences")
        (pairs.path / "rows.jsonl").write_text(json.dumps(PAIR) + "\n")
        rows = measured(store, pairs, load_judge("longest"), None, open_source(recipe.data.source), display)
        return {"labels": rows, "rewards": reward_rows(record, store, runner, load_judge("longest"), None, display)}  # type: ignore[arg-type]  # fmt: skip

    calls: dict[str, Callable[[], Any]] = {
        "diagnostics": lambda: Evaluation(store, recipe, engine, None, None, silent).diagnostics(
            policy, record.lineage
        ),
        "tuning": lambda: tuning.measure(record, 0.1, store, runner, silent),  # type: ignore[arg-type]
        "trajectory": lambda: [p.row() for p in points_of(record, store, runner, None, display)],  # type: ignore[arg-type]
        "preference_accuracy": labels,
    }
    return calls[what]()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
