"""AWS signatures: the same that botocore's own client makes, over the very bytes that go out."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from functools import cache
from typing import Any

import botocore.auth
import botocore.session
import httpx
import pytest
from botocore.awsrequest import AWSResponse

from providers.chat import Chat
from providers.dialects import bedrock
from providers.light import Header
from providers.signers.sigv4 import LARGE, Keys, Sigv4Signer, parse_secret, region_of
from providers.upstream import Connections, Upstream

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE=", "IQoJb3JpZ2lu//EXAMPLE=="
MODELS = (
    "amazon.nova-micro-v1:0",
    "us.anthropic.claude-sonnet-4-6",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
)
NOW = dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001


class _Body:
    def stream(self, **options: Any) -> Any:
        yield b'{"stopReason":"end_turn","usage":{},"metrics":{}}'


@pytest.fixture(autouse=True)
def _fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: NOW)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@cache
def _client(token: str | None) -> Any:
    return botocore.session.Session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        aws_session_token=token,
    )


def by_botocore(model: str, token: str | None, text: str = "hi") -> Any:
    """The request as botocore's client would send it."""
    sent: list[Any] = []

    def answer(request: Any, **options: Any) -> Any:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, _Body())

    events = _client(token).meta.events
    events.register("before-send.bedrock-runtime", answer)
    _client(token).converse(modelId=model, messages=[{"role": "user", "content": [{"text": text}]}])
    events.unregister("before-send.bedrock-runtime", answer)
    return sent[0]


def signed(url: str, body: bytes, secret: str, extra: list[Header] | None = None) -> dict[bytes, bytes]:
    host = httpx.URL(url).netloc
    headers = [(b"host", host), (b"content-type", b"application/json"), *(extra or [])]
    signer = Sigv4Signer(secret, "us-east-1")
    return dict(asyncio.run(signer.sign("POST", url, headers, body)))


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("model", MODELS)
def test_signs_as_botocores_client_does(model: str, token: str | None) -> None:
    theirs = by_botocore(model, token)
    path = bedrock.url(Chat("openai_chat", model, []))
    assert theirs.url == f"https://bedrock-runtime.us-east-1.amazonaws.com{path}"
    ours = signed(theirs.url, theirs.body, f"{KEY}:{SECRET}" + (f":{token}" if token else ""))
    assert ours[b"authorization"] == theirs.headers["Authorization"]
    assert ours[b"x-amz-date"] == b"20260102T030405Z"
    assert ours.get(b"x-amz-security-token") == (token.encode() if token else None)
    assert set(ours) <= {b"authorization", b"x-amz-date", b"x-amz-security-token"}


def test_large_bodies_alike() -> None:
    theirs = by_botocore(MODELS[0], None, "x" * LARGE)
    assert signed(theirs.url, theirs.body, f"{KEY}:{SECRET}")[b"authorization"] == theirs.headers["Authorization"]


def test_every_part_counts_and_headers_that_others_change_do_not() -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m%3A0/converse"
    known = signed(url, b"{}", f"{KEY}:{SECRET}")
    changed = [(b"traceparent", b"00-1"), (b"user-agent", b"x"), (b"accept", b"*/*"), (b"x-request-id", b"1")]
    assert signed(url, b"{}", f"{KEY}:{SECRET}", changed) == known
    others = [
        signed(url, b"{ }", f"{KEY}:{SECRET}"),
        signed(url.replace("%3A", "%2F"), b"{}", f"{KEY}:{SECRET}"),
        signed(url, b"{}", f"{KEY}:{SECRET}x"),
        signed(url, b"{}", f"{KEY}:{SECRET}", [(b"x-amzn-bedrock-trace", b"ENABLED")]),
    ]
    assert len({each[b"authorization"] for each in (known, *others)}) == 5


@pytest.mark.parametrize("model", MODELS)
def test_what_is_signed_is_what_goes_out(model: str) -> None:
    """The path on the wire is the one that botocore signs, byte for byte."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    async def call() -> None:
        upstream = Upstream(1, "aws", "bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com", frozenset())
        connections = Connections(transports={"*": httpx.MockTransport(answer)})
        reply = await connections.open(
            upstream, "POST", bedrock.url(Chat("gemini", model, [], stream=True)), content=b"{}"
        )
        await reply.close()
        await connections.close()

    asyncio.run(call())
    theirs = httpx.URL(by_botocore(model, None).url).raw_path
    assert seen[0].url.raw_path == theirs + b"-stream"
    assert str(seen[0].url).endswith(theirs.decode() + "-stream")


def test_secrets() -> None:
    assert parse_secret(f" {KEY}:{SECRET}\n") == Keys(KEY, SECRET)
    assert parse_secret(f"{KEY}:{SECRET}:{TOKEN}") == Keys(KEY, SECRET, TOKEN)
    assert parse_secret(f"{KEY}:{SECRET}:") == Keys(KEY, SECRET)
    doc = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
    assert parse_secret(json.dumps(doc)) == Keys(KEY, SECRET)
    assert parse_secret(json.dumps(doc | {"aws_session_token": TOKEN})) == Keys(KEY, SECRET, TOKEN)
    assert SECRET not in repr(Keys(KEY, SECRET, TOKEN)) and TOKEN not in repr(Keys(KEY, SECRET, TOKEN))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ACCESS_KEY_ID:SECRET_ACCESS_KEY"),
        ("bedrock-api-key-s3cr3t", "ACCESS_KEY_ID:SECRET_ACCESS_KEY"),
        ("a:s3cr3t:c:d", "ACCESS_KEY_ID:SECRET_ACCESS_KEY"),
        (":s3cr3t", "aws_access_key_id is missing"),
        ("AKID:", "aws_secret_access_key is missing"),
        ('{"aws_access_key_id": "AKID"}', "aws_secret_access_key is missing"),
        ('{"aws_access_key_id": 1, "aws_secret_access_key": "s3cr3t"}', "aws_access_key_id must be a string"),
        ('{"aws_access_key_id": "s3cr3t"', "not valid JSON"),
        ("AKID:s3cr3t\r\nx-forged", "aws_secret_access_key has a character"),
        ("AKÍD:s3cr3t", "aws_access_key_id has a character"),
    ],
)
def test_wrong_secrets_say_what_is_wrong_and_nothing_of_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as wrong:
        parse_secret(text)
    chain: BaseException | None = wrong.value
    while chain is not None:
        assert "s3cr3t" not in str(chain) and "s3cr3t" not in repr(vars(chain))
        chain = chain.__cause__ or chain.__context__
    with pytest.raises(ValueError, match=says):
        Sigv4Signer(text, "us-east-1")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime.eu-central-1.amazonaws.com:443", "eu-central-1"),
        ("Bedrock-Runtime.AP-Southeast-2.amazonaws.com.", "ap-southeast-2"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("vpce-0a1b2c3d-4e5f.bedrock-runtime.us-west-2.vpce.amazonaws.com", "us-west-2"),
        ("vpce-0a1b2c3d-4e5f-us-west-2a.bedrock-runtime.us-west-2.vpce.amazonaws.com", "us-west-2"),
        ("bedrock-runtime.us-east-2.api.aws", "us-east-2"),
        ("bedrock-runtime.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
    ],
)
def test_regions_of_hosts(host: str, region: str) -> None:
    assert region_of(host) == region
    assert region_of(host, "sa-east-1") == region


@pytest.mark.parametrize("host", ["localhost:8787", "proxy.example.com", "x.us-east-1.amazonaws.com.evil.example", ""])
def test_regions_of_other_hosts_are_told(host: str) -> None:
    assert region_of(host, " sa-east-1 ") == "sa-east-1"
    with pytest.raises(ValueError, match="region"):
        region_of(host)


def test_speed() -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-micro-v1%3A0/converse"
    headers = [(b"host", b"bedrock-runtime.us-east-1.amazonaws.com"), (b"content-type", b"application/json")]
    signer, body = Sigv4Signer(f"{KEY}:{SECRET}", "us-east-1"), b"x" * 4096

    async def many(count: int) -> None:
        for _ in range(count):
            await signer.sign("POST", url, headers, body)

    began = time.perf_counter()
    asyncio.run(many(500))
    print(f"\n{(time.perf_counter() - began) * 2000:.0f} µs a signature")
