"""MMLU's two protocols on invented questions and a tiny model: shortening, scores, resume, columns."""

import json
import math

import pytest
from evaluation_parts import asking
from mmlu_parts import make_folder, make_policy, make_tokenizer

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.protocols import FewShotEngine
from rlp_bench.api.types import Artifact, content_id
from rlp_bench.evaluation import few_shot
from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.evaluation.few_shot import fit_prompts
from rlp_bench.evaluation.kinds.few_shot import few_shot_report, groups, macro_average, prompts_of
from rlp_bench.leaderboard.table.collect import bring_together
from rlp_bench.suites.mmlu import MMLU
from rlp_bench.trainers.generation import transformers_engine
from rlp_bench.trainers.generation.transformers_engine import TransformersEngine


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("mmlu"))


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return make_policy(tmp_path_factory.mktemp("policy") / "tiny")


def report_of(store, engine, policy, suite, name="transformers"):
    found = Artifact("policy", content_id(str(policy)), policy)
    return few_shot_report(asking(store, engine, found, engine_name=name), "mmlu", suite, suite.items())


# --- How many examples --------------------------------------------------------------------------------


@pytest.mark.parametrize("bos", [True, False])
def test_examples_are_dropped_from_the_end_until_the_prompt_fits(data, tmp_path, bos):
    engine, policy = TransformersEngine(), make_policy(tmp_path / "policy", bos=bos)
    suite = MMLU(f"{data},limit=1#old_maths")
    [question] = suite.items()
    lengths = [len(suite.prompt(question, shots).encode()) + bos for shots in range(6)]
    for limit, shots in [(lengths[5], 5), (lengths[5] - 1, 4), (lengths[3], 3), (lengths[3] - 1, 2), (9, 0)]:
        suite.max_prompt_tokens = limit
        [asked] = fit_prompts(engine, policy, suite, [question])
        assert (asked.shots, asked.size.tokens) == (shots, lengths[shots])
        assert asked.prompt == suite.prompt(question, shots)
        assert asked.size.bos == (1 if bos else None)
        assert asked.fits


def test_a_short_context_leaves_room_for_the_answer(data, tmp_path):
    suite = MMLU(f"{data},limit=1#old_maths")
    [question] = suite.items()
    length = len(suite.prompt(question, 1).encode()) + 1
    engine = TransformersEngine()
    for context, shots in [(length + 2, 1), (length + 1, 0)]:
        [asked] = fit_prompts(engine, make_policy(tmp_path / str(context), context), suite, [question])
        assert asked.shots == shots


def test_a_question_without_room_has_no_score_and_none_at_all_is_an_error(data, store, tmp_path):
    suite = MMLU(f"{data}#old_maths,zoo_animals")
    length = max(len(suite.prompt(item, 0).encode()) for item in suite.items() if item.subject == "old_maths")
    policy = make_policy(tmp_path / "short", length + 3)
    report = report_of(store, TransformersEngine(), policy, suite)
    assert report["coverage"]["too_long"] == 3
    assert (report["n_items"], report["n_scored"]) == (4, 1)
    assert report["subjects"]["zoo_animals"]["n"] == 0
    assert any("3 of 4 questions have no score" in line for line in report["warnings"])
    with pytest.raises(DataError, match=r"none of 4 questions could be asked \(too_long\)"):
        report_of(store, TransformersEngine(), make_policy(tmp_path / "shorter", 40), suite)


# --- Against transformers itself ----------------------------------------------------------------------


def ask_transformers(policy, prompts):
    """What the model writes greedily in two tokens, and its log-probabilities of " A" to " D", one prompt at a time."""
    import torch
    from transformers import LlamaForCausalLM

    model, tokenizer = LlamaForCausalLM.from_pretrained(policy), make_tokenizer()
    texts, logprobs = [], []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        assert ids[0].tolist().count(1) == 1
        with torch.inference_mode():
            out = model.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=0)
            whole = torch.stack(
                [tokenizer(f"{prompt} {c}", return_tensors="pt").input_ids[0] for c in "ABCD"]
            )
            table = model(whole).logits.log_softmax(-1)
        texts.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
        start = ids.shape[1]
        chosen = table[:, start - 1 : -1].gather(-1, whole[:, start:, None]).squeeze(-1)
        logprobs.append(chosen.sum(1).tolist())
    return texts, logprobs


def test_both_protocols_say_what_transformers_says(data, store, policy):
    generated = MMLU(str(data))
    questions = generated.items()
    texts, _ = ask_transformers(policy, [generated.prompt(question, 5) for question in questions])
    report = report_of(store, TransformersEngine(), policy, generated)
    rows = [json.loads(line) for line in (store.root / report["scores"]).read_text().splitlines()]
    assert [row["prediction"] for row in rows] == texts
    right = [text.strip().startswith("ABCD"[q.answer]) for text, q in zip(texts, questions, strict=True)]
    assert [row["score"] for row in rows] == [float(hit) for hit in right]
    assert 0 < report["accuracy"] < 100  # neither side of the comparison is empty
    assert report["bos_tokens"] == {"1": 6}
    assert report["n_shots"] == {"5": 6}
    assert report["coverage"]["unparsed"] == sum(text.strip()[:1] not in tuple("ABCD") for text in texts)

    scored = MMLU(f"{data},protocol=lm_eval")
    questions = scored.items()
    _, expected = ask_transformers(policy, [scored.prompt(question, 5) for question in questions])
    report = report_of(store, TransformersEngine(), policy, scored)
    rows = [json.loads(line) for line in (store.root / report["scores"]).read_text().splitlines()]
    for row, values, question in zip(rows, expected, questions, strict=True):
        assert row["logprobs"] == pytest.approx(values, abs=1e-4)
        assert row["score"] == float(values.index(max(values)) == question.answer)
    assert report["metric"] == "accuracy.lm_eval_5shot_bos"
    assert report["bos_tokens"] == {"1": 6}


class Merging:
    """A tokenizer that finds other tokens in " A" alone than behind a text, as SentencePiece's do."""

    bos_token_id = unk_token_id = None
    all_special_ids = ()

    @property
    def added_tokens_decoder(self):
        return {}

    def convert_ids_to_tokens(self, ids):
        return [chr(one) for one in ids]

    def encode(self, text, add_special_tokens=False):
        return [9, 9] if text == " A" else [ord(letter) for letter in text.replace(" A", "\u2581")]


def test_a_choice_is_encoded_behind_its_prompt():
    from rlp_bench.trainers.generation.choices import choice_rows

    [row] = choice_rows(Merging(), ["x:"], [[" A", " B"]], 99)
    assert row.choices == ((0x2581,), (32, ord("B")))
    with pytest.raises(DataError, match="adds no token after"):
        choice_rows(Merging(), ["x:"], [[""]], 99)


def test_a_prompt_is_cut_at_its_left():
    from rlp_bench.trainers.generation.choices import choice_rows

    # One-token choices leave the whole context to the prompt, a choice of two tokens takes its two.
    [short] = choice_rows(Merging(), ["abcdef"], [["x", "y"]], 4)
    assert ("".join(map(chr, short.prompt)), short.cut) == ("cdef", 2)
    [long] = choice_rows(Merging(), ["abcdef"], [["x", "yz"]], 4)
    assert ("".join(map(chr, long.prompt)), long.cut) == ("ef", 4)


def test_one_token_choices_take_one_pass_and_agree_with_two_token_ones(policy):
    # "A" after "Answer: " is one token of this tokenizer; " A" after "Answer:" is two, the first the same for all.
    engine = TransformersEngine()
    [one] = engine.choices(policy, ["Answer: "], [["A", "B"]])
    [two] = engine.choices(policy, ["Answer:"], [[" A", " B"]])
    assert one.logprobs[0] - one.logprobs[1] == pytest.approx(two.logprobs[0] - two.logprobs[1], abs=1e-5)


def test_lm_eval_cuts_a_long_prompt_at_its_left(data, store, tmp_path):
    suite = MMLU(f"{data},protocol=lm_eval,limit=1#old_maths")
    [question] = suite.items()
    length = len(suite.prompt(question, 5).encode()) + 1
    policy = make_policy(tmp_path / "policy", 200)
    report = report_of(store, TransformersEngine(), policy, suite)
    [row] = [json.loads(line) for line in (store.root / report["scores"]).read_text().splitlines()]
    assert row["cut_tokens"] == length - (200 - 2)  # two tokens are for " A"
    assert report["coverage"]["cut"] == 1
    assert any("cut at their left" in line for line in report["warnings"])


def test_batches_and_slots_do_not_change_an_answer(tmp_path, store, monkeypatch):
    # One at a time and eight at a time, 50 questions.
    folder = make_folder(tmp_path / "data", {"fifty": 50})
    policy = make_policy(tmp_path / "policy")
    found = {}
    for slots in (1, 8):
        monkeypatch.setattr(transformers_engine, "SLOTS", slots)
        for protocol in ("instruct_eval", "lm_eval"):
            suite = MMLU(f"{folder},protocol={protocol}")
            report = report_of(store, TransformersEngine(), policy, suite, name=f"slots {slots}")
            rows = [json.loads(line) for line in (store.root / report["scores"]).read_text().splitlines()]
            found[protocol, slots] = [(row.get("prediction"), row["read"]) for row in rows]
    assert found["instruct_eval", 1] == found["instruct_eval", 8]
    assert found["lm_eval", 1] == found["lm_eval", 8]


# --- The report ---------------------------------------------------------------------------------------


def test_micro_and_macro_average_by_hand():
    # x: 1 of 1, y: 1 of 2, z: 0 of 3. Micro 2/6; macro (1 + 1/2 + 0) / 3. z + y make category u.
    scores = {"x": [1.0], "y": [1.0, 0.0], "z": [0.0, 0.0, 0.0]}
    rows = [
        {"subject": name, "category": "t" if name == "x" else "u", "score": score}
        for name, found in scores.items()
        for score in found
    ]
    assert macro_average(rows)["accuracy"] == pytest.approx(50.0)
    assert macro_average(rows)["standard_error"] is None  # one question of x has none
    # Without x: SE of y = sd .7071 / sqrt 2 = 50 points, of z = 0: sqrt(50^2 + 0^2) / 2 = 25.
    assert macro_average(rows[1:])["standard_error"] == pytest.approx(25.0)
    by_category = groups(rows, "category")
    assert by_category["u"]["accuracy"] == pytest.approx(20.0)
    assert (by_category["t"]["accuracy"], by_category["t"]["n"]) == (100.0, 1)
    assert math.isclose(sum(row["score"] for row in rows) / len(rows), 1 / 3)


def test_the_report_labels_both_averages_and_keeps_the_first_prompt(data, store, policy):
    import hashlib

    suite = MMLU(str(data))
    report = report_of(store, TransformersEngine(), policy, suite)
    per = {name: group["accuracy"] for name, group in report["subjects"].items()}
    assert report["macro_average"]["accuracy"] == pytest.approx(sum(per.values()) / 3)
    assert report["macro_average"]["average"] == "macro: over 3 subjects"
    assert report["average"] == "micro: over questions"
    assert report["accuracy"] == pytest.approx(sum(per[n] * report["subjects"][n]["n"] for n in per) / 6)
    first = report["first_prompt"]
    assert first["text"] == suite.prompt(suite.items()[0], 5)
    assert first["sha256"] == hashlib.sha256(first["text"].encode()).hexdigest()
    assert report["ci95"][0] <= report["accuracy"] <= report["ci95"][1]
    json.dumps(report, allow_nan=False)


def test_bos_counts_other_than_one_are_told(data):
    suite = MMLU(f"{data},limit=2#zoo_animals")
    rows = [{"n_shots": 5, "prompt_tokens": 9, "prompt": "x", "bos_tokens": n} for n in (1, 2)]
    assert prompts_of(suite, suite.items(), rows)["bos_tokens"] == {"2": 1, "1": 1}


# --- Resume -------------------------------------------------------------------------------------------


class Tired(TransformersEngine):
    """Gives up before its third part; counts what it was asked."""

    def __init__(self, parts=99):
        super().__init__()
        self.asked, self.left = 0, parts

    def sample(self, policy, prompts, decoding, *, n=1, seed=0):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.asked += len(prompts)
        return super().sample(policy, prompts, decoding, n=n, seed=seed)


def test_a_killed_evaluation_goes_on_at_the_part_and_equals_an_undisturbed_one(
    data, store, policy, tmp_path, monkeypatch
):
    from rlp_bench.store.store import Store

    monkeypatch.setattr(few_shot, "PART", 2)  # 1 + 1 + 2 parts: colours 2, old_maths 1, zoo_animals 2 and 1
    suite, tired = MMLU(str(data)), Tired(parts=2)
    with pytest.raises(KeyboardInterrupt):
        report_of(store, tired, policy, suite)
    assert tired.asked == 3
    fresh = Tired()
    report = report_of(store, fresh, policy, suite)
    assert fresh.asked == 3
    nobody = Tired(parts=0)
    assert report_of(store, nobody, policy, suite) == report
    other = report_of(Store(tmp_path / "other"), Tired(), policy, suite)
    assert other == report


def test_progress_counts_questions(data, store, policy):
    told = []
    suite = MMLU(str(data))
    found = Artifact("policy", "p", policy)
    given = asking(store, TransformersEngine(), found, progress=lambda *now: told.append(now))
    few_shot_report(given, "mmlu", suite, suite.items())
    assert told[0] == (0, 6, "mmlu: colours")
    assert told[-1] == (6, 6, "mmlu: answered")


# --- Columns ------------------------------------------------------------------------------------------


def board_report(suites):
    return {"recipe": "r@1", "store": ".", "method": "sft", "seed": 0, "suites": suites, "kl": None}


def test_the_two_protocols_never_share_a_column(data, store, policy):
    both = {
        protocol: report_of(store, TransformersEngine(), policy, MMLU(f"{data},protocol={protocol}"))
        for protocol in ("instruct_eval", "lm_eval")
    }
    assert {one["metric"] for one in both.values()} == {
        "accuracy.instruct_eval_5shot", "accuracy.lm_eval_5shot_bos"
    }  # fmt: skip
    named = [{"alias": "mmlu", **one} for one in both.values()]
    reports = [board_report([named[0]]), {**board_report([named[1]]), "method": "ppo"}]
    with pytest.raises(DataError, match=r"not measured in one way.*instruct_eval_5shot.*lm_eval_5shot_bos"):
        bring_together(reports)
    apart = [
        {"alias": name, **one} for name, one in zip(("mmlu", "mmlu_lm_eval"), both.values(), strict=True)
    ]
    board = bring_together([board_report(apart)])
    assert board.suites == ("mmlu", "mmlu_lm_eval")
    assert board.judges["mmlu"] != board.judges["mmlu_lm_eval"]


# --- The command --------------------------------------------------------------------------------------


def test_eval_policy_on_a_folder_by_both_protocols(cli, data, policy, tmp_path):
    call = ("eval", "--policy", policy, "--store", tmp_path / "store", "--json")
    suites = ("--suite", "mmlu", "--suite", "mmlu:protocol=lm_eval")
    first = cli(*call, *suites, "--data", data)
    assert first.returncode == 0, first.stderr
    one, two = json.loads(first.stdout)["suites"]
    assert (one["alias"], two["alias"]) == ("mmlu", "mmlu_lm_eval")
    assert (one["metric"], two["metric"]) == ("accuracy.instruct_eval_5shot", "accuracy.lm_eval_5shot_bos")
    assert one["n_items"] == two["n_items"] == 6
    sealed = sorted((tmp_path / "store/artifacts").iterdir())
    assert len(sealed) == 8  # three parts and a whole, twice
    again = cli(*call, "--suite", f"mmlu:{data}", "--suite", f"mmlu:{data},protocol=lm_eval")
    assert json.loads(again.stdout)["suites"] == [one, two]
    assert sorted((tmp_path / "store/artifacts").iterdir()) == sealed
    shown = cli(*call[:-1], "--suite", f"mmlu:{data}")
    assert "mmlu: accuracy by category " in shown.stdout
    assert "macro: over 3 subjects" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--suite", "mmlu:{data},protocol=x"), 'no protocol "x"'),
        (("--data", "{data}"), "no suite; give --suite NAME"),
        (("--suite", "mmlu:"), "needs its data"),
        (("--suite", "mmmlu:{data}"), 'suite "mmmlu:'),
    ],
)
def test_a_wrong_call_is_one_line_and_leaves_nothing(cli, data, policy, tmp_path, arguments, message):
    given = [argument.format(data=data) for argument in arguments]
    done = cli("eval", "--policy", policy, "--store", tmp_path / "store", *given)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store/artifacts").exists()


def test_a_file_of_answers_is_not_asked_questions(data, store):
    outputs = store.root.parent / "outputs.json"
    outputs.write_text(json.dumps([{"instruction": "x", "output": "y", "generator": "z"}]))
    with pytest.raises(BenchError, match="asks a policy, not a file"):
        eval_command(outputs=outputs, suites=["mmlu"], data=data, judge="longest", store=store)


def test_the_engines_say_what_they_can():
    assert isinstance(TransformersEngine(), FewShotEngine)
    assert not isinstance(registry.load("engine", "openai")(), FewShotEngine)
