"""Entailment by an NLI model: a tiny one is trained here, with its labels in an unusual order."""

import json
import shutil

import pytest
import torch
from tiny import make_tokenizer

from rlp_bench.api.errors import DataError
from rlp_bench.trainers.entailment.nli import NaturalLanguageInference, label_order, longest_first

LABELS = {0: "ENTAILMENT", 1: "contradiction", 2: "neutral"}
QUESTION = "what is the fox"


def rule(premise, hypothesis):
    """What the tiny model has to learn. It hangs on the hypothesis alone, so that swapped pairs are found out."""
    return {"no": "contradicts", "a": "neutral"}.get(hypothesis, "entails")


ANSWERS = ["red", "blue", "no", "a"]
PAIRS = [(p, h) for p in ANSWERS for h in ANSWERS]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A BERT of two layers that has learnt `rule` (seconds)."""
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("nli")
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"cls_token": "<cls>", "sep_token": "<sep>"})
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<cls> $A <sep>",
        pair="<cls> $A <sep> $B:1 <sep>:1",
        special_tokens=[("<cls>", cls), ("<sep>", sep)],
    )
    tokenizer.model_max_length, tokenizer.padding_side = 24, "right"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=24, num_labels=3, id2label=LABELS, pad_token_id=0,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    index = {"entails": 0, "contradicts": 1, "neutral": 2}
    left, right = zip(*[(f"{QUESTION} {p}", f"{QUESTION} {h}") for p, h in PAIRS], strict=True)
    batch = tokenizer(list(left), list(right), padding=True, return_tensors="pt")
    targets = torch.tensor([index[rule(p, h)] for p, h in PAIRS])
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(1500):
        loss = model(**batch, labels=targets).loss
        loss.backward()
        adam.step()
        adam.zero_grad()
        if loss < 0.01:
            break
    assert loss < 0.05
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_labels_are_read_from_the_config(checkpoint):
    """16 labelled pairs through a checkpoint whose label 0 is entailment."""
    nli = NaturalLanguageInference(str(checkpoint))
    assert nli.entails(QUESTION, PAIRS) == [rule(p, h) for p, h in PAIRS]
    assert nli.metrics() == {"truncated_question_rate": 0.0, "truncated_answer_rate": 0.0}


def test_a_verdict_does_not_depend_on_what_else_is_asked(checkpoint):
    nli = NaturalLanguageInference(str(checkpoint))
    together = nli.entails(QUESTION, [*PAIRS, ("red red red", "red")])
    assert [nli.entails(QUESTION, [pair])[0] for pair in PAIRS] == together[:-1]


def test_a_long_question_is_cut_before_an_answer(checkpoint):
    nli = NaturalLanguageInference(str(checkpoint))
    long = "good " * 30 + QUESTION
    # By hand: 24 − 3 special = 21 tokens; answers 1 + 1; (21 − 2) // 2 = 9 question tokens a side, the last ones.
    premise, hypothesis = nli._fit(long, "red", "blue")
    assert premise == "good " * 5 + QUESTION + " red"
    assert hypothesis == "good " * 5 + QUESTION + " blue"
    assert nli.metrics() == {"truncated_question_rate": 1.0, "truncated_answer_rate": 0.0}


def test_answers_that_fill_everything_lose_their_ends_equally(checkpoint):
    nli = NaturalLanguageInference(str(checkpoint))
    premise, hypothesis = nli._fit(QUESTION, "red " * 20, "blue " * 15)
    assert (premise.split(), hypothesis.split()) == (["red"] * 11, ["blue"] * 10)
    assert nli.metrics()["truncated_answer_rate"] == 1.0
    assert nli.entails(QUESTION, [("red " * 20, "blue " * 15)])  # and the model can read it


def test_a_separator_written_in_an_answer_is_text(checkpoint, monkeypatch):
    nli = NaturalLanguageInference(str(checkpoint))
    seen = []
    forward = nli.model.forward
    monkeypatch.setattr(
        nli.model, "forward", lambda **given: (seen.append(given["input_ids"]), forward(**given))[1]
    )
    nli.entails(QUESTION, [("red <sep> blue", "<cls> red"), ("red", "blue")])
    [ids] = seen
    for token, count in ((nli.tokenizer.sep_token_id, 2), (nli.tokenizer.cls_token_id, 1)):
        assert (ids == token).sum(1).tolist() == [count, count]


def test_longest_first():
    assert longest_first(3, 4, 10) == (3, 4)
    assert longest_first(20, 4, 10) == (6, 4)
    assert longest_first(4, 20, 10) == (4, 6)
    assert longest_first(20, 20, 11) == (6, 5)


def test_the_order_of_deberta_large_mnli():
    deberta = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    assert label_order(deberta, "x") == {0: "contradicts", 1: "neutral", 2: "entails"}


@pytest.mark.parametrize(
    "labels",
    [
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        {0: "entailment", 1: "not_entailment"},
        {0: "entailment", 1: "neutral", 2: "neutral"},
    ],
)
def test_labels_that_say_nothing_are_refused(labels, checkpoint, tmp_path):
    other = shutil.copytree(checkpoint, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["id2label"] = {str(k): v for k, v in labels.items()}
    config["label2id"] = {v: k for k, v in labels.items()}
    (other / "config.json").write_text(json.dumps(config))
    if len(labels) == 3:
        with pytest.raises(DataError, match="expected entailment, neutral and"):
            NaturalLanguageInference(str(other))
    else:
        with pytest.raises(DataError, match="expected entailment, neutral and"):
            label_order(labels, "x")


def test_a_folder_without_a_model_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"nli:.*cannot be loaded"):
        NaturalLanguageInference(str(tmp_path))
