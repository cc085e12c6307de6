"""A client that sees every byte: HTTP/1.1 over one asyncio socket per exchange, nothing decoded, nothing retried."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection. ``close`` resets it, as a client does that is killed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wire = cls(reader, writer)
        try:
            yield wire
        finally:
            wire.close()

    def close(self) -> None:
        self.writer.transport.abort()

    async def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes, length: int | None = None
    ) -> None:
        fields = {"host": "gateway", "content-length": str(len(body) if length is None else length), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def pieces(self, headers: dict[str, str]) -> AsyncIterator[bytes]:
        """The body as it arrives; ends where its framing says so, raises IncompleteReadError if it is cut short."""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await self._line(), 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self._line()
        elif "content-length" in headers:
            yield await self.reader.readexactly(int(headers["content-length"]))
        else:
            yield await self.reader.read()

    async def _line(self) -> bytes:
        return await self.reader.readuntil(b"\r\n")


async def exchange(port: int, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
    async with Wire.open(port) as wire:
        await wire.send(method, path, headers, body)
        status, fields = await wire.head()
        return Reply(status, fields, b"".join([piece async for piece in wire.pieces(fields)]))
