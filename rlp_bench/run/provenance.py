"""Provenance of results: package versions, machine, and the identity of stages."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "rlp-bench",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "trl",
    "accelerate",
    "pydantic",
)


def versions() -> dict[str, str]:
    """Installed versions of packages that results can depend on; missing packages are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, cores available to this process, memory and operating system; no host name."""
    import psutil

    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(
                (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""
            )
    except OSError:
        return platform.processor()


def stage_provenance(identity: Mapping[str, Any], label: str, origin: str) -> dict[str, Any]:
    """The provenance in a stage's manifest, without time or path, so that equal work gives equal bytes."""
    return {"stage": label, "package": origin, **identity}
