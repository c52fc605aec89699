"""Real texts through every stage: Alpaca's demonstrations, human preferences, PPO, on a small Llama made here.

`pytest -s tests/real_data/test_real_text.py` prints every stage's row ledger.
"""

import gzip
import json
import math
import time
from pathlib import Path

import pytest
from patience import PATIENCE
from shared_files import shared

from rlp_bench.api.files import read_jsonl
from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, Prompting
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.meter import StageMeter
from rlp_bench.run.records import find_run
from rlp_bench.store.store import Store

ROOT = Path(__file__).resolve().parents[2]
DATA = shared("data")
ALPACA, SPLITS = DATA / "alpaca" / "alpaca_data.json.gz", DATA / "alpaca" / "alpacafarm_like_splits.json.gz"
HH = DATA / "preference" / "hh_rlhf" / "harmless-base_test.jsonl.gz"
CROSS = DATA / "alpaca_farm" / "alpacafarm_crossannotation_pairs_gpt4x8.json.gz"
pytestmark = pytest.mark.skipif(
    not all(path.is_file() for path in (ALPACA, SPLITS, HH, CROSS)),
    reason="needs Alpaca, AlpacaFarm and HH-RLHF in ../shared/data",
)
NO_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{x}\n\n### Response:"
)
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.\n\n### Instruction:\n{x}\n\n### Input:\n{y}\n\n### Response:"
)


@pytest.fixture(scope="module")
def base(warm, tmp_path_factory) -> Path:
    """A Llama with random weights, and a byte-level BPE trained on Alpaca."""
    folder = tmp_path_factory.mktemp("real") / "base"
    warm.run(ALPACA, folder, target=ROOT / "tools" / "tiny_base.py").check_returncode()
    return folder


def run(warm, method: str, base: Path, store: Path, preferences: str, count: int):
    """The finished run, with every stage's ledger printed and checked."""
    sets = [
        f"base.checkpoint={base}",
        f"data.source=alpacafarm_data:{ALPACA},splits={SPLITS}",
        f"data.preferences_from={preferences}",
        f"data.preferences={count}",
    ]
    options = [part for each in sets for part in ("--set", each)]
    began = time.monotonic()
    command = ("run", "--method", method, "--recipe", "real_text", "--no-eval", "--store", store, *options)
    done = warm.run(*command, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    print(f"\n{method}: {time.monotonic() - began:.0f} s")
    record = find_run(Store(store))
    for label, artifact in record.lineage:
        if "rows_in" in artifact.metrics:
            ledger = ledger_of(artifact)
            print(f"{label}: {ledger}")
            drops = sum(rows for name, rows in ledger.items() if name.startswith("dropped_"))
            assert ledger["rows_in"] == ledger["rows_used"] + drops, label
            listed = artifact.path / "dropped.jsonl"
            assert not listed.exists() or drops in (0, sum(1 for _ in read_jsonl(listed)))
    return record


def ledger_of(artifact: Artifact) -> dict[str, int]:
    names = ("rows_", "dropped_", "truncated", "contradicted")
    return {name: int(value) for name, value in artifact.metrics.items() if name.startswith(names)}


@pytest.fixture(scope="module")
def ppo(warm, base, tmp_path_factory):
    """SFT on Alpaca, a reward model on HH-RLHF, and PPO."""
    return run(warm, "ppo", base, tmp_path_factory.mktemp("real") / "store", f"hh_rlhf:{HH}", 800)


@pytest.fixture(scope="module")
def tokenizer(base):
    from rlp_bench.trainers.data.tokenizer import load_tokenizer

    return load_tokenizer(base)


@pytest.fixture(scope="module")
def prompting() -> Prompting:
    return load_recipe("real_text").stage_prompting()


def demonstrations(record) -> list[dict[str, str]]:
    return record.named("data-sft").rows()


def test_every_stage_accounts_for_its_rows(ppo):
    ledgers = {label: ledger_of(artifact) for label, artifact in ppo.lineage if artifact.metrics}
    assert ledgers["data-sft"]["rows_in"] == 1600
    assert ledgers["data-pairs"]["rows_in"] == 800
    for before, after in (
        ("data-sft", "sft"),
        ("data-pairs", "import_preferences"),
        ("import_preferences", "reward"),
        ("data-unlabeled", "ppo"),
    ):
        assert ledgers[after]["rows_in"] == ledgers[before]["rows_used"], after
    assert ledgers["import_preferences"]["dropped_prompt_too_long"] > 0


def test_nothing_is_nan_and_the_models_have_learnt(ppo):
    import torch
    from safetensors.torch import load_file

    for label, artifact in ppo.lineage:
        assert all(math.isfinite(value) for value in artifact.metrics.values()), label
        for row in artifact.rows("log.jsonl") if (artifact.path / "log.jsonl").exists() else []:
            numbers = [value for value in row.values() if isinstance(value, float)]
            assert all(map(math.isfinite, numbers)), (label, row)
        for file in artifact.path.glob("*.safetensors"):
            assert all(bool(torch.isfinite(weight).all()) for weight in load_file(file).values()), label
    first = ppo.named("sft").rows("log.jsonl")[0]["loss"]
    assert first == pytest.approx(math.log(2048), abs=0.2)  # a random model
    assert ppo.named("sft").metrics["train_loss"] < first - 1
    assert ppo.named("ppo").metrics["kl_k3"] > 0


def test_alpacas_template_with_and_without_input(ppo, prompting):
    kinds = set()
    for row in demonstrations(ppo):
        form = WITH_INPUT if row["input"] else NO_INPUT
        expected = form.replace("{x}", "\0").replace("{y}", row["input"]).replace("\0", row["instruction"])
        assert prompting.render(row["instruction"], row["input"]) == expected
        kinds.add(bool(row["input"]))
    assert kinds == {True, False}
    assert prompting.render("Say {input}.") == NO_INPUT.replace("{x}", "Say {input}.")


def test_one_bos_eos_at_the_end_and_cutting_is_counted(ppo, tokenizer, prompting, tmp_path):
    from rlp_bench.trainers.policies.sft.loop import encode_demonstrations
    from rlp_bench.trainers.policies.sft.trainer import SupervisedFineTuning

    stage = SupervisedFineTuning(**load_recipe("real_text").stages["sft"])
    rows, ledger = encode_demonstrations(stage, ppo.named("data-sft"), tokenizer, prompting)
    limit = prompting.max_response_tokens
    for prompt, response in rows:
        assert prompt.count(tokenizer.bos_token_id) == 1
        assert prompt[0] == tokenizer.bos_token_id
        assert response.count(tokenizer.eos_token_id) == 1
        assert response[-1] == tokenizer.eos_token_id
        assert len(response) <= limit
        assert not {tokenizer.pad_token_id, tokenizer.bos_token_id} & set(response)
    lengths = [
        len(tokenizer.encode(row["response"], add_special_tokens=False))
        for row in demonstrations(ppo)
        if len(tokenizer.encode(prompting.render(row["instruction"], row["input"])))
        <= prompting.max_prompt_tokens
    ]
    cut = sum(length + 1 > limit for length in lengths)
    assert 0 < cut == ledger.notes["truncated"] == ppo.named("sft").metrics["truncated"]
    assert len(lengths) == len(rows)


def test_texts_come_back_from_their_tokens(ppo, tokenizer):
    rows = demonstrations(ppo)[:300] + ppo.named("import_preferences").rows()
    found = [text for row in rows for text in row.values() if isinstance(text, str)]
    for text in [*found, "naïve 😀 \u2028 \t\r\n x"]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text


def test_the_reward_model_reads_the_humans_pairs(ppo, tokenizer, prompting):
    kept = {(row["chosen"], row["rejected"]) for row in ppo.named("import_preferences").rows()}
    raw = [json.loads(line) for line in gzip.decompress(HH.read_bytes()).decode().split("\n") if line][:800]
    ends = [
        tuple(row[side].rpartition("\n\nAssistant:")[2].strip() for side in ("chosen", "rejected"))
        for row in raw
    ]
    assert kept <= set(ends)
    for row in ppo.named("import_preferences").rows():
        assert row["chosen_tokens"] == len(tokenizer.encode(row["chosen"], add_special_tokens=False))
        assert max(row["chosen_tokens"], row["rejected_tokens"]) <= prompting.max_response_tokens


def test_alpacafarms_preferences_train_a_reward_model(warm, ppo, base, tmp_path):
    """AlpacaFarm's cross-annotation pairs by the majority of GPT-4's four labels: half are evaluation items."""
    rows = json.loads(gzip.decompress(CROSS.read_bytes()))
    for row in rows:
        wins = row.pop("gpt4_b5").count(2)
        row["preference"] = 1.5 if wins == 2 else 2 if wins > 2 else 1
    path = tmp_path / "preferences.json"
    path.write_text(json.dumps(rows))
    store = ppo.path.parents[2]
    record = run(warm, "best_of_n", base, store, f"alpacafarm_preferences:{path}", len(rows))
    assert record.named("sft").fingerprint == ppo.named("sft").fingerprint  # shared with the other run
    assert ledger_of(record.named("data-pairs")) == {
        "rows_in": 648,
        "rows_used": 327,
        "dropped_evaluation_item": 321,
    }
    stage = ledger_of(record.named("import_preferences"))
    assert stage["dropped_tie"] > 0
    assert stage["rows_used"] > 100


def test_a_long_prompt_is_dropped_not_cut(base, prompting, tmp_path):
    from rlp_bench.trainers.preferences.from_file import ImportPreferences

    text = " ".join(f"word{number}" for number in range(400))
    (tmp_path / "rows.jsonl").write_text(
        "".join(
            json.dumps({"instruction": asked, "input": "", "chosen": "yes", "rejected": "no"}) + "\n"
            for asked in (text, "short")
        )
    )
    context = Context(0, "cpu", prompting, tmp_path, lambda *_: None, StageMeter(), engine=None)
    (tmp_path / "out").mkdir()
    inputs = {"init": Artifact("policy", "", base), "pairs": Artifact("pairs", "", tmp_path)}
    metrics = ImportPreferences().train(inputs, tmp_path / "out", context)
    assert metrics["dropped_prompt_too_long"] == 1
    assert [row["instruction"] for row in read_jsonl(tmp_path / "out" / "rows.jsonl")] == ["short"]
