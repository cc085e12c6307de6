"""Tokens for Google's APIs: one fetch for many calls, renewed in time, and nothing of the key in any error."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from google.auth import _helpers

from providers.errors import ConnectFailed, ReplyBroken, TimedOut, UpstreamError
from providers.signers.google import CredentialRefused, GoogleSigner

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
Header = tuple[bytes, bytes]


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    plain = serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode())


def service_account(**members: Any) -> str:
    key = {
        "type": "service_account",
        "project_id": "p-1",
        "private_key_id": "kid-1",
        "private_key": pem(private_key()),
        "client_email": "gateway@p-1.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps({name: value for name, value in {**key, **members}.items() if value is not None})


def user(**members: Any) -> str:
    known = {"type": "authorized_user", "client_id": "id-1", "client_secret": "shh-1", "refresh_token": "refresh-1"}
    return json.dumps({**known, **members})


class Server:
    """Answers as a token server: ``answers`` in turn, the last for ever. ``gate`` holds it while it is clear."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or [(200, {"access_token": "t-{n}", "expires_in": 3600, "token_type": "Bearer"})]
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.gate = threading.Event()
        self.gate.set()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        self.asked.append((url, parse_qs(body.decode())))
        assert self.gate.wait(30)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, doc = answer
        data = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
        return status, data.replace(b"{n}", b"%d" % len(self.asked))


async def sign(signer: GoogleSigner) -> list[Header]:
    return await signer.sign("POST", "https://x.googleapis.com/", [(b"host", b"x.googleapis.com")], b"{}")


def bearer(number: int) -> list[Header]:
    return [(b"authorization", b"Bearer t-%d" % number)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def age(signer: GoogleSigner, left: timedelta) -> None:
    """Make the token end in ``left``."""
    signer._credentials.expiry = _helpers.utcnow() + left  # type: ignore[no-untyped-call]


# ---------------------------------------------------------------- fetching


def test_the_token_is_got_with_a_signed_assertion() -> None:
    server = Server()
    signer = GoogleSigner(service_account(), server.post)
    assert asyncio.run(sign(signer)) == bearer(1)
    (url, form) = server.asked[0]
    assert url == "https://oauth2.googleapis.com/token"
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = form["assertion"][0].split(".")
    private_key().public_key().verify(
        decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(decoded(head))["kid"] == "kid-1"
    told = json.loads(decoded(claims))
    assert (told["iss"], told["scope"]) == ("gateway@p-1.iam.gserviceaccount.com", SCOPE)
    assert told["exp"] - told["iat"] == 3600


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_users_token_is_got_with_the_refresh_token() -> None:
    server = Server()
    assert asyncio.run(sign(GoogleSigner(user(), server.post))) == bearer(1)
    form = {name: value[0] for name, value in server.asked[0][1].items()}
    assert form == {
        "grant_type": "refresh_token", "client_id": "id-1", "client_secret": "shh-1", "refresh_token": "refresh-1",
    }  # fmt: skip


def test_nothing_is_fetched_before_it_is_needed() -> None:
    server = Server()
    GoogleSigner(service_account(), server.post)
    assert server.asked == []


def test_many_calls_make_one_fetch() -> None:
    async def run() -> None:
        server = Server()
        server.gate.clear()
        signer = GoogleSigner(service_account(), server.post)
        calls = [asyncio.create_task(sign(signer)) for _ in range(100)]
        await until(lambda: bool(server.asked))
        server.gate.set()
        assert await asyncio.gather(*calls) == [bearer(1)] * 100
        assert await sign(signer) == bearer(1)
        assert len(server.asked) == 1

    asyncio.run(run())


def test_the_event_loop_goes_on_while_it_is_fetched() -> None:
    async def run() -> None:
        server = Server()
        server.gate.clear()
        call = asyncio.create_task(sign(GoogleSigner(service_account(), server.post)))
        await until(lambda: bool(server.asked))  # this very loop runs, and opens the gate
        server.gate.set()
        assert await call == bearer(1)

    asyncio.run(run())


def test_a_call_that_is_cancelled_leaves_the_fetch_to_the_others() -> None:
    async def run() -> None:
        server = Server()
        server.gate.clear()
        signer = GoogleSigner(service_account(), server.post)
        first, second = asyncio.create_task(sign(signer)), asyncio.create_task(sign(signer))
        await until(lambda: bool(server.asked))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        server.gate.set()
        assert await second == bearer(1)
        assert first.cancelled() and len(server.asked) == 1

    asyncio.run(run())


# ---------------------------------------------------------------- renewing


def test_a_token_that_has_ended_is_renewed_first() -> None:
    async def run() -> None:
        server = Server()
        signer = GoogleSigner(service_account(), server.post)
        assert await sign(signer) == bearer(1)
        age(signer, timedelta(seconds=-1))
        assert await asyncio.gather(*(sign(signer) for _ in range(10))) == [bearer(2)] * 10
        assert len(server.asked) == 2

    asyncio.run(run())


def test_a_token_that_ends_soon_is_renewed_beside_the_calls() -> None:
    async def run() -> None:
        server = Server()
        signer = GoogleSigner(service_account(), server.post)
        await sign(signer)
        age(signer, timedelta(seconds=100))
        server.gate.clear()
        assert await asyncio.gather(*(sign(signer) for _ in range(10))) == [bearer(1)] * 10  # none of them waits
        await until(lambda: len(server.asked) == 2)
        server.gate.set()
        assert signer._fetching is not None
        await signer._fetching
        assert await sign(signer) == bearer(2)
        assert len(server.asked) == 2

    asyncio.run(run())


def test_a_failed_renewal_is_tried_again_while_the_old_token_lives() -> None:
    async def run() -> None:
        token = {"access_token": "t-{n}", "expires_in": 3600}
        server = Server((200, token), (503, b"busy"), (200, token))
        signer = GoogleSigner(service_account(), server.post)
        await sign(signer)
        age(signer, timedelta(seconds=100))
        assert await sign(signer) == bearer(1)
        assert signer._fetching is not None
        await asyncio.wait([signer._fetching])
        assert await sign(signer) == bearer(1)
        await asyncio.wait([signer._fetching])
        assert await sign(signer) == bearer(3)

    asyncio.run(run())


# ---------------------------------------------------------------- failing

SECRET = "very-secret-words"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((400, {"error": "invalid_grant", "error_description": SECRET}), CredentialRefused),
        ((401, SECRET.encode()), CredentialRefused),
        ((302, b""), ReplyBroken),
        ((429, b"{}"), ReplyBroken),
        ((500, SECRET.encode()), ReplyBroken),
        ((200, SECRET.encode()), ReplyBroken),
        ((200, b"\xff"), ReplyBroken),
        ((200, [SECRET]), ReplyBroken),
        ((200, {"error": SECRET}), ReplyBroken),
        ((200, {"access_token": 5, "expires_in": 3600}), ReplyBroken),
        ((200, {"access_token": "", "expires_in": 3600}), ReplyBroken),
        ((200, {"access_token": "a\r\nb: c", "expires_in": 3600}), ReplyBroken),
        ((200, {"access_token": "t"}), ReplyBroken),
        ((200, {"access_token": "t", "expires_in": 0}), ReplyBroken),
        ((200, {"access_token": "t", "expires_in": 10**20}), ReplyBroken),
        (httpx.ReadTimeout(SECRET), TimedOut),
        (httpx.ConnectError(SECRET), ConnectFailed),
        (OSError(SECRET), ConnectFailed),
    ],
)
@pytest.mark.parametrize("make", [service_account, user])
def test_a_failure_is_an_upstreams_and_is_not_remembered(
    make: Callable[[], str], answer: Any, kind: type[UpstreamError]
) -> None:
    async def run() -> None:
        server = Server(answer, (200, {"access_token": "t-{n}", "expires_in": 3600}))
        signer = GoogleSigner(make(), server.post)
        with pytest.raises(UpstreamError) as caught:
            await sign(signer)
        error = caught.value
        assert type(error) is kind and error.status in (502, 504)
        assert len(server.asked) == 1  # the gateway tries other targets instead
        assert SECRET not in repr(error) and "refresh-1" not in repr(error) and "PRIVATE" not in repr(error)
        assert error.__cause__ is None
        assert await sign(signer) == bearer(2)

    asyncio.run(run())


def test_those_who_wait_for_one_fetch_fail_with_it() -> None:
    async def run() -> None:
        server = Server((400, {"error": "invalid_grant"}))
        signer = GoogleSigner(service_account(), server.post)
        found = await asyncio.gather(*(sign(signer) for _ in range(10)), return_exceptions=True)
        assert {type(each) for each in found} == {CredentialRefused} and len(server.asked) == 1

    asyncio.run(run())


# ---------------------------------------------------------------- what it takes


@pytest.mark.parametrize(
    "uri",
    [
        "http://oauth2.googleapis.com/token",
        "https://example.com/token",
        "https://googleapis.com.example.com/token",
        "https://evilgoogleapis.com/token",
        "https://oauth2.googleapis.com:8443/token",
        "https://user@oauth2.googleapis.com/token",
        "https://oauth2.googleapis.com@example.com/token",
        "http://169.254.169.254/computeMetadata/v1/token",
        "http://10.0.0.1/token",
        "http://localhost.example.com/",
        "file:///etc/passwd",
        "https://[::1",
        "",
        5,
        None,
        ["https://oauth2.googleapis.com/token"],
    ],
)
@pytest.mark.parametrize("make", [service_account, user])
def test_tokens_are_asked_of_google_only(make: Callable[..., str], uri: Any) -> None:
    text = make(token_uri="x").replace('"x"', json.dumps(uri))
    with pytest.raises(ValueError, match="token_uri"):
        GoogleSigner(text)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "not JSON"),
        ("AIza-a-plain-key", "not JSON"),
        ("[]", "type"),
        ("{}", "type"),
        (json.dumps({"type": "external_account"}), "type"),
        (json.dumps({"type": ["service_account"]}), "type"),
        (service_account(private_key=None), "private_key"),
        (service_account(client_email=7), "client_email"),
        (service_account(private_key=SECRET), "PEM"),
        (service_account(private_key=pem(ec.generate_private_key(ec.SECP256R1()))), "RSA"),
        (user(refresh_token=""), "refresh_token"),
    ],
)
def test_a_secret_that_is_no_credential_is_refused_in_words(secret: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        GoogleSigner(secret)
    assert SECRET not in str(caught.value) and "BEGIN" not in str(caught.value)


def test_a_key_without_an_address_asks_google() -> None:
    server = Server()
    asyncio.run(sign(GoogleSigner(service_account(token_uri=None), server.post)))
    assert server.asked[0][0] == "https://oauth2.googleapis.com/token"


# ---------------------------------------------------------------- over a socket


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        refused = b"refuse" in self.path.encode()
        doc = {"error": "invalid_grant"} if refused else {"access_token": "from-a-socket", "expires_in": 3600}
        data = json.dumps(doc if body.startswith((b"assertion=", b"grant_type=")) else {}).encode()
        self.send_response(400 if refused else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_over_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        for make in (service_account, user):
            assert asyncio.run(sign(GoogleSigner(make(token_uri=f"{address}/token")))) == [
                (b"authorization", b"Bearer from-a-socket")
            ]
        with pytest.raises(CredentialRefused):
            asyncio.run(sign(GoogleSigner(user(token_uri=f"{address}/refuse"))))
        server.shutdown()
    with pytest.raises(ConnectFailed):
        asyncio.run(sign(GoogleSigner(user(token_uri=f"{address}/token"))))
