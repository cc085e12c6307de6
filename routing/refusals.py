"""What an upstream's refusal means: for the next attempt, for other targets, and for the client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from providers import rotation
from providers.upstream import Reply
from routing.call import Call
from routing.errors import GatewayError, kind_of_status
from routing.headers import UPSTREAM_REQUEST_IDS

if TYPE_CHECKING:
    from routing.held import Held

#: Statuses for which another credential may do better.
ABOUT_CREDENTIALS: Final = frozenset({401, 402, 403, 429})
#: The provider's trouble or the operator's, not the client's: another attempt or target may do better.
MOVES: Final = ABOUT_CREDENTIALS | {408}
MAX_ERROR_BODY: Final = 1024 * 1024
MAX_ASKED: Final = 60
NO_RETRY: Final = {"x-should-retry": "false"}
REFUSED: Final = "The provider refused the gateway's account."


class Inexpressible(Exception):
    """The target's API has no way to say what the client's ``field`` says; ``said`` tells more of why."""

    def __init__(self, field: str, dialect: str, said: GatewayError | None = None) -> None:
        super().__init__(field)
        self.field = field
        self.dialect = dialect
        self.said = said


def inexpressible(call: Call, loss: Inexpressible) -> GatewayError:
    return loss.said or GatewayError(
        "invalid_request",
        f"The field {loss.field} cannot be expressed in the {loss.dialect.replace('_', ' ')} API of the provider {call.entry.provider}.",
        param=loss.field,
        code="unsupported_by_upstream",
    )


def moves(status: int) -> bool:
    """Whether another attempt or another target may do better than one that was answered so."""
    return status in MOVES or status >= 500


def error_of(reply: Reply) -> GatewayError:
    """A reply whose words do not reach the client: of the operator's account and the provider it learns the kind only."""
    status = reply.status
    if status in (401, 402, 403):
        return GatewayError("server_error", REFUSED, headers=NO_RETRY)
    if status in (503, 529):
        return GatewayError("overloaded", "The provider is overloaded.", retry_after=asked_wait(reply) or 5)
    if status == 429:
        return GatewayError("rate_limit", "The provider's rate limit is reached.", retry_after=asked_wait(reply) or 1)
    if status == 408:
        return GatewayError("timeout", "The provider took too long to take the request in.")
    if status >= 500:
        return GatewayError("server_error", "The provider failed to answer.")
    return GatewayError("server_error", "The provider answered with a redirect, which is never followed.")


async def judge(call: Call, reply: Reply, held: Held) -> None:
    """A status that is no success, and the last word: a 4xx is the client's and passes unchanged, everything else is said
    in our words. Raises GatewayError."""
    status = reply.status
    if status in (401, 402, 403) or status >= 500 or status < 400:
        raise error_of(reply)
    await held.read_error(MAX_ERROR_BODY)
    if held.ours:
        return
    call.entry.status, call.entry.error_kind = status, kind_of_status(status)
    held.extra_headers.append((b"x-gateway-error", call.entry.error_kind.encode()))
    if status == 429:
        held.extra_headers.append((b"retry-after", str(max(1, round(asked_wait(reply)))).encode()))
    elif status not in (408, 409):
        held.extra_headers.append((b"x-should-retry", b"false"))


def retry_after(status: int, headers: Mapping[bytes, bytes], now: float) -> float:
    """Seconds that an upstream asks to wait before the next attempt. Limits are told with every reply: they mean
    something only where one is reached."""
    if status == 429:
        return rotation.retry_after(headers, now)
    return rotation.seconds_until(headers.get(b"retry-after", b"").decode("latin-1"), now) or 0.0


def asked_wait(reply: Reply) -> float:
    """What the client is told of that: at most a minute, 0 if the upstream does not say."""
    return min(retry_after(reply.status, reply.headers, time.time()), MAX_ASKED)


def upstream_request_id(reply: Reply) -> str:
    for name in UPSTREAM_REQUEST_IDS:
        if name in reply.headers:
            return reply.header(name)[:255]
    return ""
