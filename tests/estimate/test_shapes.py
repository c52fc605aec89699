"""Parameters are exact: of a file, of the meta device, and as published."""

import json
from pathlib import Path

import pytest
from runs import checkpoint

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.plan.estimate.shapes import on_meta_device, read_folder, shape_of, shipped, shipped_names
from rlp_bench.recipes.schema import Base


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llama-7b", 6_738_415_616 + 2 * 4096),  # LLaMA-7B and the row of a pad token in both embeddings
        ("smollm2-1.7b", 1_711_376_384),
        ("smollm2-360m", 361_821_120),
        ("smollm2-135m", 134_515_008),
        ("tinyllama-1.1b", 1_100_048_384),
    ],
)
def test_shipped_shapes_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert shipped(name).parameters == parameters


def test_every_shipped_shape_is_tested_above() -> None:
    assert len(shipped_names()) == 5


def test_file_meta_device_and_model_agree(tmp_path: Path) -> None:
    from rlp_bench.trainers.modeling.checkpoints import load_policy, new_reward

    folder = checkpoint(tmp_path / "base", 64, 3, heads=4, kv_heads=2)
    shape = read_folder(folder)
    policy, reward = load_policy(folder)[0], new_reward(folder, 0)[0]
    assert shape.count("lm") == sum(parameter.numel() for parameter in policy.parameters())
    assert shape.count("scalar") == sum(parameter.numel() for parameter in reward.parameters())
    config = json.loads((folder / "config.json").read_text())
    assert dict(shape.tensors) == on_meta_device(config, "base")
    # By hand: 3 layers of q and o (64 x 64), k and v (64 x 32), three of 64 x 176.
    assert shape.matrices == 3 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 176)


def test_adapters_are_those_that_peft_adds(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="peft is not installed; pip install rlp-bench[lora]")
    from rlp_bench.api.types import Training
    from rlp_bench.trainers.modeling.checkpoints import load_policy
    from rlp_bench.trainers.modeling.lora import with_adapters

    folder = checkpoint(tmp_path / "base", 64, 2, kv_heads=2)
    for targets in ((), ("q_proj", "down_proj")):
        model = with_adapters(load_policy(folder)[0], Training(lora_rank=4, lora_targets=targets), 0)
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        assert read_folder(folder).adapters(4, targets) == trained


def test_the_checkpoint_that_is_here_counts_and_not_the_named_shape(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "base", 64, 2)
    assert shape_of(Base(checkpoint=str(folder), shape="llama-7b")).layers == 2
    assert shape_of(Base(checkpoint=str(tmp_path / "gone"), shape="llama-7b")).layers == 32


def test_what_cannot_be_counted_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match='unknown shape "lama-7b"; did you mean "llama-7b"'):
        shape_of(Base(checkpoint=str(tmp_path / "gone"), shape="lama-7b"))
    with pytest.raises(BenchError, match=r"is not on this machine; give a folder, or set base\.shape"):
        shape_of(Base(checkpoint=str(tmp_path / "gone")))
    (tmp_path / "config.json").write_text('{"model_type": "no_such_model"}')
    with pytest.raises(DataError, match="transformers cannot build a model from its config"):
        read_folder(tmp_path)
