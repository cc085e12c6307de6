"""What hooks may use of the gateway, as it is done. No Django here: the store of logs is whoever starts the gateway's."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from providers.posting import Poster
from routing.client import Message
from routing.endpoint import Endpoint
from routing.gateway import Gateway
from routing.hooks import Means, Misuse, current
from routing.paths import ANTHROPIC, OPENAI
from tenants import keys
from tenants.keys import Key

MOST_BYTES, TOO_LARGE = 8 * 1024 * 1024, 502
KEY_NAME = "hooks"
#: What can be asked: whatever takes JSON that names its model, and gives JSON.
ENDPOINTS: dict[str, Endpoint] = {
    endpoint.name: endpoint
    for resource in (*OPENAI.values(), *ANTHROPIC.values())
    for method, (_, endpoint) in resource.methods.items()
    if method == "POST" and endpoint.body == "json"
}


class AskFailed(Exception):
    """The endpoint answered with an error. Its words were for a client, and stay behind."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Asking:
    """Asks ``gateway`` in its own process. What is asked passes no hook, obeys no key's limits, and has a usage row of its
    own under the tenant of the request whose hook it is."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._plain = keys.issue()
        self._pepper = secrets.token_bytes(32)

    async def ask(self, endpoint: str, doc: dict[str, Any]) -> Any:
        """The reply's document. Raises AskFailed, Misuse."""
        call, found = current.get(), ENDPOINTS.get(endpoint)
        if found is None or doc.get("stream"):
            raise Misuse(f"{endpoint} cannot be asked, or not for a stream")
        if call is None:
            raise Misuse("nobody's tenant is known yet, under which to ask")
        reply = _Reply()
        scope = self._scope(found, f"{call.request_id}-hook")
        # A task of its own: limits of time are kept by cancelling the task that a request runs in.
        await asyncio.create_task(self._inner(call.tenant.id).serve(found, scope, _sent(orjson.dumps(doc)), reply.take))
        if reply.status >= 300:
            raise AskFailed(reply.status)
        return orjson.loads(b"".join(reply.parts))

    def _inner(self, tenant_id: int) -> Gateway:
        """The gateway as this request sees it: the same in all but the hooks and the keys."""
        key = Key(0, KEY_NAME, tenant_id)
        digest = keys.digest(self._plain, self._pepper)
        table = replace(self.gateway.table, hooks=None, keys={digest: key}, peppers=(self._pepper,), anonymous=None)
        return self.gateway.seen_by(table)

    def _scope(self, endpoint: Endpoint, request_id: str) -> dict[str, Any]:
        return {
            "type": "http",
            "method": "POST",
            "path": f"/{endpoint.path}",
            "query_string": b"",
            "headers": [
                (b"authorization", f"Bearer {self._plain}".encode()),
                (b"content-type", b"application/json"),
                (b"x-request-id", request_id.encode()),
            ],
        }


class _Reply:
    """What would go to a client."""

    def __init__(self) -> None:
        self.status = 500
        self.parts: list[bytes] = []
        self._size = 0

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        body = message.get("body", b"")
        self._size += len(body)
        if self._size > MOST_BYTES:
            self.status = TOO_LARGE
            raise OSError("the reply is too large")
        self.parts.append(body)


def _sent(body: bytes) -> Callable[[], Any]:
    left = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        return left.pop() if left else await asyncio.get_running_loop().create_future()

    return receive


def means_of(gateway: Gateway, poster: Poster, keep: Callable[[Any], None] | None = None) -> Means:
    """All means; records are kept by ``keep``."""
    asking = Asking(gateway)
    means = Means(ask=asking.ask, post=poster.post)
    return means if keep is None else replace(means, keep=keep)
