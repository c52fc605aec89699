"""The micro base model with an EOS that it cannot generate, so that all responses have full length on every machine."""

import json
import shutil
from pathlib import Path
from typing import Any

from rlp_bench.micro import base_path

EOS = "<eos>"
SAID = "<end>"
"""New name of the model's original EOS token."""


def endless_policy(folder: Path) -> Path:
    """Writes the checkpoint with the base model's weights; EOS gets the first id beyond the model's vocabulary."""
    shutil.copytree(base_path(), folder)
    config = _read(folder / "config.json")
    beyond = config["vocab_size"]
    tokenizer = _read(folder / "tokenizer.json")
    words = tokenizer["model"]["vocab"]
    words[SAID] = words.pop(EOS)
    words[EOS] = beyond
    for token in tokenizer["added_tokens"]:
        if token["content"] == EOS:
            token["id"] = beyond
    _write(folder / "tokenizer.json", tokenizer)
    for name in ("config.json", "generation_config.json"):
        _write(folder / name, {**_read(folder / name), "eos_token_id": None})
    return folder


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
