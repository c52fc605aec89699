"""What each case of the folder `shared/cases` must print, and a table of what it does print.

    python tests/shared_cases/cases.py [NUMBER...]     runs the cases and prints a Markdown table

A case is a folder with a README (situation, source, expectation) and a run.sh that takes `rlp-bench` from PATH. A word
of EXPECTED is a regular expression that its output must contain; no output may contain a traceback.

Case 48 (several EOS ids) evaluates a base checkpoint without a prompt template, which is refused here (case 47); see
tests/trainers/generation/test_rollout.py for several EOS ids. Of case 37 the refusal is looked at, for the same reason.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from shared_files import shared

CASES = shared("cases")
SECONDS = 600
EXPECTED: dict[str, tuple[str, ...]] = {
    "01": (r"win rate", r"\[exit 0\]"),
    "03": (r"own .* 149", r"6 of them 403"),
    "04": (r"own .* 12\n", r"\[exit 0\]"),
    "05": (r"temporarily rate-limited upstream", r"\[exit 2\]"),
    "07": (r"own .* 3\n", r"\[exit 0\]"),
    "08": (r"temperature=none", r"own .* 40\n"),
    "09": (r"own .* 60\n", r"\[exit 0\]"),
    "10": (r"\$ALL_PROXY", r"\[exit 2\]"),
    "12": (r"3 of 150 items have no score",),
    "14": (r"RLP_BENCH_CACHE|\[exit 0\]",),
    "16": (r"\[exit 0\]",),
    "17": (r"\[exit 0\]",),
    "18": (r"import_preferences",),
    "19": (r"322 tokens and the embedding 321 rows", r"resize_token_embeddings"),
    "22": (r"9 tensors are missing", r"read under another name"),
    "24": (r"largest loss difference \d\.\d+e-0[78]",),
    "25": (r"\[exit 0\]",),
    "27": (r"\[exit 0\]",),
    "28": (r"\[exit 0\]", r"given .*expected|differ"),
    "29": (r"codes 0 0",),
    "30": (r"no such folder", r"\[exit 2\]"),
    "32": (r"cannot be written", r"\[exit 2\]"),
    "33": (r"white space", r"price in\\xa0euros|Price in\\xa0euros"),
    "36": (r"\[exit 2\]",),
    "37": (r"pad and EOS are both token",),
    "38": (r'"special_token_texts": 40',),
    "39": (r"package wandb is not installed",),
    "47": (r"plain instruction|has no chat template|micro world",),
    "50": (r"\[exit 0\]",),
}


def folder_of(number: str) -> Path | None:
    """The folder of a case; None where the shared folder is not there."""
    return next(iter(CASES.glob(f"{number}-*")), None)


def output_of(number: str) -> str:
    """All that a case prints, run with the `rlp-bench` beside this interpreter."""
    folder = folder_of(number)
    assert folder is not None
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(
            ["bash", str(folder / "run.sh")], cwd=work, env={**os.environ, "PATH": path, "WORK": work},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS, check=False,
        )  # fmt: skip
    return done.stdout


def missing(number: str, output: str) -> list[str]:
    """What an output should have and has not, and a traceback that it should not have."""
    wanted = [pattern for pattern in EXPECTED[number] if not re.search(pattern, output)]
    own = output.split("$ rlp-bench", 1)[-1]
    return wanted + (["a traceback"] if "rlp_bench/" in own and "Traceback" in own else [])


def main(numbers: list[str]) -> int:
    """Prints the table; 1 if a case does not do what is expected."""
    failed = 0
    print("| case | expected | exits | as expected |\n|---|---|---|---|")
    for number in numbers or sorted(EXPECTED):
        folder = folder_of(number)
        if folder is None:
            print(f"| {number} | | | not there |")
            continue
        readme = (folder / "README").read_text(encoding="utf-8")
        expected = next(line for line in readme.splitlines() if line.startswith("EXPECTED:"))
        output = output_of(number)
        lacks = missing(number, output)
        failed += bool(lacks)
        exits = " ".join(re.findall(r"\[exit (\d+)\]", output))
        verdict = "yes" if not lacks else f"no: lacks {', '.join(lacks)}"
        print(
            f"| {folder.name} | {expected.removeprefix('EXPECTED:').strip()} | {exits} | {verdict} |",
            flush=True,
        )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
