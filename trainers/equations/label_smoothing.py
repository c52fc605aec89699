"""Label smoothing: a preference is taken to be right with probability 1 − α only."""

from torch import Tensor


def label_smoothing_loss(as_labeled: Tensor, as_reversed: Tensor, alpha: Tensor | float) -> Tensor:
    """The expected loss of each preference, (1 − α) L(y_w ≻ y_l) + α L(y_l ≻ y_w).

    Args:
        as_labeled: (B,) loss of the pair as labeled, for Bradley-Terry −log σ(r_w − r_l).
        as_reversed: (B,) loss of the same pair with its label reversed, −log σ(r_l − r_w).
        alpha: probability in [0, 1] that the label is wrong, a number or (B,). 0 is the loss as labeled; at ½ both
            orders cost the same, and the minimum is at equal rewards.

    Returns:
        (B,) losses; the caller averages.

    Source: Wang et al. 2024 (arXiv:2401.06080), equation 5. Departs: there the sum of logarithms is printed without
    the minus sign, so that minimizing it would reverse the preference.
    """
    return (1 - alpha) * as_labeled + alpha * as_reversed
