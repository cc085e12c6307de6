"""Bearer tokens of a Google service account or user, fetched when first needed and renewed before they end."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx
from google.auth import transport
from google.auth.credentials import Credentials, TokenState
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import credentials as users
from google.oauth2 import service_account

from providers.errors import ConnectFailed, ReplyBroken, TimedOut, UpstreamError
from providers.light import Header

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
TIMEOUT = 15.0
LONGEST = 7 * 86400  # seconds that a token may say to live
#: Sends one POST and gives status and body. Raises httpx's errors.
Post = Callable[[str, bytes, Mapping[str, str]], tuple[int, bytes]]


class CredentialRefused(UpstreamError):
    """The token server knows the credential no more, or never did."""

    kind = "server_error"


class GoogleSigner:
    """``secret`` is the JSON text of a service account's key or of a user's credentials (``authorized_user``). Raises
    ValueError where it is neither, or where its ``token_uri`` is not Google's.

    While a token still lives its successor is fetched beside the calls; only without one do they wait. However many
    they are, one fetch is under way, and its failure is that of those who wait for it and of nobody later.
    """

    def __init__(self, secret: str, post: Post | None = None) -> None:
        self._credentials = _credentials(secret)
        self._request = _Request(post or _post)
        self._fetching: asyncio.Task[None] | None = None

    async def sign(self, method: str, url: str, headers: list[Header], body: bytes) -> list[Header]:
        state = self._credentials.token_state
        if state is not TokenState.FRESH:
            task = self._fetch()
            if state is TokenState.INVALID:
                await asyncio.shield(task)  # a client that leaves must not end it for the others
        return [(b"authorization", f"Bearer {self._credentials.token}".encode("latin-1"))]

    def _fetch(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.get_running_loop().create_task(self._renew())
            self._fetching.add_done_callback(_seen)
        return self._fetching

    async def _renew(self) -> None:
        """google-auth is not asynchronous: the signature and the request, once in an hour, are made in a thread."""
        try:
            await asyncio.to_thread(self._credentials.refresh, self._request)
        except GoogleAuthError:
            # Its text may hold what the server said.
            raise CredentialRefused("no token can be had with the provider's Google credential") from None


def _seen(task: asyncio.Task[None]) -> None:
    """Whoever waited was told; where nobody did the old token lives, and the next call tries again."""
    if not task.cancelled():
        task.exception()


# ---------------------------------------------------------------- credentials


def _credentials(secret: str) -> Credentials:
    try:
        info = json.loads(secret)
    except ValueError:
        raise ValueError("the Google credential is not JSON") from None
    kind = info.get("type") if isinstance(info, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"the Google credential's type must be one of {', '.join(KINDS)}")
    needed, make = KINDS[kind]
    if missing := [name for name in needed if not isinstance(info.get(name), str) or not info[name]]:
        raise ValueError(f"the Google credential has no {', '.join(missing)}")
    info.setdefault("token_uri", TOKEN_URI)
    _check_token_uri(info["token_uri"])
    return make(info)


def _service_account(info: dict[str, Any]) -> Credentials:
    plain = {
        name: info[name] for name in ("client_email", "private_key", "private_key_id", "token_uri") if name in info
    }
    try:
        found = service_account.Credentials.from_service_account_info(plain, scopes=SCOPES)  # type: ignore[no-untyped-call]
        found.sign_bytes(b"")
    except Exception:  # a key that is no RSA key fails in many ways, and says too much
        raise ValueError("the Google credential's private_key is not a PEM-encoded RSA key") from None
    return found  # type: ignore[no-any-return]


def _user(info: dict[str, Any]) -> Credentials:
    return users.Credentials(  # type: ignore[no-untyped-call]
        None,
        refresh_token=info["refresh_token"],
        token_uri=info["token_uri"],
        client_id=info["client_id"],
        client_secret=info["client_secret"],
    )


KINDS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], Credentials]]] = {
    "service_account": (("client_email", "private_key"), _service_account),
    "authorized_user": (("client_id", "client_secret", "refresh_token"), _user),
}


def _check_token_uri(uri: Any) -> None:
    """A pasted key must not make the gateway call anybody but Google; loopback is for tests."""
    try:
        parts = urlsplit(uri)
        host, user = parts.hostname or "", parts.username
        google = parts.scheme == "https" and f".{host}".endswith(".googleapis.com") and parts.port in (None, 443)
    except (AttributeError, TypeError, ValueError):
        host, user, google = "", None, False
    if user is not None or not (google or _is_loopback(host)):
        raise ValueError("the Google credential's token_uri must be an https address of googleapis.com")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


# ---------------------------------------------------------------- the token server


class _Reply(transport.Response):
    def __init__(self, status: int, data: bytes) -> None:
        self._status, self._data = status, data

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> dict[str, str]:
        return {}

    @property
    def data(self) -> bytes:
        return self._data


class _Request(transport.Request):
    """What google-auth asks with. It gets sound tokens only; every other end is an error of ours, so that it repeats
    nothing: the gateway has other targets."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> transport.Response:
        try:
            status, data = self._post(url, body or b"", headers or {})
        except httpx.TimeoutException:
            raise TimedOut("no answer from Google's token server in time") from None
        except (httpx.HTTPError, OSError):
            raise ConnectFailed("no connection to Google's token server") from None
        if 400 <= status < 500 and status not in (408, 429):
            raise CredentialRefused("Google's token server refuses the provider's credential")
        if status != 200 or not _is_token(data):
            raise ReplyBroken("Google's token server did not answer with a token")
        return _Reply(status, data)


def _is_token(data: bytes) -> bool:
    try:
        doc = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(doc, dict):
        return False
    token, lifetime = doc.get("access_token"), doc.get("expires_in")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        return False
    return type(lifetime) is int and 0 < lifetime <= LONGEST


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    with httpx.Client(verify=ssl.create_default_context(), timeout=TIMEOUT, follow_redirects=False) as client:
        response = client.post(url, content=body, headers=dict(headers))
        return response.status_code, response.content
