"""A recipe of stranger's plug-ins and the settings of a small matrix, for fixtures and tests."""

RECIPE = """
name = "greetings"
[base]
checkpoint = "{checkpoint}"
[data]
source = "stranger_greetings"
sft = 6
unlabeled = 8
[prompting]
template = "Q: {{instruction}} A:"
[engine]
name = "stranger_lookup"
[annotator]
judge = "stranger_shortest"
[judge]
name = "stranger_shortest"
[suites]
greetings = "stranger_greetings"
[evaluation]
suites = ["greetings"]
[stages.stranger_parrot]
steps = 4
"""
"""A recipe that uses nothing but plug-ins of tests/plugin_package; {checkpoint} is to be filled in."""

SMALL_SETS = [
    'suites.alpacafarm="micro_vicuna"',
    'evaluation.suites=["alpacafarm"]',
    "evaluation.dev_pairs=24",
    "tuning.prompts=8",
    "data.sft=64",
    "data.preferences=64",
    "stages.ppo.rollouts=2",
    "stages.ppo.snapshots=[1,2]",
    "evaluation.trajectory=[1]",
    "stages.reward.match_steps=true",  # what --match-steps says
    "stages.reward_uml.match_steps=true",
]
"""Settings of the recipe `nano` with which a matrix takes about a minute."""
