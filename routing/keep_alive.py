"""What fills the silence of a stream, so that no proxy between takes the connection for a dead one."""

from __future__ import annotations

from typing import Final

from routing.apis import GENERATE
from routing.call import Call
from routing.client import Client

COMMENT: Final = b": keep-alive\n\n"
#: Anthropic's SDKs know pings and ignore comments all the same; some other clients of theirs do not.
PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'


def stay_alive(call: Call, client: Client) -> None:
    """Fill silences where the route says so and the client reads an event stream."""
    seconds = call.resolved.route.keep_alive if call.resolved is not None else 0
    if not seconds or not call.stream or call.kept is not None:
        return
    endpoint = call.endpoint
    if endpoint.name not in GENERATE and endpoint.name != "completions":
        return
    if endpoint.api == "generate" and b"alt=sse" not in call.query and not call.streamed_by_body:
        return  # an array of JSON
    client.stay(seconds, PING if endpoint.dialect == "anthropic" else COMMENT)
