"""The closed vocabulary of the micro world: entities, attribute values and function words.

All texts of the micro world consist of these words, one token each, separated by single spaces.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: category -> the names of its 18 entities.
NAMES: dict[str, tuple[str, ...]] = {
    "animal": _words(
        "fox wolf bear otter heron crane toad newt lynx hare mole badger falcon owl viper gecko ferret bison"
    ),
    "plant": _words(
        "fern moss lily tulip cactus clover thistle ivy poppy reed sage basil mint orchid "
        "daisy holly nettle willow"
    ),
    "dish": _words(
        "soup stew curry pizza pasta salad bread cake pie waffle omelet risotto taco sushi "
        "dumpling porridge pretzel chili"
    ),
    "tool": _words(
        "hammer saw drill wrench chisel pliers shovel rake axe file clamp lathe anvil ladder "
        "trowel hoe mallet awl"
    ),
    "vehicle": _words(
        "bus tram truck wagon canoe ferry yacht kayak scooter tractor van sled glider rocket "
        "raft moped barge taxi"
    ),
    "instrument": _words(
        "flute drum violin harp cello banjo lute oboe tuba organ piano guitar gong fiddle "
        "bugle zither sitar viola"
    ),
    "gem": _words(
        "ruby opal pearl topaz jade amber garnet onyx quartz agate beryl zircon coral jasper "
        "spinel emerald sapphire diamond"
    ),
    "garment": _words(
        "scarf hat coat glove sock shirt skirt belt vest cape shawl boot sandal tie robe apron mitten bonnet"
    ),
}

PLURALS = {
    "animal": "animals",
    "plant": "plants",
    "dish": "dishes",
    "tool": "tools",
    "vehicle": "vehicles",
    "instrument": "instruments",
    "gem": "gems",
    "garment": "garments",
}
SINGULARS = {plural: category for category, plural in PLURALS.items()}

#: attribute -> its values; a value belongs to exactly one attribute.
VALUES: dict[str, tuple[str, ...]] = {
    "color": ("red", "blue", "green", "yellow", "black", "white", "brown", "pink"),
    "size": ("tiny", "small", "medium", "large", "huge"),
    "place": ("forest", "desert", "river", "city", "farm", "island", "valley", "market"),
    "texture": ("smooth", "rough", "soft", "hard", "sticky", "dry"),
    "season": ("spring", "summer", "autumn", "winter"),
    "price": ("cheap", "modest", "costly", "priceless"),
}
ATTRIBUTES = tuple(VALUES)
CATEGORIES = tuple(NAMES)

#: The attribute of a value; a category word is a value of the attribute "kind".
ATTRIBUTE_OF: dict[str, str] = {value: attribute for attribute, values in VALUES.items() for value in values}
ATTRIBUTE_OF |= dict.fromkeys(CATEGORIES, "kind")
CATEGORY_OF: dict[str, str] = {name: category for category, names in NAMES.items() for name in names}

#: comparative -> (attribute, +1 if the first entity's value is later in VALUES, -1 if earlier).
COMPARATIVES = {
    "larger": ("size", 1),
    "smaller": ("size", -1),
    "costlier": ("price", 1),
    "cheaper": ("price", -1),
}

NUMBERS = {"two": 2, "three": 3, "four": 4}
NUMBER_WORDS = {number: word for word, number in NUMBERS.items()}

#: Polite sentences without content. Annotators like them; the gold utility ignores them.
FILLERS = (
    "sure !",
    "great question !",
    "happy to help !",
    "here is my answer .",
    "thank you for asking .",
    "i hope this helps .",
)

USER, ASSISTANT = "<user>", "<assistant>"
PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"
#: Readers' ratings of an answer (only in pre-training text).
RATINGS = ("poor", "weak", "good", "excellent")


def phrase(value: str) -> str:
    """The predicate for `value` after "is" or "are": "red", "from the forest", "best in winter", "an animal"."""
    attribute = ATTRIBUTE_OF[value]
    if attribute == "place":
        return f"from the {value}"
    if attribute == "season":
        return f"best in {value}"
    if attribute == "kind":
        return f"{'an' if value[0] in 'aeiou' else 'a'} {value}"
    return value


def rank(value: str) -> int:
    """Index of a value in its attribute's order, which is meaningful only for "size" and "price"."""
    return VALUES[ATTRIBUTE_OF[value]].index(value)
