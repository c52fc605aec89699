"""The prompt template of a tokenizer's chat template."""

from typing import Any

from .tokenize import adds_bos

PLACEHOLDER = "{instruction}"


def prompt_template(tokenizer: Any) -> str:
    """One user message, up to where the answer begins; empty if the tokenizer has no chat template.

    A leading BOS is left out, because the tokenizer adds it to every prompt.
    """
    if not tokenizer.chat_template:
        return ""
    message = [{"role": "user", "content": PLACEHOLDER}]
    text = str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
    return text.removeprefix(tokenizer.bos_token) if adds_bos(tokenizer) else text
