"""Real stages on random Llamas of a chosen size, run through `train` and measured; and what is predicted of them."""

import random
from pathlib import Path
from typing import Any

import torch
from live_bytes import LiveBytes
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rlp_bench.api.files import write_jsonl
from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, ProcessGroup, Prompting, Training
from rlp_bench.plan.estimate.memory import Setup
from rlp_bench.plan.estimate.workload import Work, read_work

WORDS = 1000


class Meter:
    """Counts nothing."""

    def count(self, **amounts: float) -> None:
        """Does nothing."""


def checkpoint(
    folder: Path,
    d: int,
    layers: int,
    heads: int = 4,
    kv_heads: int = 4,
    words: int = WORDS,
    f: int | None = None,
) -> Path:
    """A random policy without a likely end, with a word-level tokenizer ("w3" is token 3)."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {"<pad>": 0, "<eos>": 1, "<unk>": 2, **{f"w{token}": token for token in range(3, words)}}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words, hidden_size=d, intermediate_size=f or 11 * d // 4, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=512, pad_token_id=0,
        bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def reward_checkpoint(folder: Path, policy: Path) -> Path:
    """A reward model on the policy's backbone."""
    from rlp_bench.trainers.modeling.checkpoints import RewardInfo, new_reward, save_model

    model, tokenizer = new_reward(policy, 0)
    save_model(model, tokenizer, folder)
    RewardInfo(eos=True, mean=0.0, std=1.0).write(folder)
    return folder


def text(tokens: int, chance: random.Random) -> str:
    """So many words."""
    return " ".join(f"w{chance.randrange(3, WORDS)}" for _ in range(tokens))


def rows_of(kind: str, n: int, prompt: int, response: int, responses: int = 1) -> list[dict[str, Any]]:
    """Rows of an artifact: prompts as long as said, responses (EOS counted) that or up to two tokens less."""
    chance = random.Random(0)
    rows, longest = [], response
    for number in range(n):
        response = longest - number % 3
        row: dict[str, Any] = {"instruction": text(prompt, chance), "input": ""}
        if kind == "demonstrations":
            row["response"] = text(response - 1, chance)
        elif kind == "preferences":
            row |= {"chosen": text(response - 1, chance), "rejected": text(response - 1, chance)}
            row |= {"chosen_finished": True, "rejected_finished": True, "source": "test", "annotator": "test"}
        elif kind == "samples":
            said = [text(response - 1, chance) for _ in range(responses)]
            row["responses"] = [{"text": each, "tokens": response - 1, "finished": True} for each in said]
        rows.append(row)
    return rows


def artifact(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Artifact:
    """A folder of rows."""
    folder.mkdir(parents=True)
    write_jsonl(folder / "rows.jsonl", rows)
    return Artifact(kind, "0" * 64, folder)


class Run:
    """One stage on one base: its inputs, its context, and what is predicted of it."""

    def __init__(
        self, root: Path, stage: Any, prompt: int, response: int, inputs: dict[str, Any], hidden: int,
        training: Training | None = None, checkpointing: bool = False,
    ) -> None:  # fmt: skip
        self.root, self.stage, self.inputs = root, stage, inputs
        self.training, self.checkpointing = training or Training(), checkpointing
        self.prompting = Prompting("{instruction}", "", prompt, response)
        rows, responses = {}, {}
        for name, given in inputs.items():
            several = given if isinstance(given, list) else [given]
            lists = [one.rows() if (one.path / "rows.jsonl").exists() else [] for one in several]
            rows[name] = [float(len(each)) for each in lists]
            responses[name] = float(len((lists[0] or [{}])[0].get("responses", [1])))
        given = {
            "rows": rows, "responses": responses, "prompt": prompt, "response": response, "hidden": hidden
        }  # fmt: skip
        self.work: Work = read_work(stage.work(given), stage.name)
        self.setup = Setup(
            precision=self.training.precision,
            checkpointing=checkpointing,
            lora_rank=self.training.lora_rank,
            lora_targets=self.training.lora_targets,
        )

    def train(self) -> None:
        """The stage, whole."""
        out = self.root / f"out-{len(list(self.root.iterdir()))}"
        out.mkdir()
        context = Context(
            seed=0, device="cpu", prompting=self.prompting, scratch=out / "scratch", progress=lambda *_: None,
            meter=Meter(), engine=None, training=self.training,
            process_group=ProcessGroup(activation_checkpointing=self.checkpointing),
        )  # fmt: skip
        self.stage.train(self.inputs, out, context)

    def peak_bytes(self) -> int:
        """The most that tensors held."""
        with LiveBytes() as live:
            self.train()
        return live.peak

    def flops(self) -> float:
        """Operations by torch's own counter, attention written out so that it sees it."""
        counter = FlopCounterMode(display=False)
        with sdpa_kernel(SDPBackend.MATH), counter:
            self.train()
        return float(counter.get_total_flops())
