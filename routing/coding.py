"""Content codings: gzip, deflate, br, zstd, decoded piece by piece, so that no bomb fills the memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli
import zstandard

SLICE = 256 * 1024
#: zstd expands without a bound of its own; a slice of input this small cannot grow beyond some megabytes at once.
ZSTD_INPUT = 256
GZIP, ZLIB, RAW = 31, 15, -15


class Corrupt(ValueError):
    """Not what its coding says: damaged, cut short, or followed by something else."""


class Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces, each of a bounded size. Raises Corrupt."""

    def finish(self) -> None:
        """Raises Corrupt where the end is missing."""


class Inflate:
    """gzip (any number of members) and deflate (with a zlib header or, as some clients send it, without)."""

    def __init__(self, wbits: int) -> None:
        self.wbits = wbits
        self.inner = zlib.decompressobj(wbits)
        self.started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self.inner.eof:
                if self.wbits != GZIP:
                    raise Corrupt("data after the end")
                self.inner = zlib.decompressobj(self.wbits)
            piece = self._inflate(data)
            if piece:
                yield piece
            data = self.inner.unused_data if self.inner.eof else self.inner.unconsumed_tail

    def _inflate(self, data: bytes) -> bytes:
        try:
            piece = self.inner.decompress(data, SLICE)
        except zlib.error as error:
            if self.wbits != ZLIB or self.started:
                raise Corrupt(str(error)) from None
            self.wbits, self.inner = RAW, zlib.decompressobj(RAW)
            return self._inflate(data)
        self.started = True
        return piece

    def finish(self) -> None:
        if not self.inner.eof:
            raise Corrupt("cut short")


class Brotli:
    def __init__(self) -> None:
        self.inner = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            if data and self.inner.is_finished():
                raise Corrupt("data after the end")
            piece = self.inner.process(data, output_buffer_limit=SLICE)
            while piece or not self.inner.can_accept_more_data():
                if piece:
                    yield piece
                piece = self.inner.process(b"", output_buffer_limit=SLICE) if not self.inner.can_accept_more_data() else b""
        except brotli.error:
            raise Corrupt("damaged") from None

    def finish(self) -> None:
        if not self.inner.is_finished():
            raise Corrupt("cut short")


class Zstd:
    def __init__(self) -> None:
        self.inner = zstandard.ZstdDecompressor().decompressobj()

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_INPUT):
            if self.inner.eof:
                raise Corrupt("data after the end")
            try:
                piece = self.inner.decompress(data[start : start + ZSTD_INPUT])
            except zstandard.ZstdError:
                raise Corrupt("damaged") from None
            if piece:
                yield piece
        if self.inner.eof and self.inner.unused_data:
            raise Corrupt("data after the end")

    def finish(self) -> None:
        if not self.inner.eof:
            raise Corrupt("cut short")


CODINGS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: Inflate(GZIP),
    "x-gzip": lambda: Inflate(GZIP),
    "deflate": lambda: Inflate(ZLIB),
    "br": Brotli,
    "zstd": Zstd,
}


class ReplyDecoder:
    """Decodes a reply that comes compressed although identity was asked for."""

    def __init__(self, coding: str) -> None:
        """Raises Corrupt for a coding that nobody knows."""
        if coding not in CODINGS:
            raise Corrupt("an unknown coding")
        self.inner = CODINGS[coding]()

    def feed(self, data: bytes) -> bytes:
        return b"".join(self.inner.feed(data))

    def flush(self) -> bytes:
        self.inner.finish()
        return b""
