"""Parameter shapes of a checkpoint, from its safetensors headers or from its config on torch's meta device."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rlp_bench.api.documents import read_json
from rlp_bench.api.errors import BenchError, DataError, nearest
from rlp_bench.api.safetensors import tensors_of
from rlp_bench.recipes.base_checkpoint import locate
from rlp_bench.recipes.schema import Base

FOLDER = Path(__file__).parent / "shapes"
OUTPUT = "lm_head"
"""Name of the output matrix in every causal model of transformers."""


@dataclass(frozen=True)
class Shape:
    """A causal language model's sizes. Letters: d hidden, f intermediate, q and k widths of queries and keys."""

    source: str
    """Source of the sizes: a folder, or "shape NAME"."""
    config: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]]
    """Every parameter once; a tied output matrix only as the embedding."""

    @cached_property
    def parameters(self) -> int:
        """Number of parameters of the language model."""
        return sum(math.prod(size) for size in self.tensors.values())

    @cached_property
    def output(self) -> int:
        """Parameters of the output matrix; 0 if tied to the embedding."""
        return sum(math.prod(size) for name, size in self.tensors.items() if name.startswith(OUTPUT))

    @cached_property
    def in_layers(self) -> int:
        """Parameters of all decoder layers."""
        return sum(math.prod(size) for name, size in self.tensors.items() if _layer(name))

    @cached_property
    def matrices(self) -> int:
        """Parameters of the matrices in the decoder layers."""
        return sum(math.prod(size) for name, size in self.tensors.items() if _layer(name) and len(size) == 2)

    def count(self, head: str) -> int:
        """Parameters of the language model ("lm"), or with a scalar head instead of the output matrix ("scalar")."""
        return self.parameters if head == "lm" else self.parameters - self.output + self.d

    def adapters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Parameters of LoRA adapters: rank (in + out) per adapted matrix. Hu et al. 2021, section 4.1."""
        return sum(rank * sum(size) for size in self.adapted(targets))

    def adapted(self, targets: tuple[str, ...]) -> list[tuple[int, ...]]:
        """Sizes (out, in) of the adapted matrices; without targets, all matrices of the layers."""
        return [
            size
            for name, size in self.tensors.items()
            if _layer(name)
            and len(size) == 2
            and (not targets or name.removesuffix(".weight").rpartition(".")[2] in targets)
        ]

    @property
    def layers(self) -> int:
        return self._count("num_hidden_layers", "n_layer")

    @property
    def d(self) -> int:
        return self._count("hidden_size", "n_embd")

    @property
    def f(self) -> int:
        return self._count("intermediate_size", "n_inner", default=4 * self.d)

    @property
    def heads(self) -> int:
        return self._count("num_attention_heads", "n_head")

    @property
    def head_dim(self) -> int:
        return self._count("head_dim", default=self.d // self.heads)

    @property
    def q(self) -> int:
        return self.heads * self.head_dim

    @property
    def k(self) -> int:
        return self._count("num_key_value_heads", default=self.heads) * self.head_dim

    @property
    def vocabulary(self) -> int:
        return self._count("vocab_size")

    @property
    def is_llama(self) -> bool:
        """Whether our CPU forward pass supports the architecture."""
        return self._get("model_type") == "llama"

    def _count(self, *names: str, default: int = 0) -> int:
        """A positive whole number of the config; `default`: where it has none (0: it must have one)."""
        found = self._get(*names) or default
        if type(found) is not int or not 0 < found < 2**40:
            raise DataError(
                f"{self.source}: {names[0]} of its config is {found!r}; expected a positive number"
            )
        return found

    def _get(self, *names: str) -> Any:
        return next((self.config[name] for name in names if self.config.get(name) is not None), None)


def shape_of(base: Base) -> Shape:
    """The shape of a recipe's base: from its checkpoint if that exists, else the shipped shape that it names.

    Raises:
        BenchError: there is neither.
    """
    name = base.shape
    folder = locate(base.checkpoint)
    if (folder / "config.json").is_file():
        return read_folder(folder)
    if name:
        return shipped(name)
    raise BenchError(
        f'base.checkpoint: "{base.checkpoint}" is not on this machine; give a folder, or set base.shape to one of the '
        f"shipped shapes: {', '.join(shipped_names())}"
    )


def read_folder(folder: Path) -> Shape:
    """The shape of a checkpoint folder, with or without weights.

    Raises:
        DataError: config.json or a safetensors header cannot be read, or the architecture is not supported.
    """
    try:
        config = read_json(folder / "config.json", "a checkpoint's config.json")
    except DataError as error:
        raise DataError(f'checkpoint "{folder}": config.json cannot be read ({error})') from None
    tensors = tensors_of(folder)
    return _checked(Shape(str(folder), config, tensors or on_meta_device(config, str(folder))))


def shipped_names() -> list[str]:
    """Names of the shapes shipped with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def shipped(name: str) -> Shape:
    """A shipped shape by name: the published sizes of an architecture, without weights."""
    if name not in shipped_names():
        raise BenchError(f'base.shape: unknown shape "{name}"; {nearest(name, shipped_names())}')
    config = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Shape(f"shape {name}", config, on_meta_device(config, name))


def on_meta_device(config: Mapping[str, Any], where: str) -> dict[str, tuple[int, ...]]:
    """Name -> size of every parameter of a config's model in transformers; allocates no memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        made = AutoConfig.for_model(**{key: value for key, value in config.items() if key != "source"})
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(made)
    except (ValueError, KeyError, TypeError, ImportError) as error:
        raise DataError(f'"{where}": transformers cannot build a model from its config: {error}') from None
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _checked(shape: Shape) -> Shape:
    """The shape; raises DataError if its config lacks the number of layers or the hidden size."""
    needed = {"layers": ("num_hidden_layers", "n_layer"), "hidden size": ("hidden_size", "n_embd")}
    missing = [name for name, keys in needed.items() if not any(shape.config.get(key) for key in keys)]
    if missing:
        raise DataError(f'"{shape.source}": its config lacks {" and ".join(missing)}; expected a decoder')
    return shape


def _layer(name: str) -> bool:
    return re.search(r"\.\d+\.", name) is not None
