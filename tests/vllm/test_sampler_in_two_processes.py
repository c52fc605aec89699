"""Two processes that train together sample together, whether their weights are whole or in shards."""

import json
import os
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE


def test_two_processes_hand_over_whole_models_shards_and_dictionaries(policy, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = Path(__file__).with_name("two_processes.py")
    done = subprocess.run(
        [*command, str(script), str(policy), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((tmp_path / f"found-{rank}.json").read_text()) for rank in range(2)]
    for one in found:
        assert (one["size"], one["total"], one["dtensor"]) == (2, 2.0, True)
        assert max(one["whole"], one["shards"], one["dict"]) < 1e-4
        assert one["stale"] > 1e-2
    assert found[0]["ids"] != found[1]["ids"]
    assert not (tmp_path / "vllm").exists()
    # each process has drawn what one alone would have drawn for its prompts
    from rlp_bench.api.types import Decoding
    from rlp_bench.trainers.generation.sampler import make_sampler
    from rlp_bench.trainers.modeling.checkpoints import load_policy

    model, tokenizer = load_policy(policy)
    rows = [tokenizer.encode(f"w{place} w{place + 1}") for place in range(16)]
    alone = make_sampler("vllm", model, tokenizer, tmp_path)
    whole = alone.rollout(rows, Decoding(max_response_tokens=8), 3)
    alone.close()
    parts = [row for one in found for row in one["ids"]]
    for row, part in zip(whole.ids.tolist(), parts, strict=True):
        shorter = min(len(row), len(part))
        assert row[:shorter] == part[:shorter]


def test_two_engines_live_beside_each_other_and_one_may_close(policy, prompts):
    from rlp_bench.api import registry
    from rlp_bench.api.types import Decoding

    one, two = (registry.load("engine", "vllm")(device="cpu") for _ in range(2))
    expected = one.sample(policy, prompts, Decoding(max_response_tokens=6))
    assert two.sample(policy, prompts, Decoding(max_response_tokens=6)) == expected
    one.close()
    assert two.sample(policy, prompts, Decoding(max_response_tokens=6)) == expected
    assert one.sample(policy, prompts, Decoding(max_response_tokens=6)) == expected, (
        "opens again when asked again"
    )
    two.close()
    one.close()
    import torch

    assert not torch.distributed.is_initialized()
