r"""Parses HH-RLHF's dialogues: "\n\nHuman: ...\n\nAssistant: ...", chosen and rejected each in full."""

from dataclasses import dataclass

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


@dataclass(frozen=True)
class Dialogue:
    """A prompt and two answers to it."""

    prompt: str
    """A single human turn without its speaker, or several turns with their speakers."""
    chosen: str
    rejected: str
    goes_on: bool
    """Whether an answer contains further turns, i.e. the dialogues differ before their last answer."""


def read_dialogue(chosen: str, rejected: str) -> Dialogue | None:
    """The two dialogues, split after the last "Assistant:" up to which they are equal; None if there is none.

    White space around prompt and answers is part of the format and stripped.
    """
    end = -1
    while (place := chosen.find(ASSISTANT, end + 1)) >= 0:
        if not rejected.startswith(chosen[: place + len(ASSISTANT)]):
            break
        end = place
    if end < 0 or not chosen.startswith(HUMAN):
        return None
    won, lost = chosen[end + len(ASSISTANT) :], rejected[end + len(ASSISTANT) :]
    shared = chosen[:end]
    alone = shared.count(HUMAN) == 1 and ASSISTANT not in shared
    return Dialogue(
        shared.removeprefix(HUMAN).strip() if alone else shared.strip(),
        won.strip(),
        lost.strip(),
        any(speaker in answer for answer in (won, lost) for speaker in (HUMAN, ASSISTANT)),
    )


def human_turns(prompt: str) -> list[str]:
    """The text of each human turn of a prompt with several turns."""
    turns = f"\n\n{prompt}".split(HUMAN)[1:]
    return [turn.partition(ASSISTANT)[0].strip() for turn in turns]
