"""Downloads files of a Hugging Face repository at a commit: hf://datasets/OWNER/NAME@COMMIT[/PATH] in an argument.

Branches and tags can move after a result is published, so only a full commit hash is accepted. Only plain files are
read; loading scripts are never run. Downloads use huggingface_hub and its cache; HF_HUB_OFFLINE=1 uses only the cache.
"""

import re
from pathlib import Path

from rlp_bench.api.errors import DataError

SCHEME = "hf:/"
"""One slash, because a normalized path has lost the other one."""
REFERENCE = re.compile(
    r"hf://?(?P<kind>datasets|models)/(?P<repo>[^/@,#]+/[^/@,#]+)(?:@(?P<commit>[^/,#]+))?(?:/(?P<path>[^,#]*))?"
)
FORM = "hf://datasets/OWNER/NAME@COMMIT/PATH with the 40 hex digits of a commit"


def localize(argument: str) -> str:
    """The argument with every hf:// reference replaced by the path of the downloaded file or folder.

    Raises:
        DataError: the reference is malformed or has no commit, or the download fails.
    """
    if SCHEME not in argument:
        return argument
    found = REFERENCE.sub(lambda match: str(_fetch(match)), argument)
    if SCHEME in found:
        raise DataError(f'"{argument}": expected {FORM}')
    return found


def _fetch(match: re.Match[str]) -> Path:
    kind, repo, commit, path = (match[name] for name in ("kind", "repo", "commit", "path"))
    if not re.fullmatch(r"[0-9a-f]{40}", commit or ""):
        given = f'"{commit}" is a branch or a tag, which may move' if commit else "no revision is given"
        raise DataError(f'"{match[0]}": {given}; expected {FORM}')
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    repo_type = "dataset" if kind == "datasets" else "model"
    try:
        if path and not path.endswith("/") and "." in path.rsplit("/", 1)[-1]:
            return Path(hf_hub_download(repo, path, repo_type=repo_type, revision=commit))
        inside = f"{path.strip('/')}/" if path and path.strip("/") else ""
        root = snapshot_download(repo, repo_type=repo_type, revision=commit, allow_patterns=[f"{inside}*"])
        return Path(root) / inside
    except RepositoryNotFoundError:
        raise DataError(f'"{match[0]}": no such repository, or access to it needs HF_TOKEN') from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f'"{match[0]}": cannot be downloaded and is not in the cache: {reason}') from None
