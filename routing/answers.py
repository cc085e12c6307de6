"""What the client gets: the reply that an upstream gave, or a hook's own, after the hooks that want to see it."""

from __future__ import annotations

from routing import hooks
from routing.call import Call
from routing.client import Client
from routing.errors import KINDS, GatewayError
from routing.held import Held


async def pass_on(call: Call, client: Client, held: Held) -> None:
    """Send a reply that can be relayed. Raises GatewayError where a hook refuses a whole one."""
    status = held.told_status()
    if client.beaten and (status >= 300 or held.whole() is not None):
        # A stream has been promised, and a comment of it sent.
        kind = call.entry.error_kind or "server_error"
        raise GatewayError(kind, "The provider did not answer with a stream.", status=max(status, 400))
    hooked = call.hooked
    if hooked is None:
        await held.send(client)
        return
    if status >= 400:
        await _refused(call, status)
    whole = held.whole() is not None
    if whole:
        call.count(held.tap)
        await hooked.finish(held)
    await held.send(client)
    if not whole:
        call.count(held.tap)
        await hooked.finish(held)


async def _refused(call: Call, status: int) -> None:
    """An error of the upstream's that passes in its own words, unless a hook has others. Raises GatewayError."""
    assert call.hooked is not None
    kind = call.entry.error_kind if call.entry.error_kind in KINDS else "server_error"
    error = GatewayError(kind, "The provider refused the request.", status=status)
    if (other := await call.hooked.fail(error)) is not error:
        raise other


async def send(call: Call, client: Client, answer: hooks.Answer) -> None:
    """Send what a hook has answered in place of any provider."""
    assert call.hooked is not None
    content_type, body = hooks.written(call, answer)
    body = await call.hooked.answered(body, call.stream)
    await client.reply(200, [(b"content-type", content_type), (b"cache-control", b"no-cache")], body)
