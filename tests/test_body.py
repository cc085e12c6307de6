"""Bodies as servers hand them over: whole, in pieces, slowly, never, too long, and compressed."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import random
import zlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from routing import body as bodies
from routing import encodings
from routing.body import BodyError, Budget, ClientGone
from routing.encodings import EncodingError, UnknownEncoding
from routing.errors import KINDS, RETRIABLE

pytestmark = pytest.mark.asyncio
LIMIT = 1 << 20
Message = dict[str, Any]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


ENCODERS: dict[str, list[Callable[[bytes], bytes]]] = {
    "gzip": [gzip.compress, lambda data: gzip.compress(data[:5]) + gzip.compress(b"") + gzip.compress(data[5:])],
    "x-gzip": [gzip.compress],
    "deflate": [zlib.compress, raw_deflate],
    "br": [lambda data: brotli.compress(data, quality=3)],
    "zstd": [zstandard.compress, lambda data: zstandard.compress(data[:5]) + zstandard.compress(data[5:])],
}
EVERY = [(name, encode) for name, encoders in ENCODERS.items() for encode in encoders]


def receiver(messages: Iterable[Message]) -> Callable[[], Awaitable[Message]]:
    """Hands over what there is at once, as servers do, then waits for ever."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def requests(*chunks: bytes) -> list[Message]:
    return [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks)}
        for index, chunk in enumerate(chunks, 1)
    ]


async def read(
    receive: Callable[[], Awaitable[Message]],
    *headers: tuple[bytes, bytes],
    limit: int = LIMIT,
    timeout: float = 60,
    budget: Budget | None = None,
) -> bytes:
    with (budget or Budget(1 << 40)).hold() as hold:
        return await bodies.read(headers, receive, limit=limit, timeout=timeout, budget=hold)


async def refused(
    receive: Callable[[], Awaitable[Message]], *headers: tuple[bytes, bytes], **options: Any
) -> BodyError:
    with pytest.raises(BodyError) as caught:
        await read(receive, *headers, **options)
    assert caught.value.kind in KINDS
    return caught.value


async def test_a_body_that_is_there_is_handed_on_as_it_is() -> None:
    data = b'{"model":"m"}'
    assert await read(receiver(requests(data)), (b"content-length", b"13")) is data
    assert await read(receiver([{"type": "http.request"}])) == b""


@pytest.mark.parametrize("chunks", [[b"ab", b"", b"c"], [b"", b"abc"], [b"abc", b""]])
async def test_pieces_are_joined(chunks: list[bytes]) -> None:
    assert await read(receiver(requests(*chunks))) == b"abc"


async def test_pieces_that_come_later_are_waited_for() -> None:
    queue: asyncio.Queue[Message] = asyncio.Queue()
    task = asyncio.create_task(read(queue.get))
    for message in requests(b"a", b"b", b"c"):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        queue.put_nowait(message)
    assert await task == b"abc"


async def test_receive_may_wait_many_times_before_it_answers() -> None:
    async def receive() -> Message:
        for _ in range(5):
            await asyncio.sleep(0)
        return requests(b"abc")[0]

    assert await read(receive) == b"abc"


async def test_errors_of_the_server_pass() -> None:
    async def at_once() -> Message:
        raise RuntimeError("server")

    async def later() -> Message:
        await asyncio.sleep(0)
        raise RuntimeError("server")

    for receive in (at_once, later):
        with pytest.raises(RuntimeError, match="server"):
            await read(receive)


@pytest.mark.parametrize("messages", [[], requests(b"a", b"b")[:1]])
async def test_a_slow_sender_is_given_up(messages: list[Message]) -> None:
    error = await refused(receiver(messages), timeout=0.01)
    assert (error.status, error.kind) == (408, "timeout")


async def test_cancelling_reaches_the_server_and_is_no_timeout() -> None:
    seen = []

    async def receive() -> Message:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return {}

    budget = Budget(10)
    task = asyncio.create_task(read(receive, budget=budget))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


@pytest.mark.parametrize("before", [[], [b"a"], [b"a", b"b"]])
async def test_a_client_that_leaves(before: list[bytes]) -> None:
    budget = Budget(10)
    messages = [*requests(*before, b"")[:-1], {"type": "http.disconnect"}]
    with pytest.raises(ClientGone):
        await read(receiver(messages), budget=budget)
    assert budget.held == 0


@pytest.mark.parametrize("length", [b"11", b"00011", b"9" * 30, b"9" * 9999])
async def test_a_length_over_the_limit_is_refused_before_a_byte_is_read(length: bytes) -> None:
    async def receive() -> Message:
        raise AssertionError("was read")

    error = await refused(receive, (b"content-length", length), limit=10)
    assert (error.status, error.kind) == (413, "invalid_request") and "10 bytes" in error.message


@pytest.mark.parametrize("length", [b"", b"-1", b"1e1", b"abc"])
async def test_a_length_that_is_no_number_is_400(length: bytes) -> None:
    assert (await refused(receiver(requests(b"")), (b"content-length", length))).status == 400


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x" * 10, b"x"], [b"x"] * 11])
async def test_bytes_over_the_limit_are_refused_whatever_was_declared(chunks: list[bytes]) -> None:
    error = await refused(receiver(requests(*chunks)), (b"content-length", b"5"), limit=10)
    assert error.status == 413 and "10 bytes" in error.message
    assert await read(receiver(requests(b"x" * 4, b"x" * 6)), (b"content-length", b"0010"), limit=10) == b"x" * 10


async def test_a_server_may_give_a_body_that_is_there_at_once() -> None:
    """It is bounded and counted as any other; where there is none yet, or it is packed, messages tell it."""

    async def taken(given: bytes | None, *headers: tuple[bytes, bytes], room: int = 100) -> bytes:
        messages = receiver(requests(gzip.compress(b"told") if headers else b"told"))
        with Budget(room).hold() as hold:
            read = await bodies.read(
                headers, messages, limit=100 if headers else 10, timeout=60, budget=hold, take=lambda: given
            )
            assert hold.size == len(read)
            return read

    assert await taken(b"at once") == b"at once" and await taken(b"") == b"" and await taken(None) == b"told"
    assert await taken(b"not packed", (b"content-encoding", b"gzip")) == b"told"
    for size, room, status in ((11, 100, 413), (10, 9, 503)):
        with pytest.raises(BodyError) as caught:
            await taken(b"x" * size, room=room)
        assert caught.value.status == status


async def test_all_requests_together_hold_no_more_than_the_budget() -> None:
    budget = Budget(10)
    with budget.hold() as first, budget.hold() as second:
        await bodies.read([], receiver(requests(b"x" * 3, b"x" * 3)), limit=LIMIT, timeout=60, budget=first)
        assert budget.held == first.size == 6
        with pytest.raises(BodyError) as caught:
            await bodies.read([], receiver(requests(b"x" * 5)), limit=LIMIT, timeout=60, budget=second)
        assert (caught.value.status, caught.value.kind) == (503, "overloaded")
        assert caught.value.retry_after > 0 and caught.value.status in RETRIABLE
        assert budget.held == 6
        await bodies.read([], receiver(requests(b"x" * 4)), limit=LIMIT, timeout=60, budget=second)
        assert budget.held == 10
    assert budget.held == 0
    packed = gzip.compress(bytes(11))
    assert (await refused(receiver(requests(packed)), (b"content-encoding", b"gzip"), budget=budget)).status == 503
    assert budget.held == 0


@pytest.mark.parametrize(("name", "encode"), EVERY)
async def test_encoded_bodies_are_decoded(name: str, encode: Callable[[bytes], bytes]) -> None:
    # Zeros, for the last of a raw deflate's output may wait in it when all input is used up.
    for data in (b"", b"{}", b'{"model":"m"}' * 30_000, os.urandom(400_000), bytes((1 << 18) + 100)):
        packed = encode(data)
        for size in (len(packed) or 1, 65_536, 997):
            chunks = [packed[at : at + size] for at in range(0, len(packed), size)]
            assert await read(receiver(requests(*chunks)), (b"content-encoding", name.upper().encode())) == data


@pytest.mark.parametrize(
    ("headers", "stages"),
    [
        ([b"gzip, br"], ["gzip", "br"]),
        ([b"deflate", b"zstd"], ["deflate", "zstd"]),
        ([b" identity,gzip , identity"], ["gzip"]),
        ([b"gzip,gzip"], ["gzip", "gzip"]),
        ([b"identity"], []),
        ([b""], []),
    ],
)
async def test_lists_of_encodings_are_undone_from_the_last(headers: list[bytes], stages: list[str]) -> None:
    data = packed = b'{"model":"m"}' * 100
    for name in stages:
        packed = ENCODERS[name][0](packed)
    assert (
        await read(receiver(requests(packed[:9], packed[9:])), *[(b"content-encoding", value) for value in headers])
        == data
    )


@pytest.mark.parametrize("value", [b"rot13", b"gzip, rot13", b"gzip,gzip,gzip", b"compress", b"*", b"\xff"])
async def test_unknown_encodings_are_415_before_a_byte_is_read(value: bytes) -> None:
    async def receive() -> Message:
        raise AssertionError("was read")

    error = await refused(receive, (b"content-encoding", value))
    assert (error.status, error.kind) == (415, "invalid_request") and "br, deflate, gzip, zstd" in error.message


@pytest.mark.parametrize(("name", "encode"), EVERY)
async def test_broken_bodies_are_400(name: str, encode: Callable[[bytes], bytes]) -> None:
    packed = encode(os.urandom(3000))
    for broken in (
        b"",
        packed[:1],
        packed[:-1],
        packed + b"x",
        packed + b"trailing",
        b"\xff" + packed,
        b'{"model":"m"}',
    ):
        for chunks in ([broken], [broken[:2], broken[2:]], [broken[:-1], broken[-1:]]):
            error = await refused(receiver(requests(*chunks)), (b"content-encoding", name.encode()))
            assert (error.status, error.kind) == (400, "invalid_request"), broken[-9:]


@pytest.mark.parametrize(("name", "encode"), EVERY)
async def test_bombs_are_413_and_never_held(name: str, encode: Callable[[bytes], bytes]) -> None:
    packed = encode(bytes(80 * LIMIT))
    assert len(packed) < LIMIT
    budget = Budget(2 * LIMIT)
    error = await refused(receiver(requests(packed)), (b"content-encoding", name.encode()), budget=budget)
    assert error.status == 413  # not 503: what is held never came near the budget


async def test_a_bomb_inside_a_bomb_is_stopped_at_the_first_stage() -> None:
    # The inner stage makes nothing of a file name that never ends, and little of empty members.
    packed = gzip.compress(b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 80 * LIMIT)
    assert (await refused(receiver(requests(packed)), (b"content-encoding", b"gzip, gzip"))).status == 413
    members = gzip.compress(b"") * 20_000
    assert (await refused(receiver(requests(members)), (b"content-encoding", b"gzip"))).status == 400


async def test_a_window_larger_than_the_web_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(bytes(1 << 19)) + packer.flush()
    assert (await refused(receiver(requests(packed)), (b"content-encoding", b"zstd"))).status == 400


@pytest.mark.parametrize(("name", "encode"), EVERY)
async def test_others_get_their_turn_while_a_large_body_is_decoded(name: str, encode: Callable[[bytes], bytes]) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    data = random.Random(7).randbytes(200_000) * 40  # so many pieces, whatever the coding makes of it
    task = asyncio.create_task(count())
    assert (
        await read(receiver(requests(encode(data))), (b"content-encoding", name.encode()), limit=2 * len(data)) == data
    )
    task.cancel()
    assert turns >= 5


@given(st.sampled_from(EVERY), st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=6))
async def test_a_decoder_gives_the_same_for_any_cut(
    codec: tuple[str, Callable[[bytes], bytes]], data: bytes, places: list[int]
) -> None:
    packed = codec[1](data)
    decoder = encodings.decoder(codec[0])
    assert decoder is not None
    bounds = [0, *sorted(min(place, len(packed)) for place in places), len(packed)]
    pieces = [decoder.feed(packed[start:end]) for start, end in itertools.pairwise(bounds)]
    assert b"".join(pieces) + decoder.flush() == data


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
async def test_a_decoder_holds_nothing_back_that_was_flushed(name: str) -> None:
    """A compressed event stream is decoded as it comes."""
    packers: dict[str, tuple[Callable[[bytes], bytes], Callable[[], bytes]]] = {}
    for kind, bits in (("gzip", 31), ("deflate", 15)):
        packer = zlib.compressobj(wbits=bits)
        packers[kind] = packer.compress, lambda packer=packer: packer.flush(zlib.Z_SYNC_FLUSH)  # type: ignore[misc]
    br = brotli.Compressor()
    packers["br"] = br.process, br.flush
    zstd = zstandard.ZstdCompressor().compressobj()
    packers["zstd"] = zstd.compress, lambda: zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    decoder = encodings.decoder(name)
    assert decoder is not None
    compress, flush = packers[name]
    for number in range(5):
        event = b"data: %d\n\n" % number
        assert decoder.feed(compress(event) + flush()) == event
    with pytest.raises(EncodingError):
        decoder.flush()


async def test_one_piece_of_a_reply_may_not_grow_without_bound() -> None:
    for name, encode in EVERY:
        decoder = encodings.decoder(name, limit=1 << 20)
        assert decoder is not None
        packed = encode(bytes(1 << 20))
        assert len(decoder.feed(packed)) == 1 << 20
        decoder = encodings.decoder(name, limit=(1 << 20) - 1)
        assert decoder is not None
        with pytest.raises(EncodingError, match="more than 1048575 bytes"):
            decoder.feed(packed)


async def test_the_limit_of_a_reply_is_of_each_piece() -> None:
    decoder = encodings.decoder("gzip", limit=1000)
    assert decoder is not None
    packer = zlib.compressobj(wbits=31)
    for _ in range(10):
        assert len(decoder.feed(packer.compress(bytes(900)) + packer.flush(zlib.Z_SYNC_FLUSH))) == 900


async def test_decoder_knows_identity_and_what_it_does_not_know() -> None:
    assert encodings.decoder("") is encodings.decoder("Identity") is encodings.decoder(" identity , ") is None
    for unknown in ("rot13", "gzip, br, zstd", "gzip;q=1"):
        with pytest.raises(UnknownEncoding):
            encodings.decoder(unknown)
