"""What docs/security.md promises about endpoints: redirects, keys, sizes, proxies, the cache's place."""

import gzip
import json
import pwd
import zlib
from pathlib import Path
from typing import Any

import pytest
from judging import chat, pairs_of
from stub_server import Stub
from test_replies import completion

from rlp_bench.api.errors import BenchError
from rlp_bench.endpoint import Connection
from rlp_bench.endpoint.http import MAX_REPLY_BYTES
from rlp_bench.judges.chat import Chat

PAIRS = pairs_of(4)
KEY = "sk-very-secret-0123456789"
OK = completion({"content": "A"})


# --- Redirects --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_and_the_advice_leads_to_the_address(status: int) -> None:
    with Stub(respond=lambda body, stub: (200, "", OK)) as other:
        where = f"Location: {other.url}/chat/completions\r\n"
        with Stub(respond=lambda body, stub: (status, where, b"")) as stub:
            with pytest.raises(
                BenchError, match=f"HTTP {status}: redirects to .*redirects are not followed"
            ) as raised:
                chat(stub).judge(PAIRS)
            assert other.log == []
            assert len(stub.log) == 1
        address = str(raised.value).split("give base_url=")[1].split(";")[0]
        assert chat(address).judge(PAIRS[:1])[0].preference == 1.0


@pytest.mark.parametrize(
    "place", ["", "/v2", "http://me:pw@evil/", "javascript:x", "http://a\x1b[2J/", "//evil/v1"]
)
def test_a_strange_redirect_is_one_line_and_gives_no_address_to_follow(place: str) -> None:
    with (
        Stub(respond=lambda body, stub: (307, f"Location: {place}\r\n", b"")) as stub,
        pytest.raises(BenchError, match=r"redirect") as raised,
    ):
        chat(stub, attempts=1).judge(PAIRS)
    assert str(raised.value).isprintable()
    assert "trust" not in str(raised.value)


# --- Keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_no_key_is_ever_written_though_the_server_echoes_it(
    status: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ROUTER_TOKEN", "router-secret-987")

    def echo(body: dict[str, Any], stub: Stub) -> tuple[int, str, Any]:
        sent = f"{stub.headers[-1]['authorization']} {stub.headers[-1]['x-token']}"
        return status, "", completion({"content": sent}) if status == 200 else {"error": {"message": sent}}

    with Stub(respond=echo) as stub:
        judge = chat(stub, "extra_headers.X-Token=env:ROUTER_TOKEN", attempts=1)
        try:
            said = str(judge.judge(PAIRS[:1]))
        except BenchError as error:
            said = str(error)
        assert stub.headers[0]["authorization"] == f"Bearer {KEY}"
        assert stub.headers[0]["x-token"] == "router-secret-987"
    written = said.encode() + json.dumps(judge.manifest()).encode()
    written += b"".join(path.read_bytes() for path in cache.parent.iterdir())
    assert b"[key] [key]" in written
    assert b"very-secret" not in written
    assert b"router-secret" not in written
    assert judge.manifest()["extra_headers"] == {"X-Token": "env:ROUTER_TOKEN"}


@pytest.mark.parametrize(
    "option",
    [f"extra_headers.Authorization=Bearer {KEY}", f"extra_headers.api-key={KEY}", f"extra_headers.X-Auth-Token={KEY}",
     f"extra_query.key={KEY}", f"extra_query.code={KEY}", f"extra.api_key={KEY}", f"extra.provider.secret={KEY}",
     f"extra_headers.X-Any={KEY}", f"extra.any={KEY}"],
)  # fmt: skip
def test_a_key_among_the_options_is_refused_without_showing_it_and_the_advice_works(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BenchError, match="is a key, which would be stored") as raised:
        Chat(f"m,base_url=http://h/v1,{option}")
    assert KEY not in str(raised.value)
    name = option.partition("=")[0]
    if not name.startswith("extra."):
        assert f"give {name}=env:VARIABLE" in str(raised.value)
        monkeypatch.setenv("VARIABLE", KEY)
        with Stub(respond=lambda body, stub: (200, "", OK)) as stub:
            assert chat(stub, f"{name}=env:VARIABLE").judge(PAIRS[:1])[0].preference == 1.0
            assert KEY in stub.paths[0] + str(stub.headers[0])


@pytest.mark.parametrize(
    "key", ["'sk-1'", '"sk-1"', "sk-1\nsk-2", "sk 1", "sk-\u00e9", "sk-\x7f", "\u201csk-1\u201d"]
)
def test_what_cannot_be_a_key_is_one_line_that_names_the_variable_and_not_the_key(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with Stub(respond=lambda body, stub: (200, "", OK)) as stub:
        with pytest.raises(BenchError, match=r"^\$OPENAI_API_KEY: ") as raised:
            chat(stub).judge(PAIRS)
        assert stub.log == []
        assert "sk" not in str(raised.value)
        monkeypatch.setenv("OPENAI_API_KEY", " sk-1\n")  # a line break at the end is taken off
        chat(stub).judge(PAIRS[:1])
        assert stub.headers[0]["authorization"] == "Bearer sk-1"


def test_a_variable_that_is_not_set_is_one_line() -> None:
    with pytest.raises(BenchError, match=r"\$NOWHERE is not set; set it"):
        chat("http://127.0.0.1:1", "extra_headers.X-Any=env:NOWHERE").judge(PAIRS)


# --- Sizes ------------------------------------------------------------------------------------------------


def bomb(encoding: str) -> tuple[str, bytes]:
    """(header, body) of a reply that is larger than the limit when unpacked."""
    whole = json.dumps(completion({"content": "A" * (MAX_REPLY_BYTES + 1)})).encode()
    packed = {"": whole, "gzip": gzip.compress(whole), "deflate": zlib.compress(whole)}[encoding]
    return (f"Content-Encoding: {encoding}\r\n" if encoding else ""), packed


@pytest.mark.parametrize("status", [200, 400, 307])
@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_a_reply_has_a_size_limit_after_decompression_whatever_its_status(status: int, encoding: str) -> None:
    head, data = bomb(encoding)
    with Stub(respond=lambda body, stub: (status, head, data)) as stub:
        [verdict] = chat(stub).judge(PAIRS[:1])
        assert verdict.reason == "failed: the reply is larger than 16 MiB"
        assert len(stub.log) == 1  # what is too large once is too large again


def test_a_reply_that_cannot_be_unpacked_is_tried_again() -> None:
    broken = [("Content-Encoding: gzip\r\n", b"\x1f\x8bnot gzip"), ("", json.dumps(OK).encode())]
    with Stub(respond=lambda body, stub: (200, *broken[len(stub.log) > 0])) as stub:
        assert chat(stub).judge(PAIRS[:1])[0].preference == 1.0
        assert len(stub.log) == 2


def test_a_reply_below_the_limit_is_read_compressed_or_not() -> None:
    data = gzip.compress(
        json.dumps(completion({"content": "A", "x": "y" * (MAX_REPLY_BYTES - 2**12)})).encode()
    )
    with Stub(respond=lambda body, stub: (200, "Content-Encoding: gzip\r\n", data)) as stub:
        assert chat(stub).judge(PAIRS[:1])[0].preference == 1.0


# --- Proxies and places -----------------------------------------------------------------------------------


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "http_proxy"])
@pytest.mark.parametrize(
    "proxy", ["socks://me:pw@127.0.0.1:9", "socks4://127.0.0.1:9", "ftp://127.0.0.1:9", "http://[::1:9"]
)
def test_a_proxy_that_cannot_be_used_is_one_line_that_names_its_variable(
    name: str, proxy: str, no_proxy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stub(respond=lambda body, stub: (200, "", OK)) as stub:
        monkeypatch.setenv(name, proxy)
        with pytest.raises(BenchError, match=rf"^proxy \${name} .*unset the variable") as raised:
            chat(stub).judge(PAIRS)
        assert "pw" not in str(raised.value)
        monkeypatch.delenv(name)  # the advice
        assert chat(stub).judge(PAIRS[:1])[0].preference == 1.0


def test_a_proxy_that_is_not_there_is_named(no_proxy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "127.0.0.1:9")
    with pytest.raises(BenchError, match=r'through the proxy of \$ALL_PROXY \("http://127.0.0.1:9"\)'):
        chat("http://127.0.0.1:1/v1", attempts=1).judge(PAIRS)


@pytest.mark.parametrize("given", ["", "~/cache", "~nobody-of-this-name/x"])
def test_without_a_home_the_cache_is_one_line_that_says_where_to_put_it(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unknown(*_: object) -> None:
        raise KeyError("no entry in passwd")

    for name in ("HOME", "XDG_CACHE_HOME", "RLP_BENCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(BenchError, match=r"set \$RLP_BENCH_CACHE to a folder"):
        Connection(base_url="http://h/v1", cache=given).cache_path()
    monkeypatch.setenv("RLP_BENCH_CACHE", str(tmp_path))  # the advice
    assert Connection(base_url="http://h/v1").cache_path().parent == tmp_path


@pytest.mark.parametrize(
    "address", ["http://h:x/v1", "http://[::1/v1", "http://h\n/v1", "http://h /v1", "http://h:99999/v1"]
)
def test_an_address_that_is_none_is_one_line(address: str) -> None:
    with pytest.raises(BenchError, match="expected an address") as raised:
        Connection(base_url=address)
    assert str(raised.value).isprintable()
