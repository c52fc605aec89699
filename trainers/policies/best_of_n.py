"""The stage "best_of_n": the policy samples n responses and the reward model selects one. Nothing is trained."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from rlp_bench.api import Artifact, BenchError, Context, write_json

from ..equations.best_of_n_kl import kl_bound
from ..training.setting_types import Count, NotNegative, Share


@dataclass(frozen=True)
class BestOfN:
    """A policy folder with sampling instructions only: engines sample n responses and keep the best.

    Source: Nakano et al. 2021 (arXiv:2112.09332); Dubois et al. 2023 (arXiv:2305.14387) with n = 16 in their code and
    1024 in their main table. Departs: top_p 1 (their script silently decodes with 0.9).
    """

    name: ClassVar[str] = "best_of_n"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"policy": "policy", "reward": "reward?"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ()

    by: Literal["reward", "length"] = "reward"
    """Selection criterion: reward, or number of characters (a control that needs no reward model)."""
    n: Count = 16
    """Samples per prompt."""
    temperature: NotNegative = 1.0
    """Temperature of the n samples; the evaluation's own temperature does not apply."""
    top_p: Share = 1.0
    """Nucleus (top-p) threshold of the n samples."""

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes best_of_n.json, with paths relative to the artifact so that a store can be moved."""
        if self.by == "reward" and "reward" not in inputs:
            raise BenchError('best_of_n: by = "reward" needs the input "reward"; give one, or by = "length"')
        # `out` is later renamed to a sibling folder, so paths are relative to a sibling of `out`.
        here = out.resolve().parent / "artifact"
        write_json(
            out / "best_of_n.json",
            {
                "policy": os.path.relpath(inputs["policy"].path.resolve(), here),
                "reward": os.path.relpath(inputs["reward"].path.resolve(), here)
                if self.by == "reward"
                else None,
                "n": self.n,
                "temperature": self.temperature,
                "top_p": self.top_p,
            },
        )
        return {"n": float(self.n), "kl_bound": kl_bound(self.n)}

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`: nothing is computed before the policy is sampled."""
        return {"models": {}, "passes": ()}
