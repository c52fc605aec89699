r"""Preference rows as message lists: TRL's conversational form and ShareGPT's, with the prompt beside or inside.

A message is {"role", "content"} or {"from", "value"}. A prompt of one user message is its text, after the system
message if there is one; one of several turns is written with speakers, as HH-RLHF is: "Human: ...\n\nAssistant: ...".
Sources: TRL, docs/source/dataset_formats.md (conversational preference, explicit and implicit prompt); LLaMA-Factory,
data/README.md (ShareGPT preferences).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlp_bench.api import RowFault, shown_value

PROMPTS = ("prompt", "conversations", "messages", "instruction")
"""Fields that a prompt may be in, the first that the row has."""
ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt"), "assistant"),
    "system": "system",
}
SPEAKERS = {"user": "Human", "assistant": "Assistant"}


class Message(NamedTuple):
    """One message."""

    role: str
    text: str


class MessagePair(NamedTuple):
    """A prompt and two answers; `goes_on` if an answer has further turns, i.e. they differ before the last one."""

    prompt: str
    questions: list[str]
    """The text of each user message."""
    chosen: str
    rejected: str
    goes_on: bool


def has_messages(row: Mapping[str, Any]) -> bool:
    """Whether a prompt or an answer of the row is a message or a list of messages."""
    return any(isinstance(row.get(name), list | dict) for name in (*PROMPTS, "chosen", "rejected"))


def message_pair(row: Mapping[str, Any]) -> MessagePair:
    """The prompt and answers of a row with message lists.

    Raises:
        RowFault: a message is invalid, or the lists do not fit together.
    """
    name = next((name for name in PROMPTS if row.get(name)), "")
    before = _messages(row, name, "user") if name else []
    chosen, rejected = _messages(row, "chosen", "assistant"), _messages(row, "rejected", "assistant")
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    inside = chosen[:shared]
    if inside and inside[-1].role == "assistant" and chosen[shared].role == "assistant":
        raise RowFault('"chosen" has two answers after each other')
    context = _context(before, inside, name)
    if isinstance(row.get("system"), str) and row["system"].strip():
        context = [Message("system", row["system"]), *context]
    if not context or context[-1].role != "user":
        raise RowFault("has no user message before the answers")
    won, lost = chosen[shared:], rejected[shared:]
    for side, left in (("chosen", won), ("rejected", lost)):
        if left[-1].role != "assistant":
            raise RowFault(f'"{side}" does not end with a message of the assistant')
    questions = [message.text for message in context if message.role == "user"]
    goes_on = len(won) > 1 or len(lost) > 1
    return MessagePair(prompt_text(context), questions, won[-1].text, lost[-1].text, goes_on)


def prompt_text(messages: Sequence[Message]) -> str:
    """The messages before an answer as one text; see the top of this file."""
    system = [message.text for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    if len(turns) == 1:
        return "\n\n".join([*system, turns[0].text])
    return "\n\n".join([*system, *(f"{SPEAKERS[role]}: {text.strip()}" for role, text in turns)])


def _context(before: list[Message], inside: list[Message], name: str) -> list[Message]:
    """The messages before the answers: those inside the answers' lists, those of the prompt's field, or both.

    Raises:
        RowFault: the prompt's field contradicts the messages.
    """
    if not inside or not before:
        return before or inside
    given = [(message.role, message.text.strip()) for message in before]
    known = [(message.role, message.text.strip()) for message in inside]
    if set(given) <= set(known):
        return inside
    if inside[0].role != "user" and before[-1].role == "user":
        return [*before, *inside]
    raise RowFault(f'"{name}" is not the prompt in "chosen" and "rejected"')


def _messages(row: Mapping[str, Any], name: str, role: str) -> list[Message]:
    """The messages in a field; a text is one of `role`."""
    value = row.get(name)
    if isinstance(value, str):
        return [Message(role, value)]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value:
        found = "is missing" if name not in row else f"is {shown_value(value)}"
        raise RowFault(f'"{name}" {found}, not a text or a list of messages')
    return [_message(name, number, one) for number, one in enumerate(value, 1)]


def _message(name: str, number: int, value: Any) -> Message:
    where = f'"{name}": message {number}'
    if not isinstance(value, Mapping):
        raise RowFault(f"{where} is {shown_value(value)}, not an object")
    role = value.get("role", value.get("from"))
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise RowFault(f"{where} has the role {shown_value(role)}; known are {', '.join(ROLES)}")
    return Message(ROLES[role.lower()], _content(where, value.get("content", value.get("value"))))


def _content(where: str, content: Any) -> str:
    """The text of a message: a text, or a list of text parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RowFault(f"{where} has the content {shown_value(content)}, not text")
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
    known = [text for text in texts if isinstance(text, str)]
    if len(known) < len(texts):
        raise RowFault(f"{where} has a part that is not text")
    return "".join(known)
