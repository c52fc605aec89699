"""llama.cpp's own server on a tiny random model: what the stub cannot show is that a real one speaks like it."""

from collections.abc import Iterator
from typing import Any

import pytest
from hostile import HOSTILE
from judging import pairs_of

from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import Pair
from rlp_bench.judges.alpacafarm_pool import AlpacaFarmPool
from rlp_bench.judges.chat import Chat

pytest.importorskip("xllamacpp", reason="needs a real server: pip install xllamacpp")
pytest.importorskip("gguf", reason="needs gguf to write the server's tiny model")

import tiny_gguf

PAIRS = pairs_of(6)
EITHER = 'extra.grammar=root ::= "A" | "B"'
"""llama.cpp's constrained decoding: the random model has to say one of the two."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    tiny_gguf.write_model(path)
    server: Any = tiny_gguf.serve(path)
    yield f"{server.listening_address}/v1"
    del server


def test_a_real_server_gives_verdicts_usage_and_its_own_name(url: str) -> None:
    judge = Chat(f"tiny,base_url={url},max_concurrency=4,{EITHER}")
    verdicts = judge.judge(PAIRS)
    assert {verdict.preference for verdict in verdicts} <= {0.0, 1.0}
    assert [verdict.raw for verdict in verdicts] == ["AB"[verdict.preference == 0] for verdict in verdicts]
    spent = judge.spent()
    assert spent["answered"] == len(PAIRS)
    assert spent["completion_tokens"] >= len(PAIRS)
    assert spent["prompt_tokens"] > 500 * len(PAIRS)
    assert spent["fingerprints"]


def test_the_first_tokens_log_probabilities_of_a_real_server_are_read(url: str) -> None:
    verdicts = Chat(f"tiny,base_url={url},max_concurrency=4,logprobs=true").judge(PAIRS)
    for verdict in verdicts:  # llama.cpp gives none where the token is no whole UTF-8
        assert verdict.raw.startswith("{") or verdict.reason.endswith("gave no log-probabilities")
    known = [verdict.preference for verdict in verdicts if verdict.preference is not None]
    assert known
    assert all(0 <= preference <= 1 for preference in known)


def test_a_random_models_babble_is_truncated_or_unparsed_never_a_verdict(url: str) -> None:
    verdicts = Chat(f"tiny,base_url={url},max_concurrency=4,temperature=1.5,max_tokens=6").judge(PAIRS)
    for verdict in verdicts:
        assert (verdict.preference is None) == (verdict.raw.strip() not in ("A", "B"))


def test_hostile_answers_pass_a_real_server(url: str) -> None:
    pairs = [Pair("Q?", text[:1500], "fine") for text in HOSTILE.values()]
    verdicts = Chat(f"tiny,base_url={url},max_concurrency=4,{EITHER}").judge(pairs)
    assert all(verdict.preference is not None for verdict in verdicts)


def test_a_prompt_longer_than_the_context_is_counted_as_failed_with_the_servers_words(url: str) -> None:
    [verdict, other] = Chat(f"tiny,base_url={url},{EITHER}").judge(
        [Pair("Q?", HOSTILE["megabyte"], "x"), PAIRS[0]]
    )
    assert verdict.preference is None
    assert verdict.reason.startswith("failed: HTTP 400")
    assert other.preference is not None


def test_a_real_server_that_answers_by_another_name_is_refused(url: str) -> None:
    with pytest.raises(BenchError, match=r'asked for model "gpt-4o".*answered by'):
        Chat(f"gpt-4o,base_url={url}").judge(PAIRS[:1])


def test_the_pool_runs_over_a_real_server(url: str) -> None:
    verdicts = AlpacaFarmPool(f"tiny,base_url={url},max_concurrency=4").judge(PAIRS)
    assert all(v.preference is not None or v.reason.startswith(("unparsed", "truncated")) for v in verdicts)
