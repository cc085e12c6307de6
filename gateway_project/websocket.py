"""uvicorn's WebSocket protocol, made to end as requests do: what is under way ends first."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class DrainingWebSocket(WebSocketsSansIOProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.debug = False  # it would log the handshake with its key

    def shutdown(self) -> None:
        """The application is told, and closes; uvicorn would, in the middle of a turn."""
        if self.handshake_complete and not self.close_sent:
            drain: Any = {"type": "websocket.drain"}
            self.queue.put_nowait(drain)
        else:
            super().shutdown()

    async def send(self, message: Any) -> None:
        if self.close_sent:  # by the server itself, which the application cannot know
            raise ClientDisconnected
        await super().send(message)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()  # who answers no ping reads nothing either: closing would wait for that
