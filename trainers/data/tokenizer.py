"""Loads a checkpoint's tokenizer, with a one-line error if the checkpoint is incomplete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError


def load_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a checkpoint; it must have distinct pad and EOS tokens.

    Raises:
        DataError: the folder is incomplete, or the tokenizer cannot be read or has no such tokens.
    """
    tokenizer = read_tokenizer(path)
    name = f'checkpoint "{path}"'
    if tokenizer.eos_token_id is None:
        raise DataError(f"{name}: the tokenizer has no EOS token; set eos_token in tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        raise DataError(f"{name}: the tokenizer has no pad token; add one that is not EOS and save it again")
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise DataError(
            f'{name}: pad and EOS are the same token ("{tokenizer.eos_token}"), so EOS would be masked as '
            "padding; add a separate pad token and save the checkpoint again"
        )
    return tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Within the context transformers prints no warnings and no progress bars; what matters becomes an error."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def read_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a checkpoint, with or without pad and EOS tokens; remote code is never run.

    Raises:
        DataError: the folder is incomplete, or the tokenizer cannot be read.
    """
    from transformers import AutoTokenizer

    _check_folder(path)
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except Exception as error:  # transformers raises many types; each becomes a one-line error
        raise DataError(f'checkpoint "{path}": the tokenizer cannot be read: {one_line(error)}') from error


def _check_folder(path: str | Path) -> None:
    """Raises DataError if a local checkpoint folder is incomplete. Hub ids are not checked."""
    folder = Path(path)
    if not folder.is_dir():
        if isinstance(path, Path) or str(path).startswith(("/", ".", "~")) or str(path).count("/") != 1:
            raise DataError(
                f'checkpoint "{path}": no such folder; give a folder in Hugging Face format or a hub id'
            )
        return
    if not (folder / "config.json").exists():
        raise DataError(f'checkpoint "{path}": no config.json; expected a folder in Hugging Face format')
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        raise DataError(
            f'checkpoint "{path}": no tokenizer (none of {", ".join(TOKENIZER_FILES)}); '
            "save the tokenizer of the model into the same folder"
        )
    if not any(folder.glob("*.safetensors")):
        raise DataError(f'checkpoint "{path}": no *.safetensors; other weight formats are not read')


TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
