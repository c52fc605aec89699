"""A recipe's base checkpoint: a folder in Hugging Face format, used in place and identified by its content."""

import contextlib
import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlp_bench.api.documents import json_value, read_text
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import write_atomic
from rlp_bench.api.safetensors import tensors_of
from rlp_bench.api.types import Artifact
from rlp_bench.store.store import fingerprint, hash_file, hash_folder

PACKAGE = "package://"
LARGE = 64 * 2**20
"""Size in bytes from which a file's hash is cached."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def base_artifact(reference: str) -> Artifact:
    """The base policy. Its fingerprint is the hash of the folder's files; nothing is copied.

    Raises:
        DataError: the folder, config, weights or tokenizer is missing, or pad and EOS are the same token.
    """
    folder = locate(reference)
    check_checkpoint(folder)
    files = hash_folder(folder, hash_known)
    identity = {"trainer": "checkpoint", "files": files}
    manifest = {
        "kind": "policy",
        "files": files,
        "content": fingerprint(files),
        "provenance": {"trainer": "checkpoint", "reference": reference},
    }
    return Artifact("policy", fingerprint(identity), folder, manifest)


def hash_known(path: Path) -> str:
    """sha256 (hex) of a file; for a large file, cached by path, size, modification time and inode.

    Every process that builds a plan hashes the base checkpoint; 13 GB would take each about 30 seconds.
    """
    stat = path.stat()
    if stat.st_size < LARGE:
        return hash_file(path)
    where = fingerprint([str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino])
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    known = home / "rlp-bench" / "checkpoints" / where
    try:
        found = known.read_text(encoding="ascii")
        if len(found) == 64:
            return found
    except (OSError, UnicodeDecodeError):
        pass
    found = hash_file(path)
    with contextlib.suppress(OSError):  # without a writable cache the file is hashed again next time
        known.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(known, found.encode("ascii"))
    return found


def locate(reference: str) -> Path:
    """The checkpoint folder of "package://dotted.package/folder" or of a path."""
    if not reference.startswith(PACKAGE):
        return Path(reference).expanduser().resolve()
    package, _, inside = reference.removeprefix(PACKAGE).partition("/")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f'base.checkpoint: "{reference}": package "{package}" is not installed; install it or give a folder'
        )
    return Path(next(iter(spec.submodule_search_locations))) / inside


def check_checkpoint(folder: Path) -> None:
    """Checks config, weight files and tokenizer, and that pad is not EOS; reads JSON files and safetensors headers.

    Raises:
        DataError: one of these fails.
    """
    if not folder.is_dir():
        raise DataError(f'checkpoint "{folder}": no such folder; give one in Hugging Face format')
    if not (folder / "config.json").is_file():
        raise DataError(f'checkpoint "{folder}": has no config.json; expected a Hugging Face checkpoint')
    if not any(folder.glob("*.safetensors")):
        raise DataError(f'checkpoint "{folder}": has no *.safetensors; save the model with save_pretrained')
    tensors_of(folder)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise DataError(
            f'checkpoint "{folder}": has no tokenizer (none of {", ".join(TOKENIZERS)}); '
            "save it beside the model with tokenizer.save_pretrained"
        )
    pairs = [(pad, eos) for pad, eos in _pad_and_eos(folder) if pad is not None and eos]
    if not pairs:
        raise DataError(
            f'checkpoint "{folder}": has no pad token or no EOS token; set both, as different tokens'
        )
    for pad, eos in pairs:
        if pad in eos:
            raise DataError(
                f'checkpoint "{folder}": pad and EOS are both token {json.dumps(pad)}, so a policy could not '
                "learn to stop; add a separate pad token"
            )


def _pad_and_eos(folder: Path) -> Iterator[tuple[Any, list[Any]]]:
    """Yields (pad, [EOS, ...]) of the tokenizer (texts), generation_config and config (ids)."""
    tokenizer = json_file(folder / "tokenizer_config.json")
    eos = _text(tokenizer.get("eos_token"))
    yield _text(tokenizer.get("pad_token")), [] if eos is None else [eos]
    for name in ("generation_config.json", "config.json"):
        config = json_file(folder / name)
        ids = config.get("eos_token_id")
        yield config.get("pad_token_id"), ids if isinstance(ids, list) else [] if ids is None else [ids]


def _text(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token


def json_file(path: Path) -> dict[str, Any]:
    """The object of a checkpoint's JSON file; {} if there is no such file. Raises DataError if it is damaged."""
    if not path.is_file():
        return {}
    try:
        found = json_value(read_text(path, "JSON"))
    except ValueError:
        raise DataError(f'checkpoint file "{path}": not JSON; the file is damaged, copy it again') from None
    if not isinstance(found, dict):
        raise DataError(f'checkpoint file "{path}": expected a JSON object')
    return found
