"""Whatever a model writes is read without an exception."""

from rlp_bench.micro import load_world
from rlp_bench.micro.chance import stream
from rlp_bench.micro.tokenizer import vocabulary

WORLD = load_world()


def test_random_words_never_raise():
    rng, words, judge = stream("fuzz"), vocabulary(), WORLD.annotators()[0]
    common = [
        "the",
        "it",
        "is",
        "are",
        "both",
        "its",
        "of",
        "and",
        ",",
        ".",
        "-",
        "but",
        "larger",
        "color",
        "try",
    ]
    for prompt in WORLD.prompts("dev", 500):
        for _ in range(6):
            pool = words if rng.random() < 0.2 else [*common, *prompt.split()]
            text = " ".join(rng.choices(pool, k=rng.randrange(30)))
            assert WORLD.utility(prompt, text) <= 7
            assert 0 < judge.preference(prompt, text, "it is a good choice .") < 1
            WORLD.claims(prompt, text)


def test_scrambled_answers_never_raise():
    rng = stream("fuzz")
    for prompt, answer in WORLD.demonstrations(1500):
        words = answer.split()
        for _ in range(3):
            words[rng.randrange(len(words))] = rng.choice([*words, "it", "both", "they", "."])
            WORLD.utility(prompt, " ".join(words))
            WORLD.claims(prompt, " ".join(words))
