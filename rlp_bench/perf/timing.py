"""Times the workloads in a separate single-threaded process with a clean environment."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import write_json
from rlp_bench.display import Display, print_message

NEEDED = {"pytest": "pytest", "pytest_benchmark": "pytest-benchmark"}
NEEDS = {"judged_requests": ("openai",)}
"""Workload -> packages that it needs; skipped without them."""
THREADS = 1


def check_installed() -> None:
    """Checks that pytest and pytest-benchmark are installed.

    Raises:
        BenchError: one is missing.
    """
    for module, package in NEEDED.items():
        if find_spec(module) is None:
            raise BenchError(f'bench: package {package} is not installed; `pip install "rlp-bench[bench]"`')


def without_packages(names: Sequence[str]) -> dict[str, str]:
    """Workload -> reason, for workloads with missing packages."""
    missing = {name: [p for p in NEEDS.get(name, ()) if find_spec(p) is None] for name in names}
    return {name: f"needs package {', '.join(found)}" for name, found in missing.items() if found}


def time_workloads(names: Sequence[str], k: int, cold: bool, cache: str, display: Display) -> dict[str, Any]:
    """Times the workloads; returns pytest-benchmark's document with the `rlp_bench` section.

    Raises:
        BenchError: a workload failed; its traceback is on stderr.
    """
    with tempfile.TemporaryDirectory(prefix="rlp-bench-") as place:
        folder = Path(place)
        settings = {"workloads": list(names), "k": k, "cold": cold, "cache": cache}
        write_json(folder / "settings.json", settings)
        task = display.task("bench")
        task(0, len(names), "warming up")
        command = [sys.executable, "-m", "rlp_bench.perf.timed_process", str(folder / "settings.json")]
        failed: list[str] = []
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(), cwd=folder
        )
        try:
            assert process.stdout is not None
            for done, text in enumerate(process.stdout, 1):
                line = json.loads(text)
                task(done, len(names), line["name"])
                if line["outcome"] != "passed":
                    failed.append(line["name"])
                    print_message(line["why"])
            rest = process.communicate()[1]
        finally:
            process.kill()
            process.wait()
        task.close()
        if failed:
            raise BenchError(f"bench: {', '.join(failed)} failed; see the traceback above")
        document = folder / "benchmark.json"
        if process.returncode or not document.exists():
            log = folder / "log.txt"
            print_message((log.read_text(encoding="utf-8") if log.exists() else "") + rest)
            raise BenchError(f"bench: pytest ended with status {process.returncode}; see its output above")
        found: dict[str, Any] = json.loads(document.read_text(encoding="utf-8"))
        return found


def _environment() -> dict[str, str]:
    """This process's environment with one thread, without the user's pytest plug-ins and options, offline."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    threads = {name: str(THREADS) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    fixed = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    return {**own, **threads, **fixed}
