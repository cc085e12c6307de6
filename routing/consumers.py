"""The WebSockets. Every turn of one passes the same funnel as a request of HTTP: key, models, ledger, metrics, log."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from providers.light import Header
from routing import admission, headers, messages, responses
from routing.body import ClientGone
from routing.call import Call
from routing.client import Client, Message, Receive
from routing.connection_responses import ConnectionResponses
from routing.endpoint import Endpoint
from routing.errors import GatewayError, write_error
from routing.gateway import Gateway
from routing.lanes import Lanes
from routing.messages import Asked, Doc
from routing.replies import TurnReply
from tenants.ledger import Entry
from tenants.uuid7 import uuid7

#: Headers of the handshake that are about it alone: to repeat them with every turn would be wrong.
OF_HANDSHAKE = frozenset(
    {b"connection", b"upgrade", b"content-type", b"content-length", b"content-encoding", b"transfer-encoding"}
    | {b"idempotency-key", b"x-request-id"}
)
BETA = b"responses_websockets"
LIFETIME: float = responses.SESSION_SECONDS
EXPIRED = GatewayError(
    "invalid_request",
    "This connection has reached its limit of 60 minutes. Open a new one to go on.",
    code="websocket_connection_limit_reached",
)
GOING_AWAY, REFUSED, TOO_BIG, BROKEN = 1001, 1008, 1009, 1011
TOO_LARGE = 413


class ResponsesConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """The WebSocket mode of the Responses API at ``endpoint``. ``scope["gateway"]`` is the data plane.

    A server that ends sends ``websocket.drain``: the turns under way end first, then the connection.
    """

    gateway: Gateway
    kept: ConnectionResponses
    lanes: Lanes
    leaving: asyncio.Task[None] | None = None
    over = False
    timer: asyncio.TimerHandle | None = None
    turns = 0

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.endpoint = endpoint

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        gateway = self.gateway = scope["gateway"]
        most = gateway.options.max_body
        self.kept = ConnectionResponses(gateway.kept, gateway.budget, most)
        self.lanes = Lanes(self._turn, gateway.budget, most)
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            pass  # the server is going down, and has nothing to learn from it
        finally:
            await self._clean_up()

    async def _clean_up(self) -> None:
        self.over = True
        for waiting in (self.timer, self.leaving):
            if waiting is not None:
                waiting.cancel()
        await self.lanes.cancel()
        self.kept.clear()

    async def dispatch(self, message: Message) -> None:
        """Channels would look after database connections here, in a thread, with every message; none is used."""
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def websocket_disconnect(self, message: Message) -> None:
        raise StopConsumer

    # the connection

    async def connect(self) -> None:
        told: dict[bytes, bytes] = dict(self.scope["headers"])
        self.id = headers.request_id_of(told.get(b"x-request-id"), str(uuid7()))[:112]
        self.told = [*_of_every_turn(self.scope["headers"]), (b"content-type", b"application/json")]
        if (refusal := await self._refusal()) is not None:
            await self._refuse(refusal)
            return
        await self.accept(headers=[(b"x-request-id", self.id.encode())])
        self.timer = asyncio.get_running_loop().call_later(LIFETIME, self.leave, GOING_AWAY, EXPIRED)

    async def _refusal(self) -> GatewayError | None:
        """Why nobody may connect so. A page of any site could, without a key, where none is needed."""
        call = Call(self.endpoint, Entry(uuid7()), self.id, self._scope("GET", self.id), self.gateway.objects)
        table, options = self.gateway.table, self.gateway.options
        peer = (self.scope.get("client") or ("",))[0]
        call.entry.client_ip = headers.client_ip(peer, call.headers, options.trusted_proxies)
        try:
            await admission.admit(call, table, options.allow_anonymous)
        except GatewayError as error:
            return error
        if call.key is table.anonymous and call.header(b"origin"):
            return GatewayError("permission", "A web page needs an API key to open a WebSocket.")
        return None

    async def _refuse(self, refusal: GatewayError) -> None:
        """Refuse the handshake: as a reply of HTTP where the server can, else it says 403."""
        in_words = "websocket.http.response" in self.scope.get("extensions", {})

        async def send(message: Message) -> None:
            if in_words:
                await self.base_send({**message, "type": f"websocket.{message['type']}"})
            elif message["type"] == "http.response.body":
                await self.close(REFUSED)

        async def work(call: Call, client: Client, receive: Receive) -> None:
            await admission.admit(call, self.gateway.table, self.gateway.options.allow_anonymous)
            raise refusal

        await self.gateway.serve(self.endpoint, self._scope("GET", self.id), _never, send, work)

    def leave(self, code: int, error: GatewayError | None = None) -> None:
        """Close once the turns under way have ended; none begins any more. ``error`` is told before."""
        if self.leaving is None and not self.over:
            self.lanes.close()
            self.leaving = asyncio.create_task(self._leave(code, error))

    async def _leave(self, code: int, error: GatewayError | None) -> None:
        await self.lanes.ended()
        try:
            if error is not None:
                await self._tell_error(error)
            await self.close(code)
        except OSError:
            return  # it is closed
        except Exception:
            await self.close()  # a bare Daphne takes no code of the standard's own

    async def websocket_drain(self, message: Message) -> None:
        self.leave(GOING_AWAY)

    # messages

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        data = text_data.encode() if text_data is not None else bytes_data or b""
        lane = ""
        try:
            if len(data) > self.gateway.options.max_body:
                message = f"The message is longer than {self.gateway.options.max_body} bytes."
                raise GatewayError("invalid_request", message, status=TOO_LARGE)
            doc = messages.parse(data)
            lane = messages.lane_of(doc)
            await self._take(doc, data)
        except GatewayError as error:
            await self._tell_error(error, lane)
            if error.status == TOO_LARGE:
                self.leave(TOO_BIG)

    async def _take(self, doc: Doc, data: bytes) -> None:
        kind = doc.get("type")
        if kind == messages.TAKEN:
            self.lanes.add(messages.read_create(doc, data))
        elif kind == "response.steer":
            await self._tell(orjson.dumps(messages.steer_failed(doc)).decode())
        elif kind not in messages.IGNORED:
            raise messages.unknown(doc)

    async def _tell(self, text: str) -> None:
        await self.send(text_data=text)

    async def _tell_error(self, error: GatewayError, lane: str = "") -> None:
        told = orjson.loads(write_error(self.endpoint.dialect, error, self.id))
        event = messages.error_event(told, error.status, {"x-request-id": self.id})
        await self._tell(messages.text(orjson.dumps(event), lane))

    # turns

    async def _turn(self, asked: Asked) -> None:
        """One turn, as the request that it is."""
        self.turns += 1
        reply = TurnReply(self._tell, asked.lane, self._remember_in(asked.lane))
        sent = [{"type": "http.request", "body": asked.body}]

        async def receive() -> Message:
            return sent.pop() if sent else await _never()

        async def work(call: Call, client: Client, receive: Receive) -> None:
            reply.call = call
            call.kept, call.warm = self.kept, asked.warm
            await self.gateway.answer(call, client, receive)

        await self.gateway.serve(self.endpoint, self._scope("POST", f"{self.id}-{self.turns}"), receive, reply, work)
        if reply.failed and asked.previous_id:
            self.kept.forget_lane(asked.lane, asked.previous_id)
        await self._finish(reply)

    async def _finish(self, reply: TurnReply) -> None:
        assert reply.call is not None
        kind = reply.call.entry.error_kind
        if kind == "auth":
            self.leave(REFUSED)
        elif kind == "cancelled":
            self.leave(BROKEN)  # it does not read, or is gone
        elif not reply.ended:
            await reply.fail({"message": "The turn ended early."}, 500)

    def _remember_in(self, lane: str) -> Any:
        def remember(call: Call, response: Doc) -> None:
            """What is stored anywhere else is found there."""
            if response.get("store") is False or call.doc.get("store") is False:
                self.kept.remember(lane, responses.remembered(call, response["output"], response["id"]))
            else:
                self.kept.forget_lane(lane)

        return remember

    def _scope(self, method: str, request_id: str) -> dict[str, Any]:
        return {
            "type": "http",
            "method": method,
            "path": self.scope["path"],
            "query_string": self.scope.get("query_string", b""),
            "headers": [*self.told, (b"x-request-id", request_id.encode())],
            "client": self.scope.get("client"),
        }


def _of_every_turn(given: list[Header]) -> list[Header]:
    found: list[Header] = []
    for name, value in given:
        if name == b"openai-beta":  # the transport is ours; the rest may be the upstream's
            if rest := [part for part in value.split(b",") if not part.strip().startswith(BETA)]:
                found.append((name, b",".join(rest)))
        elif name not in OF_HANDSHAKE and not name.startswith(b"sec-websocket-"):
            found.append((name, value))
    return found


async def _never() -> Message:
    """The socket says by itself when the client is gone."""
    await asyncio.get_running_loop().create_future()
    raise ClientGone
