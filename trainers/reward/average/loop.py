"""Writes the mean of several reward models, and measures it on held-out pairs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rlp_bench.api import Artifact, BenchError, Context, write_json

from ...data.preference_pairs import split_pairs
from ...equations.bradley_terry import bradley_terry_loss, preference_accuracy
from ...modeling.averaged_reward import AVERAGE
from ...modeling.checkpoints import RewardInfo, load_reward, read_reward_info
from ...modeling.pair_scoring import row_scores


def average(settings: Any, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
    """Writes the files and returns the metrics of the mean reward on the held-out pairs.

    Raises:
        BenchError: there are fewer than two reward models, or they differ in whether an EOS is scored.
    """
    rewards: list[Artifact] = inputs["rewards"]
    infos = [read_reward_info(reward.path) for reward in rewards]
    if len(rewards) < 2 or len({info.eos for info in infos}) > 1:
        raise BenchError(
            f"average_rewards: {len(rewards)} reward models, with EOS {sorted({info.eos for info in infos})}; expected "
            "at least two that score responses in the same way; give models of one kind"
        )
    # `out` is later renamed to a sibling folder, so paths are relative to a sibling of `out`.
    here = out.resolve().parent / "artifact"
    members = [os.path.relpath(reward.path.resolve(), here) for reward in rewards]
    write_json(out / AVERAGE, {"members": members})
    RewardInfo(eos=infos[0].eos, mean=0.0, std=1.0).write(out)
    model, tokenizer, _ = load_reward(out, context.device)
    _, held, account = split_pairs(
        [inputs["preferences"]], tokenizer, context.prompting, settings.heldout, infos[0].eos
    )
    rows = [row for pair in held for row in (pair.chosen, pair.rejected)]
    with torch.no_grad():
        scores = row_scores(model, rows, tokenizer.pad_token_id, settings.microbatch).double()
    context.meter.count(reward_calls=len(rows) * len(rewards))
    chosen, rejected = scores[::2], scores[1::2]
    mean, std = float(scores.mean()), max(1e-8, float(scores.std(unbiased=False)))
    RewardInfo(eos=infos[0].eos, mean=mean, std=std).write(out)
    account.drop("not_held_out", account.rows_in - len(held) - sum(account.drops.values()))
    return {
        **account.close(len(held)),
        "models": float(len(rewards)),
        "heldout_pairs": float(len(held)),
        "heldout_accuracy": float(preference_accuracy(chosen, rejected)),
        "heldout_loss": float(bradley_terry_loss(chosen, rejected).mean()),
        "sft_mean": mean,
        "sft_std": std,
    }
