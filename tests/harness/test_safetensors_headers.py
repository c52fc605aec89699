"""Weight files that are damaged or incomplete are errors before anything is loaded."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from rlp_bench.api import DataError, tensors_of

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def sharded(tmp_path):
    save_file({"a.weight": torch.zeros(2, 3)}, tmp_path / ONE)
    save_file({"b.weight": torch.zeros(4)}, tmp_path / TWO)
    write_index(tmp_path, {"a.weight": ONE, "b.weight": TWO})
    return tmp_path


def write_index(folder, weight_map):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_all_shards_are_read(sharded):
    assert tensors_of(sharded) == {"a.weight": (2, 3), "b.weight": (4,)}


def test_a_shard_that_is_not_in_the_index_is_not_read(sharded):
    save_file({"old.weight": torch.zeros(1)}, sharded / "old.safetensors")
    assert "old.weight" not in tensors_of(sharded)


def test_a_missing_shard_is_named(sharded):
    (sharded / TWO).unlink()
    with pytest.raises(DataError, match=rf"1 of 2 shards .*{TWO}.*download"):
        tensors_of(sharded)


def test_a_tensor_that_no_shard_has_is_named(sharded):
    write_index(sharded, {"a.weight": ONE, "b.weight": TWO, "c.weight": TWO})
    with pytest.raises(DataError, match=r"in no shard \(c\.weight\)"):
        tensors_of(sharded)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}', "{}"])
def test_a_damaged_index_is_one_line(sharded, text):
    (sharded / "model.safetensors.index.json").write_text(text)
    with pytest.raises(DataError, match=r"index\.json cannot be read"):
        tensors_of(sharded)


@pytest.mark.parametrize("keep", [0, 5, 20, -1])
def test_a_file_that_is_cut_off_is_an_error_wherever_it_ends(tmp_path, keep):
    path = tmp_path / "model.safetensors"
    save_file({"a.weight": torch.zeros(20, 3)}, path)
    assert tensors_of(tmp_path) == {"a.weight": (20, 3)}
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        tensors_of(tmp_path)


def test_a_file_that_is_not_safetensors_is_an_error(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(os.urandom(64))
    with pytest.raises(DataError, match="not a whole safetensors file"):
        tensors_of(tmp_path)
