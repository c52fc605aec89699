"""What published PPOs for language models differ in, as flags; a preset is a set of their defaults."""

from dataclasses import dataclass, replace
from typing import Any, Literal

KlEstimator = Literal["k1", "k2", "k3", "clamp"]
Whiten = Literal["off", "keep_mean", "scale"]
Slots = Literal["masked", "all_slots"]
MissingEos = Literal["none", "replace", "penalty"]
Calibrate = Literal["none", "center", "standardise"]


@dataclass(frozen=True)
class Flags:
    """Every choice, made. Each can be set alone on the stage; what is not set comes from the preset."""

    kl_estimator: KlEstimator
    whiten_rewards: Whiten
    whiten_scope: Slots
    whiten_advantages: bool
    gae_lambda: float
    loss_mean: Slots
    missing_eos: MissingEos
    calibrate: Calibrate


PRESETS = {
    # Dubois et al. 2023 (arXiv:2305.14387), code rl/ppo_trainer.py. Departs: values after EOS count as 0, where
    # theirs are whatever the value net says of padding (the same for λ = 1).
    "alpacafarm": Flags(
        kl_estimator="clamp",
        whiten_rewards="keep_mean",
        whiten_scope="all_slots",
        whiten_advantages=True,
        gae_lambda=1.0,
        loss_mean="all_slots",
        missing_eos="none",
        calibrate="none",
    ),
    # Stiennon et al. 2020 (arXiv:2009.01325) as reproduced by Huang et al. 2024 (arXiv:2403.17031), rewards not
    # whitened; the score centred on samples of the SFT policy, so that it means the same for every reward model.
    "standard": Flags(
        kl_estimator="k1",
        whiten_rewards="off",
        whiten_scope="masked",
        whiten_advantages=True,
        gae_lambda=0.95,
        loss_mean="masked",
        missing_eos="replace",
        calibrate="center",
    ),
}


def resolve(preset: str, **chosen: Any) -> Flags:
    """The preset's flags with those that were chosen (not None) in their place."""
    return replace(PRESETS[preset], **{name: value for name, value in chosen.items() if value is not None})
