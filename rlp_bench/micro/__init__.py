"""The synthetic world `micro`: knowledge base, simulated users and annotators, and a base model in the package.

Everything except the shipped base model is a pure function of seeds. It imports nothing else of `rlp_bench`.
"""

from rlp_bench.micro.annotators import Annotator
from rlp_bench.micro.knowledge import WORLD_VERSION
from rlp_bench.micro.suites import EvalItem, LabelledPair, Question
from rlp_bench.micro.tokenizer import MAX_PROMPT_TOKENS, MAX_RESPONSE_TOKENS, PROMPT_TEMPLATE, base_path
from rlp_bench.micro.world import World, load_world

__all__ = [
    "MAX_PROMPT_TOKENS",
    "MAX_RESPONSE_TOKENS",
    "PROMPT_TEMPLATE",
    "WORLD_VERSION",
    "Annotator",
    "EvalItem",
    "LabelledPair",
    "Question",
    "World",
    "base_path",
    "load_world",
]
