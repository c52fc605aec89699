"""Settings stand apart from loops: they are listed, explained and planned with before any torch is imported."""

import inspect
import subprocess
import sys

import pytest

from rlp_bench.api import registry
from rlp_bench.recipes.trainer_settings import setting_meanings, setting_names
from rlp_bench.trainers.reward.multi_view.loop import build_objective
from rlp_bench.trainers.reward.multi_view.trainer import PolicyRewardModel

OURS = [
    name for name in registry.names("trainer") if registry.origin("trainer", name).startswith("rlp-bench")
]

PLAN = """
import sys
from rlp_bench.plan.estimate.estimate import predict
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
prediction = predict(build_plan(load_recipe("nano"), "rlp", 0))
print(sum(needs is not None for needs in prediction.stages.values()))
print(*sorted({"torch", "transformers"} & set(sys.modules)))
"""


def test_predicting_a_plan_imports_no_torch_where_the_checkpoint_is_there() -> None:
    run = subprocess.run([sys.executable, "-c", PLAN], capture_output=True, text=True, check=True)
    stages, heavy = run.stdout.splitlines()
    assert int(stages) == 8
    assert heavy == ""


@pytest.mark.parametrize("name", OURS)
def test_every_setting_says_what_it_means(name: str) -> None:
    trainer = registry.load("trainer", name)
    meanings = setting_meanings(trainer)
    assert [setting for setting in setting_names(trainer) if not meanings.get(setting)] == []


@pytest.mark.parametrize("name", OURS)
def test_train_is_the_same_call_everywhere(name: str) -> None:
    assert list(inspect.signature(registry.load("trainer", name).train).parameters) == [
        "self", "inputs", "out", "context",
    ]  # fmt: skip


@pytest.mark.parametrize("objective", ["mib", "mvi", "infomax", "cl"])
@pytest.mark.parametrize("changed", [{}, {"shared_trunk": True}, {"prototypes": 12, "hidden": 7, "z_dim": 3}])
def test_parameters_of_the_heads_are_those_of_the_heads(objective: str, changed: dict[str, int]) -> None:
    """Counted by hand, because `plan` may import no torch."""
    settings = PolicyRewardModel(objective=objective, **({"hidden": 16} | changed))
    made = build_objective(settings, 24, 1, 0)
    assert settings.head_parameters(24) == sum(parameter.numel() for parameter in made.parameters())
