"""Checks a checkpoint's tokenizer against its embedding and the recipe's template, without loading the model."""

from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError
from rlp_bench.api.types import Prompting
from rlp_bench.recipes.base_checkpoint import check_checkpoint, json_file

TOKENIZER = "tokenizer.json"


def check_prompting(folder: Path, prompting: Prompting) -> str:
    """Checks files, tokenizer and template; returns what was found, in words.

    A tokenizer without tokenizer.json (SentencePiece) is only checked when it is loaded.

    Raises:
        DataError: a file is missing, the tokenizer is damaged or has more tokens than the embedding, or the template
            alone is longer than `max_prompt_tokens`.
    """
    check_checkpoint(folder)
    path = folder / TOKENIZER
    if not path.is_file():
        return "files are complete; the tokenizer is checked when it is loaded"
    tokenizer = _read(path)
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    rows = _rows(folder)
    if rows is not None and largest >= rows:
        raise DataError(
            f'checkpoint "{folder}": its tokenizer has token {largest}, its embedding {rows} rows; resize the '
            "embedding (model.resize_token_embeddings(len(tokenizer))) and save both again"
        )
    for instruction, given in (("", ""), ("", "x")) if prompting.template_with_input else (("", ""),):
        text = prompting.render(instruction, given)
        count = len(tokenizer.encode(str(text), add_special_tokens=True).ids)
        if count >= prompting.max_prompt_tokens:
            raise DataError(
                f"prompting.max_prompt_tokens: is {prompting.max_prompt_tokens}, and the template alone has {count} "
                "tokens, so that every instruction would be cut off; raise it"
            )
    return f"{tokenizer.get_vocab_size(with_added_tokens=True)} tokens"


def _read(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exceptions
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f'checkpoint file "{path}": not a tokenizer ({reason}); the file is damaged, copy it again'
        ) from None


def _rows(folder: Path) -> int | None:
    """Rows of the embedding by config.json; None if it does not say."""
    config = json_file(folder / "config.json")
    rows = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    return rows if isinstance(rows, int) else None
