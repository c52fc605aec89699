"""Supervised fine-tuning: the loss against its peers, EOS, the ledger, resuming."""

from dataclasses import replace

import pytest
import torch
from tiny import PROMPTING, file_bytes

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import read_jsonl
from rlp_bench.api.types import Decoding
from rlp_bench.trainers.modeling.checkpoints import load_policy
from rlp_bench.trainers.policies.sft.loop import backward, encode_demonstrations, response_loss
from rlp_bench.trainers.policies.sft.trainer import SupervisedFineTuning
from rlp_bench.trainers.training.distributed import ALONE

ROWS = [([3, 4, 5], [9, 10, 1]), ([3, 4], [11, 1]), ([3, 4, 5, 6, 7], [12, 13, 14, 15, 1]), ([8], [1])]


@pytest.fixture
def demonstrations(artifact):
    rows = [
        {"instruction": f"what is {x}", "input": "", "response": f"the {x} is good ."}
        for x in ("fox", "owl", "red", "blue", "a", "b")
    ]
    return artifact("demonstrations", rows)


def stage(**settings):
    defaults = {"epochs": 2, "batch": 4, "learning_rate": 1e-2, "warmup": 0.0}
    return SupervisedFineTuning(**(defaults | settings))


def padded(rows, fill):
    longest = max(len(p) + len(r) for p, r in rows)
    return torch.tensor([p + r + [fill] * (longest - len(p) - len(r)) for p, r in rows])


def labels(rows):
    longest = max(len(p) + len(r) for p, r in rows)
    return torch.tensor([[-100] * len(p) + r + [-100] * (longest - len(p) - len(r)) for p, r in rows])


def test_loss_equals_that_of_transformers(policy_folder):
    model, _ = load_policy(policy_folder)
    ids = padded(ROWS, 0)
    theirs = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels(ROWS)).loss
    tokens = sum(len(response) for _, response in ROWS)
    assert (response_loss(model, ROWS, 0) / tokens).item() == pytest.approx(theirs.item(), abs=1e-5)


def test_gradient_does_not_depend_on_the_micro_batches(policy_folder):
    """One batch of 4, and 4 of 1 accumulated, give one gradient."""
    gradients = []
    for microbatch in (4, 1):
        model, _ = load_policy(policy_folder)
        backward(stage(microbatch=microbatch), ALONE, model, ROWS, 0)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (gradients[0] - gradients[1]).norm() / gradients[0].norm() < 1e-5


def test_loss_equals_that_of_trl(policy_folder, tmp_path):
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    model, tokenizer = load_policy(policy_folder)
    texts = [(tokenizer.decode(p), tokenizer.decode(r[:-1])) for p, r in ROWS[:3]]
    rows = [{"prompt": p, "completion": f" {r}"} for p, r in texts]
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=3, report_to=[], use_cpu=True, bf16=False,
        max_steps=1, learning_rate=1e-9, logging_steps=1, save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    theirs = trainer.train().training_loss
    fresh, _ = load_policy(policy_folder)
    tokens = sum(len(response) for _, response in ROWS[:3])
    assert (response_loss(fresh, ROWS[:3], 0) / tokens).item() == pytest.approx(theirs, abs=1e-5)


def test_policy_learns_the_answers_and_to_stop(policy, demonstrations, train, context):
    """The generated-EOS rate after fine-tuning."""
    out = train(stage(epochs=60, batch=6), "sft", init=policy, demonstrations=demonstrations)
    assert out.metrics["train_loss"] < 0.2
    prompts = [PROMPTING.render(row["instruction"]) for row in demonstrations.rows()]
    samples = context.engine.sample(out.path, prompts, Decoding(1.0, 1.0, 6), n=4, seed=1)
    finished = [sample.finished for group in samples for sample in group]
    assert sum(finished) / len(finished) > 0.95
    assert sum(s.text == "the fox is good ." for s in samples[0]) >= 3


def test_every_row_is_used_or_counted(policy, artifact, train):
    rows = [
        {"instruction": "what is a", "input": "", "response": "a b c d e"},  # 5 + EOS: just fits
        {"instruction": "what is b", "input": "", "response": "a b c d e f"},  # one too many
        {"instruction": "what is " + "c " * 9, "input": "", "response": "a"},  # long prompt
    ]
    given = artifact("demonstrations", rows)
    dropped = train(stage(), "dropped", init=policy, demonstrations=given).metrics
    assert [dropped[k] for k in ("rows_in", "rows_used", "dropped_response_too_long")] == [3, 1, 1]
    cut = train(stage(over_length="truncate"), "cut", init=policy, demonstrations=given).metrics
    assert [cut[k] for k in ("rows_in", "rows_used", "truncated", "dropped_prompt_too_long")] == [3, 2, 1, 1]


def test_a_truncated_demonstration_still_ends_with_eos(policy, artifact, context):
    _, tokenizer = load_policy(policy.path)
    given = artifact(
        "demonstrations", [{"instruction": "what is a", "input": "", "response": "a b c d e f g"}]
    )
    rows, _ = encode_demonstrations(stage(over_length="truncate"), given, tokenizer, PROMPTING)
    assert rows[0][1][-1] == tokenizer.eos_token_id
    assert len(rows[0][1]) == PROMPTING.max_response_tokens


def test_nothing_usable_is_an_error(policy, artifact, train):
    given = artifact("demonstrations", [{"instruction": "what " * 20, "input": "", "response": "a"}])
    with pytest.raises(DataError, match="none of 1 demonstrations"):
        train(stage(), "nothing", init=policy, demonstrations=given)


def test_same_seed_same_bytes_and_resuming_changes_none(policy, demonstrations, train, context, tmp_path):
    whole = train(stage(epochs=3), "whole", init=policy, demonstrations=demonstrations)
    again = train(stage(epochs=3), "again", init=policy, demonstrations=demonstrations)
    assert file_bytes(whole.path) == file_bytes(again.path)

    def killed(done, total, note=""):
        if done == 4:
            raise KeyboardInterrupt

    interrupted = replace(context, scratch=tmp_path / "kept", progress=killed)
    (tmp_path / "resumed").mkdir()
    inputs = {"init": policy, "demonstrations": demonstrations}
    with pytest.raises(KeyboardInterrupt):
        stage(epochs=3, checkpoint_every=3).train(inputs, tmp_path / "resumed", interrupted)
    resumed = replace(interrupted, progress=context.progress)
    stage(epochs=3, checkpoint_every=3).train(inputs, tmp_path / "resumed", resumed)
    for name in ("model.safetensors", "log.jsonl"):
        assert (tmp_path / "resumed" / name).read_bytes() == (whole.path / name).read_bytes()
    assert [row["step"] for row in read_jsonl(tmp_path / "resumed" / "log.jsonl")] == list(range(6))


def test_another_seed_gives_another_policy(policy, demonstrations, train, context):
    one = train(stage(), "one", init=policy, demonstrations=demonstrations)
    two = train(stage(), "two", replace(context, seed=1), init=policy, demonstrations=demonstrations)
    assert (one.path / "model.safetensors").read_bytes() != (two.path / "model.safetensors").read_bytes()
