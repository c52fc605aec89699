"""A setting at its default is in no fingerprint: what a default was when its version was given is written down here.

Renew the table with `python tests/harness/test_trainer_defaults.py`.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from rlp_bench.api import registry
from rlp_bench.recipes.trainer_settings import default_settings

TABLE = Path(__file__).parent / "trainer_defaults.json"
OURS = [
    name for name in registry.names("trainer") if registry.origin("trainer", name).startswith("rlp-bench")
]
RENEW = "renew the table: python tests/harness/test_trainer_defaults.py"


def as_it_is(name: str) -> dict[str, Any]:
    """{version, defaults} of a trainer; what a preset stands for is a default too."""
    from rlp_bench.trainers.ppo.config import PRESETS

    trainer = registry.load("trainer", name)
    presets = {f"preset {preset}": dataclasses.asdict(flags) for preset, flags in PRESETS.items()}
    defaults = {**default_settings(trainer()), **(presets if name == "ppo" else {})}
    return {"version": trainer.version, "defaults": defaults}


def complaint(name: str, known: dict[str, Any] | None, found: dict[str, Any]) -> str:
    """What has to be done about a trainer; "" where nothing has."""
    if known is None:
        return f"trainer {name}: not in the table; {RENEW}"
    shared = known["defaults"].keys() & found["defaults"].keys()
    changed = sorted(key for key in shared if known["defaults"][key] != found["defaults"][key])
    if changed and known["version"] == found["version"]:
        return (
            f"trainer {name}: another default of {', '.join(changed)}: artifacts made with the old one have the same "
            f"fingerprint; raise its version (now {found['version']}) and {RENEW}"
        )
    return f"trainer {name}: version or settings are new; {RENEW}" if known != found else ""


@pytest.mark.parametrize("name", OURS)
def test_a_changed_default_raises_the_version(name: str) -> None:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    assert complaint(name, table.get(name), as_it_is(name)) == ""


def test_the_table_names_no_trainer_that_is_gone() -> None:
    assert sorted(json.loads(TABLE.read_text(encoding="utf-8"))) == sorted(OURS)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"version": "1", "defaults": {"n": 5}}, "raise its version (now 1)"),
        ({"version": "1", "defaults": {"n": True}}, "raise its version (now 1)"),
        ({"version": "2", "defaults": {"n": 5}}, "version or settings are new; renew"),
        ({"version": "1", "defaults": {"n": 4, "new": 0}}, "version or settings are new; renew"),
        ({"version": "1", "defaults": {}}, "version or settings are new; renew"),
        ({"version": "1", "defaults": {"n": 4}}, ""),
    ],
)
def test_what_is_said_of_a_change(found: dict[str, Any], said: str) -> None:
    known = {"version": "1", "defaults": {"n": 4}}
    text = complaint("x", known, found)
    assert said in text if said else text == ""


if __name__ == "__main__":
    TABLE.write_text(json.dumps({name: as_it_is(name) for name in OURS}, indent=1, sort_keys=True) + "\n")
