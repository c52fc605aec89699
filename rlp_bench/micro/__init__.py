"""The synthetic world `micro`: knowledge base, simulated users and annotators, and a base model in the package.

Everything except the shipped base model is a pure function of seeds. It imports nothing else of `rlp_bench`.
"""

from .annotators import Annotator
from .knowledge import WORLD_VERSION
from .suites import EvalItem, LabeledPair, Question
from .tokenizer import MAX_PROMPT_TOKENS, MAX_RESPONSE_TOKENS, PROMPT_TEMPLATE, base_path
from .world import World, load_world

__all__ = [
    "MAX_PROMPT_TOKENS",
    "MAX_RESPONSE_TOKENS",
    "PROMPT_TEMPLATE",
    "WORLD_VERSION",
    "Annotator",
    "EvalItem",
    "LabeledPair",
    "Question",
    "World",
    "base_path",
    "load_world",
]
