"""Run by torchrun in two processes: each samples its share, with whole weights, shards, and the first one's dict."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from rlp_bench.api.types import Decoding
from rlp_bench.run.worker import leave
from rlp_bench.trainers.generation.sampler import make_sampler
from rlp_bench.trainers.modeling.checkpoints import load_policy
from rlp_bench.trainers.modeling.forward import response_logprobs

torch.set_num_threads(1)
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
model, tokenizer = load_policy(folder)
rows = [tokenizer.encode(f"w{place} w{place + 1}") for place in range(16)]
mine = range(16 * rank // size, 16 * (rank + 1) // size)
found: dict[str, object] = {"size": size}


def gap(sampler, learner):
    drawn = sampler.rollout(
        [rows[place] for place in mine], Decoding(max_response_tokens=8), 3, 1, mine.start
    )
    with torch.no_grad():
        own = response_logprobs(learner, drawn.ids, drawn.mask, drawn.response_mask)
    return float((own - drawn.logprobs).abs().max()), drawn.ids.tolist()


sampler = make_sampler("vllm", model, tokenizer, out)
sampler.sync(model)
found["whole"], found["ids"] = gap(sampler, model)
moved, _ = load_policy(folder)
with torch.no_grad():
    for parameter in moved.parameters():
        parameter.mul_(1.1)
shards, _ = load_policy(folder)
shards.load_state_dict(moved.state_dict())
for layer in shards.model.layers:
    fully_shard(layer)
fully_shard(shards)
found["dtensor"] = all(isinstance(parameter, DTensor) for parameter in shards.parameters())
sampler.sync(shards)
found["shards"], _ = gap(sampler, moved)
sampler.sync(model.state_dict() if rank == 0 else {})
found["dict"], _ = gap(sampler, model)
found["stale"], _ = gap(sampler, moved)
sampler.close()
total = torch.ones(1)
dist.all_reduce(total)  # the trainer's process group is still there
found["total"] = float(total)
(out / f"found-{rank}.json").write_text(json.dumps(found))
leave()
