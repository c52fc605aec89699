"""One thread for everything that is timed: with more, a busy neighbour makes any figure meaningless."""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

torch.set_num_threads(1)

LINES: list[str] = []


@pytest.fixture
def lines() -> list[str]:
    """Result lines, printed together at the end of the run."""
    return LINES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LINES:
        terminalreporter.section("ours against the peer, same work, taking turns (medians)")
        for line in LINES:
            terminalreporter.write_line(line)
