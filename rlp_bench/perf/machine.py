"""Identity of the machine of a timing; timings of different ids are not compared."""

from typing import Any

from rlp_bench.run.provenance import machine
from rlp_bench.store.store import fingerprint


def timed_machine() -> dict[str, Any]:
    """What speed depends on: processor, cores, torch's version and threads, GPU; and their hash, `id`."""
    import torch

    here = machine()
    found = {
        "processor": here["processor"],
        "architecture": here["architecture"],
        "cores": here["cores"],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
    }
    return {**found, "id": fingerprint(found)[:16]}
