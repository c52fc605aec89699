r"""Dialogues as HH-RLHF writes them: "\n\nHuman: ...\n\nAssistant: ...", chosen and rejected each in full."""

from dataclasses import dataclass

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


@dataclass(frozen=True)
class Dialogue:
    """A prompt and two answers to it."""

    prompt: str
    """The human's words where they are all of it; else every turn with its speaker, the human's last."""
    chosen: str
    rejected: str
    goes_on: bool
    """Whether an answer holds further turns: the dialogues part before their last answer."""


def read_dialogue(chosen: str, rejected: str) -> Dialogue | None:
    """The two, split behind the last "Assistant:" up to which they are equal; None where there is none.

    White space around prompt and answers is the format's, and left out.
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
    """What the human says in each turn of a prompt of several."""
    turns = f"\n\n{prompt}".split(HUMAN)[1:]
    return [turn.partition(ASSISTANT)[0].strip() for turn in turns]
