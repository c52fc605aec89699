"""The mean of several reward models as one reward model: a folder that names the folders of its members."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.nn import Module, ModuleList

from rlp_bench.api import DataError

AVERAGE = "reward_average.json"
"""{"members": [folders of the reward models, relative to this file's folder]}."""


class AveragedReward(Module):
    """Reward models whose scores `scalar_scores` averages; it has no single backbone."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        self.members = ModuleList(members)

    @property
    def config(self) -> Any:
        """The first member's configuration."""
        return self.members[0].config

    @property
    def device(self) -> Any:
        """The first member's device."""
        return self.members[0].device


def member_folders(path: str | Path) -> list[Path]:
    """The folders of an averaged reward model's members; [] if the folder is a single model.

    Raises:
        DataError: the file that names them is broken, or a folder is missing.
    """
    file = Path(path) / AVERAGE
    if not file.is_file():
        return []
    try:
        folders = [file.parent / name for name in json.loads(file.read_text(encoding="utf-8"))["members"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f'"{file}": is broken ({error}); expected {{"members": [folders]}}') from None
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing or not folders:
        raise DataError(
            f'"{file}": names {len(folders)} reward models, missing are {[str(one) for one in missing]}; expected '
            "all of them; restore their artifacts"
        )
    return folders
