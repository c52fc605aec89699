"""Instructions and answers are read back from their text."""

import pytest

from rlp_bench.micro import load_world, tasks, writing
from rlp_bench.micro.chance import stream
from rlp_bench.micro.grammar import parse
from rlp_bench.micro.prompts import phrase_task, sample_task
from rlp_bench.micro.reading import claims
from rlp_bench.micro.tasks import understand
from rlp_bench.micro.utility import account

WORLD = load_world()


@pytest.mark.parametrize("skill", tasks.SKILLS)
def test_an_instruction_is_understood_as_the_task_it_words(skill):
    rng = stream("test", skill)
    for _ in range(400):
        task = sample_task(skill, rng)
        assert understand(phrase_task(task, rng)) == task


@pytest.mark.parametrize(
    "text", ["", "what is love ?", "describe the moon .", "list nine animals that are red .", "\x00"]
)
def test_what_is_not_of_this_world_is_not_understood(text):
    assert understand(text) is None
    assert WORLD.skill(text) is None


@pytest.mark.parametrize("skill", tasks.SKILLS)
def test_whatever_the_expert_writes_can_be_read(skill):
    rng = stream("test", skill)
    for i in range(300):
        text = phrase_task(sample_task(skill, rng), rng)
        answer = writing.expert(text, f"test {i}")
        assert claims(text, answer) is not None, (text, answer)
        assert len(answer.split()) < 48


@pytest.mark.parametrize("skill", tasks.SKILLS)
def test_a_perfect_answer_has_nothing_to_its_debit(skill):
    rng = stream("test", skill)
    for i in range(300):
        text = phrase_task(sample_task(skill, rng), rng)
        answer = account(text, writing.perfect(text, i))
        assert not answer.wrong, text
        assert answer.cost == 0
        assert answer.right >= 1


QUESTION = "which is larger , the fox or the wolf ?"
SAME = [
    ("what is the color of the fox ?", "red .", "the fox is red ."),
    (
        "what is the color of the fox ?",
        "it is red .",
        "sure ! the color of the fox is red . i hope this helps .",
    ),
    ("what is the place of the fox ?", "from the forest .", "the place of the fox is the forest ."),
    ("is it true that the fox is red ?", "yes .", "that is right , the fox is red ."),
    ("is it true that the fox is red ?", "no .", "that is wrong ."),
    ("list two animals that are red .", "the fox and the wolf .", "- the wolf - the fox ."),
    ("list two animals that are red .", "the fox and the wolf .", "the wolf and the fox are red ."),
    ("recommend an animal that is red .", "try the fox .", "the fox is a good choice because it is red ."),
    (QUESTION, "the fox .", "the wolf is smaller than the fox ."),
    (QUESTION, "the fox is larger .", "the wolf is smaller ."),
    ("describe the fox .", "the fox is red and huge .", "it is huge . its color is red ."),
    ("compare the fox and the wolf .", "both are red .", "the fox is red but the wolf is red ."),
    (
        "combine these facts : the fox is red . it is huge .",
        "the fox is huge and red .",
        "the fox is red and huge .",
    ),
]
DIFFERENT = [
    ("what is the color of the fox ?", "red .", "blue ."),
    ("what is the color of the fox ?", "red .", "the wolf is red ."),
    ("is it true that the fox is red ?", "yes .", "no ."),
    ("is it true that the fox is red ?", "no .", "no , the fox is blue ."),
    ("list two animals that are red .", "the fox and the wolf .", "the fox ."),
    ("recommend an animal that is red .", "try the fox .", "try the wolf ."),
    (QUESTION, "the fox .", "the wolf ."),
    ("describe the fox .", "the fox is red .", "the fox is red and huge ."),
]


@pytest.mark.parametrize(("instruction", "one", "other"), SAME)
def test_paraphrases_claim_the_same(instruction, one, other):
    assert claims(instruction, one) == claims(instruction, other) is not None


@pytest.mark.parametrize(("instruction", "one", "other"), DIFFERENT)
def test_different_answers_claim_different_things(instruction, one, other):
    assert None not in (claims(instruction, one), claims(instruction, other))
    assert claims(instruction, one) != claims(instruction, other)


@pytest.mark.parametrize(
    "answer",
    [
        "the the fox .",
        "fox",
        "the fox is red",
        "the fox red .",
        "the fox is from the red .",
        "yes the .",
        "<user> .",
    ],
)
def test_broken_sentences_cannot_be_read(answer):
    assert claims("what is the color of the fox ?", answer) is None


def test_politeness_claims_nothing():
    assert claims("describe the fox .", "sure ! thank you for asking .") == frozenset()
    assert claims("describe the fox .", "") == frozenset()


def test_sentences_keep_their_tokens():
    assert [s.tokens for s in parse("sure ! the fox is red . blah blah")] == [2, 5, 2]
