"""The stage "constant": a policy that gives the same response to every prompt, a control for judges."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Artifact, Context, DataError, Decoding, write_json

from ..training.setting_types import Count


@dataclass(frozen=True)
class ConstantAnswer:
    """A policy folder with one fixed response: `text`, or by default the policy's most frequent response.

    Source: Zheng et al. 2024 (arXiv:2410.07137): a null model can win automatic benchmarks. Ours: the choice of text.
    """

    name: ClassVar[str] = "constant"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"policy": "policy", "prompts": "prompts"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "engine")

    text: str = ""
    """The answer; if empty, the policy's most frequent answer to the first `prompts` prompts."""
    prompts: Count = 1000
    """Number of prompts that are sampled to find it."""

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes constant.json, with the path of the policy that scores multiple choice relative to the artifact."""
        text, share = self.text, 1.0
        if not text:
            rows = inputs["prompts"].rows()[: self.prompts]
            asked = [context.prompting.render(row["instruction"], row.get("input", "")) for row in rows]
            decoding = Decoding(1.0, 1.0, context.prompting.max_response_tokens)
            drawn = context.engine.sample(inputs["policy"].path, asked, decoding, seed=context.seed)
            counts = Counter(s.text for (s,) in drawn if s.finished and s.text.strip())
            if not counts:
                raise DataError(
                    "constant: the policy gave no finished response; expected at least one; set stages.constant.text"
                )
            text, times = min(counts.items(), key=lambda found: (-found[1], found[0]))
            share = times / len(drawn)
        here = out.resolve().parent / "artifact"
        policy = os.path.relpath(inputs["policy"].path.resolve(), here)
        write_json(out / "constant.json", {"policy": policy, "text": text})
        return {"share": share}

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        asked = 0 if self.text else min(self.prompts, given["rows"]["prompts"][0])
        lengths = {"prompt": given["prompt"], "response": given["response"]}
        write = {"does": "write", "models": ("policy",), "rows": asked, **lengths}
        return {"models": {"policy": {}}, "passes": (write,)}
