"""Plans on a machine without the base checkpoint or the data: for estimates, not for runs."""

from rlp_bench.plan.graph import Bench, Handle, Node
from rlp_bench.recipes.base_checkpoint import locate
from rlp_bench.recipes.data_sources import data_keys
from rlp_bench.recipes.schema import Recipe
from rlp_bench.store.store import fingerprint


class WithoutCheckpoint(Bench):
    """Takes base and data from the recipe without reading them. Its fingerprints differ from a run's."""

    def _add_base(self) -> Handle:
        identity = {"trainer": "checkpoint", "reference": self.recipe.base.checkpoint}
        return self._add(Node("base", "policy", "checkpoint", fingerprint(identity), identity))

    def _add_data(self, split: str) -> Handle:
        where, key, kind = data_keys(split)
        reference, count = getattr(self.recipe.data, where), getattr(self.recipe.data, key)
        label = f"data-{split}"
        if not count:
            return super()._add_data(split)
        identity = {"trainer": "data", "suite": reference, "split": split, "n": count}
        return self._add(Node(label, kind, "data", fingerprint(identity), identity))


def bench_kind(recipe: Recipe) -> type[Bench]:
    """The bench class for a plan: `WithoutCheckpoint` if the checkpoint is missing and the recipe names a shape."""
    absent = recipe.base.shape and not (locate(recipe.base.checkpoint) / "config.json").is_file()
    return WithoutCheckpoint if absent else Bench
