"""Checkpoints for the tests of vLLM; where it is not installed the tests that need it are skipped."""

import importlib.util
from pathlib import Path

import pytest
from vllm_worlds import make_llama

HERE = Path(__file__).parent
_FOUND = importlib.util.find_spec("vllm")
INSTALLED = _FOUND is not None and _FOUND.origin is not None  # this folder is called vllm, too


def pytest_collection_modifyitems(items):
    if INSTALLED:
        return
    skip = pytest.mark.skip(reason="vLLM is not installed; docs/scale.md says how to run these tests")
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("without_vllm") is None:
            item.add_marker(skip)


def pytest_configure(config):
    config.addinivalue_line("markers", "without_vllm: runs where vLLM is not installed as well")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def policy(tmp_path_factory):
    return make_llama(tmp_path_factory.mktemp("vllm") / "policy", ends=(1, 2))


@pytest.fixture(scope="session")
def prompts():
    return [f"w{number % 60} w{(7 * number) % 60} w{number % 5}" for number in range(40)]
