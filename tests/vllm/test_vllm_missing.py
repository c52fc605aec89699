"""Where vLLM is not installed, its engine says so in one line; naming it imports nothing heavy."""

import subprocess
import sys

import pytest
from patience import PATIENCE

pytestmark = pytest.mark.without_vllm

HIDDEN = "import sys; sys.modules['vllm'] = None\n"


def python(code, folder):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, cwd=folder
    )


def test_loading_the_plugin_imports_neither_vllm_nor_torch(tmp_path):
    code = "import sys; from rlp_bench.api import registry; registry.load('engine', 'vllm')\n"
    code += "print(sorted({'torch', 'transformers', 'vllm'} & set(sys.modules)))"
    done = python(code, tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("folder", [False, True])
def test_what_is_no_vllm_is_refused_in_one_line(tmp_path, folder, monkeypatch):
    """A folder of that name (this one is called so, too) can be found, but it is not vLLM."""
    from rlp_bench.api.errors import BenchError
    from rlp_bench.trainers.generation import vllm_runner

    if folder:
        (tmp_path / "vllm").mkdir()
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
    else:
        monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    with pytest.raises(BenchError, match=r'^engine "vllm": vLLM is not installed; .*rlp-bench\[vllm\]'):
        vllm_runner.require_vllm()


def test_the_command_line_ends_with_2_and_names_the_extra(tmp_path):
    from rlp_bench.trainers.generation.vllm_runner import INSTALL

    call = "from rlp_bench.cli.main import main; sys.argv = ['rlp-bench', {}]; main()"
    copied = python("import sys\n" + call.format("'cp', 'recipe', 'nano', 'mine.toml'"), tmp_path)
    assert copied.returncode == 0, copied.stderr
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        recipe.read_text().replace('[engine]\nname = "transformers"', '[engine]\nname = "vllm"')
    )
    run = "'run', '--method', 'base', '--recipe', 'mine.toml', '--store', 'store'"
    done = python(HIDDEN + call.format(run), tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1] == f'error: engine "vllm": vLLM is not installed; {INSTALL}'


@pytest.mark.parametrize("device", ["mps", "cuda:1", "gpu"])
def test_a_device_that_vllm_would_not_take_is_refused(device, monkeypatch):
    from rlp_bench.api.errors import BenchError
    from rlp_bench.trainers.generation import vllm_runner

    monkeypatch.setattr(vllm_runner, "require_vllm", lambda: None)
    with pytest.raises(BenchError, match=f'device "{device}"; expected "cpu" or "cuda"'):
        vllm_runner.VllmRunner(device)


def test_among_processes_of_torchrun_each_has_its_own_gpu(monkeypatch):
    from rlp_bench.api.errors import BenchError
    from rlp_bench.trainers.generation import vllm_runner

    monkeypatch.setattr(vllm_runner, "require_vllm", lambda: None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert vllm_runner.VllmRunner("cuda:1").dtype == "bfloat16"
    with pytest.raises(BenchError, match='device "cuda:0"'):
        vllm_runner.VllmRunner("cuda:0")
