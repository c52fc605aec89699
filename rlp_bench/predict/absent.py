"""Plans for a machine that does not have the base checkpoint: to be looked at, not to be run."""

from rlp_bench.checkpoint import locate
from rlp_bench.plan import Bench, Handle, Node
from rlp_bench.recipe import Recipe
from rlp_bench.store import fingerprint


class WithoutCheckpoint(Bench):
    """Takes the base for what its recipe says of it. Fingerprints are not those of a run."""

    def _add_base(self) -> Handle:
        identity = {"trainer": "checkpoint", "reference": self.recipe.base.checkpoint}
        return self._add(Node("base", "policy", "checkpoint", fingerprint(identity), identity))


def bench_kind(recipe: Recipe) -> type[Bench]:
    """The bench to plan on: one without checkpoint where it is not here and the recipe names a shape."""
    absent = recipe.base.shape and not (locate(recipe.base.checkpoint) / "config.json").is_file()
    return WithoutCheckpoint if absent else Bench
