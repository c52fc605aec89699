"""No prompt is in two splits, and every suite has the size it says."""

from collections import Counter

import pytest

from rlp_bench.micro import load_world
from rlp_bench.micro.chance import stream
from rlp_bench.micro.corpus import CHAT_MIXTURE
from rlp_bench.micro.prompts import TRAINING_SPLITS, ask, normalize, split_of
from rlp_bench.micro.tasks import OBJECTIVE, SKILLS

WORLD = load_world()


@pytest.fixture(scope="module")
def splits() -> dict[str, list[str]]:
    rng = stream("test")
    out = {name: WORLD.prompts(name) for name in TRAINING_SPLITS}
    out["pretraining"] = [ask("pretraining", rng, CHAT_MIXTURE)[0] for _ in range(5_000)]
    out["eval"] = [item.instruction for item in WORLD.alpacafarm()]
    out["llmbar"] = [item.instruction for item in WORLD.llmbar()]
    out["llmbar_pairs"] = [pair.instruction for pair in WORLD.llmbar_pairs()]
    return out


def test_no_prompt_is_in_two_splits(splits):
    owner: dict[str, str] = {}
    for name, texts in splits.items():
        for text in set(map(normalize, texts)):
            assert owner.setdefault(text, name) == name, f"{text!r} is in {owner[text]} and in {name}"
            assert split_of(text) == name


def test_splits_have_their_sizes_and_no_repetition(splits):
    sizes = {
        "sft": 5000,
        "preferences": 10_000,
        "unlabeled": 20_000,
        "dev": 500,
        "eval": 805,
        "llmbar": 100,
        "llmbar_pairs": 300,
    }
    for name, size in sizes.items():
        assert len(splits[name]) == len(set(map(normalize, splits[name]))) == size


def test_splitting_does_not_look_at_case_or_spaces():
    assert split_of("Describe  the fox .") == split_of("describe the fox .")


@pytest.mark.parametrize("split", TRAINING_SPLITS)
def test_fewer_prompts_are_the_first_of_more(split):
    assert WORLD.prompts(split, 30) == WORLD.prompts(split, 60)[:30]


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="'tset'"):
        WORLD.prompts("tset")


def test_every_skill_is_asked_for_in_every_training_split(splits):
    for name in TRAINING_SPLITS:
        share = Counter(map(WORLD.skill, splits[name]))
        assert set(share) == set(SKILLS)
        assert min(share.values()) > 0.06 * len(splits[name])


def test_the_805_have_the_subsets_of_alpacafarm():
    subsets = Counter(item.subset for item in WORLD.alpacafarm())
    assert subsets == {"selfinstruct": 252, "oasst": 188, "helpful_base": 129, "vicuna": 80, "koala": 156}


def test_vicuna_is_eighty_of_the_805_in_eight_categories():
    assert set(WORLD.vicuna()) <= set(WORLD.alpacafarm())
    assert Counter(item.category for item in WORLD.vicuna()) == dict.fromkeys(SKILLS, 10)


def test_categories_are_the_skills_of_the_texts():
    for item in [*WORLD.alpacafarm(), *WORLD.llmbar()]:
        assert WORLD.skill(item.instruction) == item.category


def test_llmbar_items_are_objective():
    assert len(WORLD.llmbar()) == 100
    assert {item.category for item in WORLD.llmbar()} <= set(OBJECTIVE)


def test_llmbar_pairs_have_an_objective_winner_in_balanced_places():
    pairs = WORLD.llmbar_pairs()
    assert Counter(p.subset for p in pairs) == {
        "natural": 100,
        "neighbor": 50,
        "inflated": 50,
        "hallucination": 50,
        "manual": 50,
    }
    for pair in pairs:
        gap = WORLD.utility(pair.instruction, pair.output_1) - WORLD.utility(pair.instruction, pair.output_2)
        assert gap >= 1 if pair.label == 1 else gap <= -1
    for subset in {p.subset for p in pairs}:
        labels = Counter(p.label for p in pairs if p.subset == subset)
        assert labels[1] == labels[2]


def test_adversarial_pairs_fool_the_crowd_more_than_natural_ones():
    def accuracy(*subsets: str) -> float:
        votes = [
            a.verdict(p.instruction, p.output_1, p.output_2) == (p.label == 1)
            for p in WORLD.llmbar_pairs()
            if p.subset in subsets
            for a in WORLD.annotators()
        ]
        return sum(votes) / len(votes)

    assert accuracy("inflated", "manual") < accuracy("natural") - 0.1


def test_mmlu_has_ten_questions_in_each_of_48_subjects():
    questions = WORLD.mmlu()
    assert set(Counter(q.subject for q in questions).values()) == {10}
    assert len({q.subject for q in questions}) == 48
    for q in questions:
        assert len(set(q.options)) == 4
        words = q.stem.split()
        assert (
            WORLD.utility(f"what is the {words[1]} of the {words[4]} ?", f"{q.stem} {q.options[q.answer]} .")
            == 2
        )
