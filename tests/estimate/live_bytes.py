"""Exact peak of the bytes that tensors hold: every storage that an operation makes or reads, until it is freed."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Within it, `now` and `peak` are the bytes of all storages seen and not yet freed.

    What one operation allocates and frees by itself (a workspace of a kernel) is not seen.
    """

    def __init__(self, resizes: bool = False) -> None:
        """`resizes`: looks at every storage after every operation, for those that are resized in place (FSDP)."""
        super().__init__()
        self.resizes = resizes
        self.now = self.peak = 0
        self._seen: dict[int, tuple[weakref.ref[Any], list[int]]] = {}

    def watch(self, *tensors: torch.Tensor) -> None:
        """Counts these tensors' storages from here on."""
        for tensor in tensors:
            self._count(tensor)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for storage, held in list(self._seen.values()) if self.resizes else ():
            alive = storage()
            if alive is not None and alive.nbytes() != held[0]:
                self.now += alive.nbytes() - held[0]
                held[0] = alive.nbytes()
        for leaf in tree_leaves((args, kwargs or {}, result)):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        if hasattr(tensor, "_local_tensor"):  # a shard's own part
            tensor = tensor._local_tensor
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            known = self._seen[key][1]  # shards put together are resized to nothing when they are let go
            self.now += size - known[0]
            known[0] = size
        else:
            held = [size]

            def freed(_: Any) -> None:
                if self._seen.pop(key, None) is not None:
                    self.now -= held[0]

            self._seen[key] = (weakref.ref(storage, freed), held)
            self.now += size
        self.peak = max(self.peak, self.now)
