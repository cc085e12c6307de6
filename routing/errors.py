"""Every error that a client can see, written in the client's dialect. The only module that knows them all.

GatewayError             raised anywhere on the way, once; views write it
providers.errors         mapped by ``of_upstream``
routing.body             mapped by ``GatewayError`` subclasses there
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from providers.dialects.failures import CODES as CODES
from providers.dialects.failures import KINDS as KINDS
from providers.errors import UpstreamError
from providers.events import Failed

#: Errors of the gateway's own account at the provider: not the client's.
OURS = frozenset({"auth", "permission", "budget"})
#: Statuses whose repeat can succeed; all others carry ``x-should-retry: false``.
RETRIABLE = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
MAX_RETRY_AFTER = 60


class GatewayError(Exception):
    """What went wrong, in words that a client may read. ``param`` is the path of the field at fault; ``limit`` names the
    limit or budget that refused."""

    limit = ""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        status: int = 0,
        param: str | None = None,
        code: str | None = None,
        retry_after: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status or KINDS[kind][0]
        self.param = param
        self.code = code or CODES.get(kind)
        self.retry_after = min(retry_after, MAX_RETRY_AFTER)
        self.headers = dict(headers or {})


class UpstreamSaid(UpstreamError):
    """An error that the upstream told in its reply instead of a status."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed
        self.kind = "server_error" if failed.kind in OURS else failed.kind
        self.status = KINDS[self.kind][0]


def of_upstream(error: UpstreamError) -> GatewayError:
    if isinstance(error, UpstreamSaid):
        if error.failed.kind in OURS:
            return GatewayError("server_error", "The provider refused the gateway's account.")
        failed = error.failed
        wait = 5 if error.kind in ("rate_limit", "overloaded") else 0
        return GatewayError(
            error.kind, failed.message, param=failed.param or None, code=failed.code or None, retry_after=wait
        )
    return GatewayError(error.kind, f"Upstream: {error}.", status=error.status)


def kind_of_status(status: int) -> str:
    """The kind under which an upstream's error status is counted."""
    if status in (401, 402, 403):
        return "server_error"
    if status in (503, 529):
        return "overloaded"
    if status in (408, 504):
        return "timeout"
    if status == 429:
        return "rate_limit"
    if status == 404:
        return "not_found"
    return "invalid_request" if status < 500 else "server_error"


def _openai(error: GatewayError, request_id: str) -> dict[str, Any]:
    body = {"message": error.message, "type": KINDS[error.kind][1], "param": error.param, "code": error.code}
    return {"error": {**body, "request_id": request_id}}


def _anthropic(error: GatewayError, request_id: str) -> dict[str, Any]:
    kind = "request_too_large" if error.status == 413 else KINDS[error.kind][2]
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}


def _gemini(error: GatewayError, request_id: str) -> dict[str, Any]:
    return {
        "error": {
            "code": error.status,
            "message": error.message,
            "status": KINDS[error.kind][3],
            "request_id": request_id,
        }
    }


DIALECTS = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini}


def write_error(dialect: str, error: GatewayError, request_id: str) -> bytes:
    """The body of an error reply."""
    return orjson.dumps(DIALECTS[dialect](error, request_id))


def error_headers(error: GatewayError) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-gateway-error", error.kind.encode())]
    if error.retry_after > 0:
        headers.append((b"retry-after", str(max(1, round(error.retry_after))).encode()))
    if (error.status not in RETRIABLE or error.kind == "budget") and "x-should-retry" not in error.headers:
        headers.append((b"x-should-retry", b"false"))
    headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    return headers


def write_event(dialect: str, api: str, error: GatewayError, request_id: str, sequence: int = 0) -> bytes:
    """The event with which a stream says that it failed, after its first byte.

    The Responses API has a flat ``error`` event with a sequence number; Anthropic names the event; the others
    put the body of an error reply into a data line.
    """
    if api == "responses":
        body = {
            "type": "error",
            "sequence_number": sequence,
            "code": error.code or error.kind,
            "message": error.message,
            "param": error.param,
        }
        return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
    name = b"event: error\n" if dialect == "anthropic" else b""
    return name + b"data: " + write_error(dialect, error, request_id) + b"\n\n"
