"""A checkpoint whose tensors are not exactly the model's is an error, never a model with random weights."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_tokenizer
from worlds import make_checkpoint, make_model

from rlp_bench.api import DataError, Decoding
from rlp_bench.cli.main import main
from rlp_bench.trainers.entailment.nli import NaturalLanguageInference
from rlp_bench.trainers.generation import vllm_engine
from rlp_bench.trainers.generation.rollout import rollout
from rlp_bench.trainers.modeling.checkpoints import (
    RewardInfo,
    load_policy,
    load_reward,
    new_reward,
    save_model,
)
from rlp_bench.trainers.modeling.safe_loading import check_finite_files


@pytest.fixture(params=["llama", "gpt2"])
def policy(tmp_path, request):
    return make_checkpoint(tmp_path / "policy", request.param)


@pytest.fixture
def llama(tmp_path):
    return make_checkpoint(tmp_path / "llama")


@pytest.fixture
def reward(tmp_path, llama):
    save_model(*new_reward(llama, 1), tmp_path / "reward")
    RewardInfo(eos=True, mean=0.0, std=1.0).write(tmp_path / "reward")
    return tmp_path / "reward"


def rewrite(folder, change):
    path = folder / "model.safetensors"
    save_file({k: v.contiguous() for k, v in change(load_file(path)).items()}, path, {"format": "pt"})


def reconfigure(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def validate(monkeypatch, capsys):
    """(exit status, standard error) of `rlp-bench validate FOLDER`."""

    def run(folder):
        monkeypatch.setattr("sys.argv", ["rlp-bench", "validate", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {k: v for k, v in t.items() if "layers.1.mlp" not in k}, "3 tensors are missing"),
        (lambda t: {k: v for k, v in t.items() if k != "model.norm.weight"}, r"1 tensors .*model\.norm\.weight"),
        (lambda t: t | {"model.layers.9.extra": torch.zeros(2)}, r"1 are unexpected \(model\.layers\.9\.extra\)"),
        (lambda t: t | {"model.norm.weight": torch.ones(3)}, r"another shape \(model\.norm\.weight \[3\], not \[32\]"),
        (lambda t: {f"encoder.{k}": v for k, v in t.items()}, "are missing .* are unexpected"),
        (lambda t: t | {"model.layers.0.q.lora_A.weight": torch.zeros(2)}, "merge_and_unload"),
        (lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"}, "set tie_word_embeddings to true"),
        (lambda t: t | {"model.norm.weight": torch.full((32,), torch.nan)}, r"NaN .*\(model\.norm\.weight\)"),
        (lambda t: t | {"lm_head.weight": t["lm_head.weight"] / 0}, r"infinite values \(lm_head\.weight\)"),
    ],
)  # fmt: skip
def test_wrong_tensors_are_one_line_for_policies_and_for_new_reward_models(llama, change, said):
    rewrite(llama, change)
    with pytest.raises(DataError, match=said) as caught:
        load_policy(llama)
    assert "\n" not in str(caught.value)
    if "lm_head" not in said and "tie_word" not in said:
        with pytest.raises(DataError, match=said):
            new_reward(llama, 0)


def test_validate_finds_them_too(llama, reward, validate):
    for folder, name in ((llama, "model.norm.weight"), (reward, "score.weight")):
        assert validate(folder) == (0, "")
        rewrite(folder, lambda t, name=name: {k: v for k, v in t.items() if k != name})
        status, said = validate(folder)
        assert status == 2
        assert said.startswith(f'error: checkpoint "{folder}": 1 tensors are missing ({name})')
        assert len(said.splitlines()) == 1


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_fsdp_wrapped_module."])
def test_names_of_wrappers_are_removed_with_a_warning(policy, prefix, caplog):
    right = load_policy(policy)[0]
    assert not caplog.records
    reconfigure(policy, eos_token_id=1)
    (policy / "generation_config.json").write_text('{"eos_token_id": [1, 5]}')
    rewrite(policy, lambda t: {prefix + k: v for k, v in t.items()})
    found = load_policy(policy)[0]
    for name, tensor in right.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[name]), name
    assert found.generation_config.eos_token_id == [1, 5]
    [record] = caplog.records
    assert "read under another name" in record.getMessage()
    assert str(policy) in record.getMessage()


def test_wrappers_inside_a_name_are_removed(llama):
    right = load_policy(llama)[0]
    rewrite(
        llama,
        lambda t: {k.replace("layers.1.", "layers.1._checkpoint_wrapped_module."): v for k, v in t.items()},
    )
    found = load_policy(llama)[0]
    assert all(torch.equal(a, b) for a, b in zip(right.parameters(), found.parameters(), strict=True))


def test_tensors_stored_with_and_without_a_prefix_are_an_error(llama):
    rewrite(llama, lambda t: t | {"_orig_mod.model.norm.weight": torch.zeros(32)})
    with pytest.raises(DataError, match="stored twice"):
        load_policy(llama)


@pytest.mark.parametrize("head", ["v_head.summary", "value_head", "reward_head", "classifier"])
def test_a_reward_head_under_a_known_name_is_mapped_with_a_warning(reward, head, caplog):
    weight = load_reward(reward)[0].score.weight
    rewrite(reward, lambda t: {k.replace("score.", f"{head}."): v for k, v in t.items()})
    assert torch.equal(load_reward(reward)[0].score.weight, weight)
    assert f"{head}.weight" in caplog.text or "read under another name" in caplog.text


@pytest.mark.parametrize("head", ["my_own_thing", "score2"])
def test_a_reward_head_under_an_unknown_name_is_an_error(reward, head):
    rewrite(reward, lambda t: {k.replace("score.", f"{head}."): v for k, v in t.items()})
    with pytest.raises(DataError, match=rf"score\.weight.*{head}.*store the reward head as"):
        load_reward(reward)


def test_a_policy_is_no_reward_model(llama):
    RewardInfo(eos=True, mean=0.0, std=1.0).write(llama)
    reconfigure(llama, num_labels=1)
    with pytest.raises(DataError, match=r"score\.weight.*give the folder of a reward model"):
        load_reward(llama)


def test_tied_embeddings_are_stored_once_or_equal(llama):
    reconfigure(llama, tie_word_embeddings=True)
    with pytest.raises(DataError, match="output matrix differs from the embedding"):
        load_policy(llama)
    rewrite(llama, lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"})
    model = load_policy(llama)[0]
    assert model.lm_head.weight is model.model.embed_tokens.weight
    rewrite(llama, lambda t: t | {"lm_head.weight": t["model.embed_tokens.weight"].clone()})
    assert torch.equal(load_policy(llama)[0].lm_head.weight, model.lm_head.weight)


def test_an_embedding_shorter_than_the_tokenizer_is_an_error(policy):
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<|new pad|>"})
    tokenizer.save_pretrained(policy)
    for load in (load_policy, lambda path: new_reward(path, 0)):
        with pytest.raises(DataError, match=r"28 tokens and the embedding 27 rows.*resize_token_embeddings"):
            load(policy)
    for name in ("config.json", "generation_config.json"):
        given = json.loads((policy / name).read_text())
        (policy / name).write_text(json.dumps(given | {"pad_token_id": tokenizer.pad_token_id}))
    command = [sys.executable, "-m", "rlp_bench", "validate", str(policy)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, len(found.stderr.splitlines())) == (2, 1), found.stderr


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_tokens_beyond_the_tokenizer_are_never_sampled(tmp_path, kind):
    model, tokens = make_model(kind), len(make_tokenizer())
    model.resize_token_embeddings(tokens + 37, mean_resizing=False)
    with torch.no_grad():  # rows that would be sampled nearly always
        model.get_output_embeddings().weight[tokens:] *= 100
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    assert vllm_engine._allowed(model.config, make_tokenizer()) == range(tokens)
    padded, tokenizer = load_policy(tmp_path)
    assert vllm_engine._allowed(padded.config, tokenizer) is None
    drawn = rollout(padded, tokenizer, [[3, 4], [5]], Decoding(1.0, 1.0, 30), 0, n=8)
    assert int(drawn.ids.max()) < tokens
    assert padded.config.vocab_size == tokens
    save_model(padded, tokenizer, tmp_path / "again")
    assert load_policy(tmp_path / "again")[0].get_input_embeddings().weight.shape[0] == tokens


def test_remote_code_and_pickles_are_never_read(llama, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked for permission"))
    (llama / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    names = {
        "AutoConfig": "code.C",
        "AutoModelForSequenceClassification": "code.M",
        "AutoModelForCausalLM": "code.M",
    }
    reconfigure(llama, auto_map=names, model_type="own")
    for load in (load_policy, lambda path: NaturalLanguageInference(str(path))):
        with pytest.raises(DataError, match="cannot be read"):
            load(llama)
    assert not (tmp_path / "ran").exists()
    torch.save(load_file(llama / "model.safetensors"), llama / "pytorch_model.bin")
    (llama / "model.safetensors").unlink()
    for load in (load_policy, lambda path: NaturalLanguageInference(str(path))):
        with pytest.raises(DataError, match="safetensors"):
            load(llama)


def test_a_classifier_with_random_weights_is_an_error(llama):
    reconfigure(llama, id2label={"0": "entailment", "1": "neutral", "2": "contradiction"})
    with pytest.raises(DataError, match=r"cannot be loaded .*score\.weight"):
        NaturalLanguageInference(str(llama))


def test_nan_is_found_in_files_without_a_model(llama):
    check_finite_files(llama)
    rewrite(llama, lambda t: t | {"model.norm.weight": torch.full((32,), -torch.inf)})
    with pytest.raises(DataError, match=r"model\.norm\.weight"):
        check_finite_files(llama)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {f"_orig_mod.{k}": v for k, v in t.items()}, "names without those of wrappers"),
        (lambda t: t | {"model.norm.weight": torch.full((32,), torch.nan)}, r"model\.norm\.weight"),
    ],
)
def test_the_vllm_engine_refuses_what_vllm_would_not_notice(llama, change, said):
    rewrite(llama, change)
    with pytest.raises(DataError, match=said):
        vllm_engine._about(*vllm_engine.policy_key(llama))
