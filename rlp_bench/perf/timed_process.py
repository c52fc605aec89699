"""The timed process: python -m rlp_bench.perf.timed_process SETTINGS.json, started by `rlp_bench.perf.timing`.

Reports each finished workload on stdout as one line of JSON; pytest's output goes to the log file.
"""

import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import pytest

from rlp_bench.api.files import write_text
from rlp_bench.perf.machine import timed_machine
from rlp_bench.perf.workloads import WORKLOADS, Workload

BENCH_VERSION = 1


class Plugin:
    """pytest plug-in: parametrizes `timed_tests` by workload, reports finished ones, and completes the document."""

    def __init__(self, settings: dict[str, Any], report_to: TextIO) -> None:
        self.chosen, self.report_to = settings, report_to

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        """The settings of the command."""
        return self.chosen

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrizes the test by the requested workloads."""
        if "workload" in metafunc.fixturenames:
            wanted = [one for one in WORKLOADS if one.name in self.chosen["workloads"]]
            metafunc.parametrize("workload", wanted, ids=_name)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Reports one line per workload: its outcome, and the traceback of a failure."""
        if report.when == "call" or report.outcome != "passed":
            line = {"name": report.nodeid.partition("[")[2].rstrip("]"), "outcome": report.outcome}
            if report.outcome != "passed":
                line["why"] = report.longreprtext
            print(json.dumps(line), file=self.report_to, flush=True)

    def pytest_benchmark_update_json(self, config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
        """Adds the `rlp_bench` section; removes the host name."""
        output_json["machine_info"].pop("node", None)
        output_json["rlp_bench"] = {
            "bench_version": BENCH_VERSION,
            "machine": timed_machine(),
            "k": self.chosen["k"],
            "cold": self.chosen["cold"],
        }


def _name(workload: Workload) -> str:
    return workload.name


def main(file: Path) -> int:
    """Runs the workloads; returns pytest's exit status."""
    settings = json.loads(file.read_text(encoding="utf-8"))
    folder, report_to = file.parent, sys.stdout
    write_text(folder / "pytest.ini", "[pytest]\n")
    arguments = [
        "--pyargs", "rlp_bench.perf.timed_tests", "-s", "-c", str(folder / "pytest.ini"), "--rootdir", str(folder),
        "-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin", "--basetemp", str(folder / "work"),
        "--benchmark-only", "--benchmark-disable-gc", "--benchmark-json", str(folder / "benchmark.json"),
    ]  # fmt: skip
    with (
        (folder / "log.txt").open("w", encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        return int(pytest.main(arguments, plugins=[Plugin(settings, report_to)]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
