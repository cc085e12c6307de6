"""Where a request cannot or must not go, and what an upstream's refusal means for it."""

from __future__ import annotations

import random
import re

from providers.upstream import Reply
from routing.apis import api_of
from routing.call import Call
from routing.errors import GatewayError, kind_of_status
from routing.headers import UPSTREAM_REQUEST_IDS
from routing.incoming import refuse_choosing
from routing.relay import Held
from routing.table import Resolved, Target, in_order

#: The provider's trouble or the operator's, not the client's: another target may do better.
TRY_NEXT = frozenset({401, 402, 403, 408, 429})
SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")
MAX_ERROR_BODY = 1024 * 1024
NO_RETRY = {"x-should-retry": "false"}
REFUSED = "The provider refused the gateway's account."


class TryNext(Exception):
    """This target refused in a way that another one may not."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Inexpressible(Exception):
    """The target's API has no way to say what the client's ``field`` says; ``said`` tells more of why."""

    def __init__(self, field: str, dialect: str, said: GatewayError | None = None) -> None:
        super().__init__(field)
        self.field = field
        self.dialect = dialect
        self.said = said


def targets(call: Call, resolved: Resolved, rng: random.Random) -> list[Target]:
    """The route's targets that this key may use for this endpoint, in the order to try. Raises GatewayError."""
    route, key = resolved.route, call.key
    allowed = [t for t in route.targets if t.upstream.name in key.allowed_providers]
    if route.targets and not allowed:
        raise GatewayError("permission", "This API key may not use any provider of this model.", param="model")
    if chosen := call.header(b"x-provider"):
        if not key.may_choose_provider:
            raise GatewayError(
                "permission", "This API key may not choose the provider with x-provider.", param="x-provider"
            )
        allowed = [t for t in allowed if t.upstream.name == chosen]
        if not allowed:
            raise GatewayError(
                "invalid_request",
                f"The model has no provider {chosen[:63]!r} that this API key may use.",
                param="x-provider",
            )
    if call.provider_id:
        allowed = [t for t in allowed if t.upstream.id == call.provider_id]
    if not allowed:
        raise GatewayError("overloaded", "No provider of this model can be used now.", retry_after=30)
    serving = [t for t in allowed if api_of(call, t)]
    if not serving:
        names = ", ".join(sorted({api for t in allowed for api in t.upstream.apis}))
        raise GatewayError(
            "invalid_request",
            f"The model {call.entry.model[:200]!r} is not served through the {call.endpoint.api} API; its providers have: {names}.",
            param="model",
            code="unsupported_api",
        )
    for target in serving:
        refuse_choosing(call, target.upstream.choosing_fields - route.allowed_fields)
    if (
        "model" in call.doc
        and call.endpoint.dialect == "gemini"
        and "model" not in route.allowed_fields
        and call.endpoint.api == "generate"
        and call.endpoint.name == "generate"
    ):
        raise GatewayError(
            "invalid_request", "The field model in the body would choose another model than the path's.", param="model"
        )
    return in_order(serving, rng)


async def judge(call: Call, reply: Reply, held: Held, last: bool) -> None:
    """An upstream status that is no success: try the next target, pass it on, or say it in our words.

    A 4xx is the client's and passes unchanged. 401, 402, 403 are about the operator's account and 5xx about the
    provider: of those the client learns the kind only.
    """
    status = reply.status
    if (status in TRY_NEXT or status >= 500) and not last:
        raise TryNext(status)
    if status in (401, 402, 403):
        raise GatewayError("server_error", REFUSED, headers=NO_RETRY)
    if status in (503, 529):
        raise GatewayError("overloaded", "The provider is overloaded.", retry_after=_retry_after(reply) or 5)
    if status >= 500:
        raise GatewayError("server_error", "The provider failed to answer.")
    if status < 400:
        raise GatewayError("server_error", "The provider answered with a redirect, which is never followed.")
    await held.read_error(MAX_ERROR_BODY)
    if held.ours:
        if not last:
            raise TryNext(status)
        raise GatewayError("server_error", REFUSED, headers=NO_RETRY)
    call.entry.status, call.entry.error_kind = status, kind_of_status(status)
    held.extra_headers.append((b"x-gateway-error", call.entry.error_kind.encode()))
    if status == 429:
        held.extra_headers.append((b"retry-after", str(max(1, round(_retry_after(reply)))).encode()))
    elif status not in (408, 409):
        held.extra_headers.append((b"x-should-retry", b"false"))


def _retry_after(reply: Reply) -> float:
    """Seconds that the upstream asks to wait, at most 60; 0 if it does not say, or says it as a date."""
    text = reply.header(b"retry-after").strip()
    return min(float(text), 60) if SECONDS.fullmatch(text) else 0


def upstream_request_id(reply: Reply) -> str:
    for name in UPSTREAM_REQUEST_IDS:
        if name in reply.headers:
            return reply.header(name)[:255]
    return ""
