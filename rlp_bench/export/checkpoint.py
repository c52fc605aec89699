"""Exports a run's policy as a Hugging Face checkpoint with a model card, and uploads it to the Hub.

Weights, config and tokenizer are copied from the artifact and verified against its manifest. Nothing is uploaded unless
a repository is named; the token comes from HF_TOKEN and is never written.
"""

import json
import os
import re
import shutil
from pathlib import Path

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import unique_beside, write_json, write_text
from rlp_bench.api.report import Report, read_report
from rlp_bench.export.model_card import model_card
from rlp_bench.run.records import REPORT, RunRecord
from rlp_bench.store.store import hash_file

FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
)
"""Files of a checkpoint in a policy's folder; logs, metrics and snapshots are not exported."""
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def export_run(record: RunRecord, out: Path) -> dict[str, str]:
    """Writes the checkpoint and README.md into `out`, atomically; returns name -> sha256.

    Raises:
        BenchError: `out` exists and is not empty, the policy has no weights of its own, or an artifact is damaged.
    """
    check_out(out)
    sources = _files(record)
    partial = unique_beside(out.resolve())
    try:
        partial.mkdir()
        for source in sources:
            shutil.copyfile(source, partial / source.name)
        _check_copies(record, partial)
        _write_generation_config(partial)
        write_text(partial / "README.md", model_card(record, _report(record), partial))
        found = {path.name: hash_file(path) for path in sorted(partial.iterdir())}
        partial.rename(out.resolve())
    except OSError as error:
        raise BenchError(f'export: "{out}": cannot be written ({error.strerror or error})') from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return found


def check_out(out: Path) -> None:
    """Raises BenchError if `out` exists and is not an empty folder, or its parent is not a folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BenchError(f'export: "{out}" exists and is not an empty folder; give another --out')
    if not out.resolve().parent.is_dir():
        raise BenchError(f'export: "{out.parent}" is not a folder; create it first')


def _files(record: RunRecord) -> list[Path]:
    folder = record.policy.path
    _refuse_indirect(record)
    listed = record.policy.manifest["files"]
    paths = {path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}
    found = sorted(path for path in paths if path.name in listed)
    names = {path.name for path in found}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        adapter = (
            "an adapter, not full weights" if (folder / "adapter_config.json").exists() else "no weights"
        )
        raise BenchError(
            f'run "{record.path.name}": its policy "{folder.name}" has {adapter}; expected config.json and '
            "*.safetensors"
        )
    return found


def _refuse_indirect(record: RunRecord) -> None:
    """Raises BenchError for best-of-n and constant policies, which have no weights of their own."""
    for name, what in (
        ("best_of_n.json", "the best of several samples of another policy"),
        ("constant.json", "one constant answer"),
    ):
        if (record.policy.path / name).exists():
            raise BenchError(
                f'run "{record.path.name}": its policy is {what} ({name}) and has no weights of its own; export the '
                "run whose policy it samples from, e.g. of method sft"
            )


def _check_copies(record: RunRecord, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        sealed = record.policy.manifest["files"].get(path.name)
        if sealed is not None and hash_file(path) != sealed:
            raise DataError(
                f'artifact "{record.policy.path.name}": {path.name} has changed since it was sealed; check the store '
                "with `rlp-bench doctor`, remove the artifact and run again"
            )


def _write_generation_config(folder: Path) -> None:
    """Writes a generation config with the special tokens of config.json, if the policy has none."""
    path = folder / "generation_config.json"
    if not path.exists():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        write_json(path, {name: config[name] for name in names if config.get(name) is not None})


def _report(record: RunRecord) -> Report | None:
    path = record.path / REPORT
    return read_report(path) if path.exists() else None


def check_push(repository: str) -> str:
    """The token for a push to "OWNER/NAME"; called before anything is written.

    Raises:
        BenchError: the name is malformed, or HF_TOKEN is not set.
    """
    if not REPOSITORY.fullmatch(repository):
        raise BenchError(f'export --push "{repository}": expected OWNER/NAME')
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token:
        raise BenchError("export --push: HF_TOKEN is not set; set it to a token with write access")
    return token


def push(folder: Path, repository: str, token: str, message: str, *, public: bool) -> str:
    """Uploads a folder as one commit to a model repository, created if missing (private unless `public`).

    Returns:
        The commit's URL.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=not public, exist_ok=True)
        done = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except Exception as error:  # of the client or of its HTTP library, which differs between releases
        reason = " ".join(str(error).split()).replace(token, "***")[:300]
        raise BenchError(
            f'export --push "{repository}": {reason}; "{folder}" is complete: '
            f"upload it with `hf upload {repository} {folder}`"
        ) from None
    return str(done.commit_url)
