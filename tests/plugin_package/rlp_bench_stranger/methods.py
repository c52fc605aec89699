"""Two parrots and their blend; and a method with as many mistakes as one can make."""

from rlp_bench.plan.graph import Bench, Handle, method


@method("stranger", source="this package")
def stranger(bench: Bench) -> Handle:
    """Learns the demonstrations by heart, twice, and keeps the shorter answers."""
    data = bench.data("sft")
    once = bench.fit("stranger_parrot", init=bench.base, demonstrations=data)
    loud = bench.fit("stranger_parrot", init=bench.base, demonstrations=data, suffix="!")
    return bench.fit("stranger_blend", policies=[once, loud], prompts=bench.unlabeled)


@method("stranger_confused", source="nowhere")
def confused(bench: Bench) -> Handle:
    """A wrong kind, an unknown setting, a wrong type, a missing input, an unknown trainer."""
    data = bench.data("sft")
    bench.fit("stranger_parrot", init=data, demonstrations=data)
    bench.fit("stranger_parrot", init=bench.base, demonstrations=data, sufix="!")
    bench.fit("stranger_parrot", init=bench.base, demonstrations=data, steps="many")
    bench.fit("stranger_blend", prompts=bench.unlabeled)
    return bench.fit("stranger_parot", init=bench.base)
