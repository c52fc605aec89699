"""The world is the same in every process, and a leaf of the package."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import rlp_bench.micro

FOLDER = Path(rlp_bench.micro.__file__).parent
ROOT = FOLDER.parent.parent

PROBE = """
import hashlib
from rlp_bench.micro import load_world, corpus
from rlp_bench.micro.chance import stream
w = load_world()
out = [w.prompts(s, 50) for s in ("sft", "preferences", "unlabeled", "dev")]
out += [w.demonstrations(50), w.alpacafarm()[:60], w.llmbar(), w.llmbar_pairs(), w.mmlu()]
pairs = w.llmbar_pairs()
out += [[a.verdict(p.instruction, p.output_1, p.output_2, flip=.25) for p in pairs] for a in w.annotators()]
out += [corpus.document(kind, stream("probe")) for kind in corpus.KINDS]
print(hashlib.sha256(repr(out).encode()).hexdigest())
"""


def _run(code: str, **env: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_world_does_not_depend_on_the_hash_seed():
    assert _run(PROBE, PYTHONHASHSEED="1") == _run(PROBE, PYTHONHASHSEED="2")


def test_importing_the_world_imports_no_torch():
    code = "import sys, rlp_bench.micro as m; m.load_world(); print({'torch', 'numpy'} & set(sys.modules))"
    assert _run(code) == "set()"


def test_the_world_imports_nothing_else_of_the_package():
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{file.name} imports from above"
                assert not (node.level == 0 and (node.module or "").startswith("rlp_bench")), file.name
            elif isinstance(node, ast.Import):
                assert not any(a.name.startswith("rlp_bench") for a in node.names), file.name
