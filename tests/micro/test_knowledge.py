"""The hidden knowledge base and what people believe."""

from rlp_bench.micro import lexicon as lx
from rlp_bench.micro.knowledge import beliefs, truth


def test_every_entity_has_one_value_of_every_attribute():
    facts = truth().facts
    assert len(facts) == 144
    for own in facts.values():
        assert set(own) == set(lx.ATTRIBUTES)
        assert all(lx.ATTRIBUTE_OF[value] == attribute for attribute, value in own.items())


def test_no_word_is_both_a_name_and_a_value_or_two_names():
    names = [name for group in lx.NAMES.values() for name in group]
    values = [value for group in lx.VALUES.values() for value in group]
    assert len(set(names)) == len(names)
    assert len(set(values)) == len(values)
    assert not set(names) & (set(values) | set(lx.CATEGORIES) | set(lx.PLURALS.values()))


def test_beliefs_are_wrong_about_the_stated_fraction():
    wrong = [
        v != truth().facts[e][a] for e, own in beliefs("expert", 0.10).facts.items() for a, v in own.items()
    ]
    # 864 facts at 10 %: one standard deviation is 1.0 points
    assert abs(sum(wrong) / len(wrong) - 0.10) < 0.03
    assert beliefs("somebody", 0.0).facts == truth().facts


def test_facts_have_a_long_tail_of_entities():
    from collections import Counter

    from rlp_bench.micro.chance import stream

    rng, category = stream("test"), "animal"
    seen = Counter(truth().popular(rng, category, (0.0, 1.3)) for _ in range(20_000))
    ranking = truth().ranking[category]
    # by hand: weight of rank r is r^-1.3, so first over last is 18^1.3 = 42.8
    assert 30 < seen[ranking[0]] / seen[ranking[-1]] < 60
