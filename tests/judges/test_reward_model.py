"""A reward model as a judge, on a real (random) checkpoint of the embedded base model's shape."""

import json
import math
from pathlib import Path

import pytest

from rlp_bench.api.errors import DataError
from rlp_bench.api.types import Pair
from rlp_bench.judges.reward_model import RewardModel
from rlp_bench.micro import load_world

BASE = Path(__file__).resolve().parents[2] / "rlp_bench" / "micro" / "base"
TEMPLATE = "<user> {instruction} <assistant>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A reward model with random weights, sealed as the reward stage seals it."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, LlamaForSequenceClassification

    path = tmp_path_factory.mktemp("reward")
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    config = AutoConfig.from_pretrained(BASE, num_labels=1, pad_token_id=tokenizer.pad_token_id)
    LlamaForSequenceClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    (path / "reward.json").write_text(json.dumps({"eos": True, "mean": 0.0, "std": 1.0}))
    prompting = {
        "template": TEMPLATE,
        "template_with_input": "",
        "max_prompt_tokens": 32,
        "max_response_tokens": 48,
    }
    manifest = {"provenance": {"recipe": {"prompting": prompting}}}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return [Pair(p.instruction, p.output_1, p.output_2) for p in load_world().llmbar_pairs()[:24]]


def by_hand(folder: Path, instruction: str, answer: str) -> float:
    """The score from transformers alone: prompt, answer and EOS in one row, no batch, no padding."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    text = TEMPLATE.replace("{instruction}", instruction)
    row = tokenizer(text)["input_ids"] + tokenizer(answer, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        return float(model(torch.tensor([[*row, tokenizer.eos_token_id]])).logits[0, 0])


def test_prefers_what_transformers_scores_higher(folder, pairs):
    verdicts = RewardModel(str(folder)).judge(pairs)
    assert {v.preference for v in verdicts} == {0.0, 1.0}
    for pair, verdict in zip(pairs[:8], verdicts, strict=False):
        scores = [by_hand(folder, pair.instruction, text) for text in (pair.first, pair.second)]
        assert [float(s) for s in verdict.raw.split()] == pytest.approx(scores, abs=1e-4)
        assert verdict.preference == float(scores[0] > scores[1])


def test_soft_is_the_bradley_terry_probability_and_swapping_turns_it(folder, pairs):
    soft = RewardModel(f"{folder},soft=true")
    turned = soft.judge([Pair(p.instruction, p.second, p.first) for p in pairs])
    for verdict, other in zip(soft.judge(pairs), turned, strict=True):
        first, second = (float(s) for s in verdict.raw.split())
        assert verdict.preference == pytest.approx(1 / (1 + math.exp(second - first)), abs=1e-4)
        assert verdict.preference + other.preference == pytest.approx(1.0, abs=1e-6)
    assert soft.manifest()["scale"] == "soft"


def test_equal_answers_tie_and_the_batch_changes_nothing(folder, pairs):
    judge = RewardModel(str(folder))
    assert judge.judge([Pair("say it .", "yes .", "yes .")])[0].preference == 0.5
    alone = [judge.judge([pair])[0].preference for pair in pairs]
    assert alone == [v.preference for v in judge.judge(pairs)]


def test_the_manifest_names_the_weights_and_the_template(folder, tmp_path):
    one = RewardModel(str(folder)).manifest()
    assert "model.safetensors" in one["files"]
    assert "manifest.json" not in one["files"]
    (tmp_path / "t.txt").write_text("### {instruction} ->")
    other = RewardModel(f"{folder},prompt={tmp_path / 't.txt'}").manifest()
    assert one["files"] == other["files"]
    assert one["prompt_sha256"] != other["prompt_sha256"]


def test_a_wrong_folder_template_or_option_is_one_line(folder, tmp_path):
    with pytest.raises(DataError, match="needs a checkpoint"):
        RewardModel("")
    with pytest.raises(DataError, match=r"no config\.json"):
        RewardModel(str(tmp_path))
    (tmp_path / "t.txt").write_text("no place")
    with pytest.raises(DataError, match=r"has no \{instruction\}; add it"):
        RewardModel(f"{folder},prompt={tmp_path / 't.txt'}")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"has no prompt template in a manifest\.json"):
        RewardModel(str(tmp_path))
