"""The micro base model with an EOS that it does not generate: all responses have full length on every machine."""

import json
import shutil
from pathlib import Path
from typing import Any

from rlp_bench.api.files import write_text
from rlp_bench.micro import base_path

EOS, UNKNOWN = "<eos>", "<unk>"


def endless_policy(folder: Path) -> Path:
    """Writes the checkpoint with the base model's weights; EOS and the unknown token exchange their ids.

    The unknown token was never a target in pre-training; what the model generates as its EOS becomes "<unk>".
    """
    shutil.copytree(base_path(), folder)
    tokenizer = _read(folder / "tokenizer.json")
    words = tokenizer["model"]["vocab"]
    words[EOS], words[UNKNOWN] = words[UNKNOWN], words[EOS]
    for token in tokenizer["added_tokens"]:
        token["id"] = words.get(token["content"], token["id"])
    tokenizer["added_tokens"].sort(key=lambda token: token["id"])
    _write(folder / "tokenizer.json", tokenizer)
    for name in ("config.json", "generation_config.json"):
        _write(folder / name, {**_read(folder / name), "eos_token_id": None})
    return folder


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write(path: Path, value: dict[str, Any]) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False))
