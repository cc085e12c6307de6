"""Content encodings undone piece by piece: gzip, deflate, br, zstd, and lists of them.

For request bodies, and for replies of an upstream that was asked for ``identity`` and compresses all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

MAX_ENCODINGS = 2
FEED_LIMIT = 64 * 1024 * 1024
_MAX_MEMBERS = 10_000
_SLICE = 64 * 1024
_PIECE = 256 * 1024
# zstd's library does not bound its output; a slice this small makes 32 MiB at most.
_ZSTD_SLICE = 1024
_ZSTD_WINDOW = 8 * 1024 * 1024  # what RFC 9659 allows


class EncodingError(ValueError):
    """Compressed data that cannot be decoded: corrupt, cut off, or with more behind its end."""


class UnknownEncoding(EncodingError):
    """A content encoding that is not decoded here, or too many of them."""


class DecodedTooLong(EncodingError):
    """More came out than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes")
        self.limit = limit


class Codec(Protocol):
    """Undoes one encoding. ``pieces`` gives what ``data`` makes, also nothing, in steps of bounded work."""

    slice: int

    def pieces(self, data: bytes) -> Iterator[bytes]: ...

    def ended(self) -> bool: ...


class _Zlib:
    """gzip, of one or more members, and deflate, which some senders wrap as zlib and some do not."""

    slice = _SLICE

    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._head = b""
        self._members = 0
        self._open: zlib._Decompress | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        data = self._head + data
        self._head = b""
        more = True
        while data or more:
            if self._open is None:
                if not data:
                    return
                if not self._gzip and len(data) == 1:
                    self._head = data
                    return
                self._open = self._member(data)
            piece = self._open.decompress(data, _PIECE)
            data, more = self._open.unconsumed_tail, len(piece) == _PIECE
            if self._open.eof:
                data = self._open.unused_data
                self._open = None
            yield piece

    def _member(self, data: bytes) -> zlib._Decompress:
        self._members += 1
        if self._members > (_MAX_MEMBERS if self._gzip else 1):
            raise EncodingError("more data behind the end")
        wrapped = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS + 16 if self._gzip else zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)

    def ended(self) -> bool:
        return self._open is None and self._members > 0 and not self._head


class _Zstd:
    slice = _ZSTD_SLICE

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._members = 0
        self._open: zstandard.ZstdDecompressionObj | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._open is None:
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise EncodingError("too many frames")
                self._open = self._context.decompressobj()
            piece = self._open.decompress(data)
            data = b""
            if self._open.eof:
                data = self._open.unused_data
                self._open = None
            yield piece

    def ended(self) -> bool:
        return self._open is None and self._members > 0


class _Brotli:
    slice = _SLICE

    def __init__(self) -> None:
        self._open = brotli.Decompressor()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._open.is_finished():
            raise EncodingError("more data behind the end")
        more = True
        while more:
            piece = self._open.process(data, output_buffer_limit=_PIECE)
            data = b""
            more = not self._open.is_finished() and (bool(piece) or not self._open.can_accept_more_data())
            yield piece

    def ended(self) -> bool:
        return bool(self._open.is_finished())


CODECS: dict[str, Callable[[], Codec]] = {
    "gzip": lambda: _Zlib(gzip=True),
    "x-gzip": lambda: _Zlib(gzip=True),
    "deflate": lambda: _Zlib(gzip=False),
    "br": _Brotli,
    "zstd": _Zstd,
}


def decoder(content_encoding: str, limit: int = FEED_LIMIT) -> Decoder | None:
    """What undoes these encodings, None where there are none but ``identity``. Raises UnknownEncoding."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if len(names) > MAX_ENCODINGS or not CODECS.keys() >= set(names):
        raise UnknownEncoding(f"not decoded here: {len(names)} encodings")
    return Decoder([CODECS[name]() for name in reversed(names)], limit) if names else None


class Decoder:
    """Undoes one encoding or more, the last one applied first. No stage may make more than ``limit`` bytes: of all that
    ``pieces`` is given, or of each ``feed``."""

    def __init__(self, codecs: list[Codec], limit: int) -> None:
        self._codecs = codecs
        self._limit = limit
        self._made = [0] * len(codecs)

    def pieces(self, data: bytes, stage: int = 0) -> Iterator[bytes]:
        """What ``data`` makes, in pieces, empty ones too. Raises EncodingError."""
        if stage == len(self._codecs):
            yield data
            return
        codec = self._codecs[stage]
        try:
            for start in range(0, len(data), codec.slice):
                for piece in codec.pieces(data[start : start + codec.slice]):
                    self._made[stage] += len(piece)
                    if self._made[stage] > self._limit:
                        raise DecodedTooLong(self._limit)
                    yield from self.pieces(piece, stage + 1)
        except (zlib.error, zstandard.ZstdError, brotli.error) as error:
            raise EncodingError("corrupt data") from error

    def each(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` makes, in pieces, empty ones too; the limit is for this ``data``. Raises EncodingError."""
        self._made = [0] * len(self._codecs)
        return self.pieces(data)

    def feed(self, data: bytes) -> bytes:
        """What ``data`` makes. Raises EncodingError."""
        return b"".join(self.each(data))

    def flush(self) -> bytes:
        """At the end of the data. Raises EncodingError if it is not the end of what was encoded."""
        if not all(codec.ended() for codec in self._codecs):
            raise EncodingError("the data is cut off")
        return b""
