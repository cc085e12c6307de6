"""A fixed logarithmic histogram of latencies that adds up like a number. No Django, no state.

A histogram *is* one big integer: a lane of 64 bits for each bucket, so that ``a + b`` adds two histograms at once and
``sum`` adds thousands. Bucket 0 holds what is under 1 ms; bucket n holds 1 ms × 1.1ⁿ⁻¹ up to 1 ms × 1.1ⁿ; the last
everything from 9,890 s on. A quantile is told by the geometric middle of its bucket, at most 4.9 % off between these
two ends. Packed in the database it is the number of the first used bucket in one byte, then the lanes from there on,
little-endian, trailing zeros cut: a few bytes for a few requests, 8 for each bucket in between for many.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from itertools import accumulate
from math import ceil, log

GROWTH = 1.1
FIRST_US = 1_000
BUCKETS = 171
LANE = 64

_PER_LOG = 1 / log(GROWTH)
_OFFSET = log(FIRST_US) * _PER_LOG - 1
_LAST = BUCKETS - 1
_LANES = struct.Struct(f"<{BUCKETS}Q")

ONE = tuple(1 << LANE * number for number in range(BUCKETS))
"""The histogram of one request, for each bucket."""

MIDDLE_US: tuple[int, ...] = (
    FIRST_US,
    *(round(FIRST_US * GROWTH ** (number - 0.5)) for number in range(1, _LAST)),
    round(FIRST_US * GROWTH ** (_LAST - 1)),
)
"""What a quantile in each bucket is told as, in microseconds: 1 ms for the first, the lower bound for the last."""


def bucket(us: int) -> int:
    """The bucket, 0 to 170, that a latency of ``us`` microseconds falls in."""
    return min(int(log(us) * _PER_LOG - _OFFSET), _LAST) if us >= FIRST_US else 0


def edges() -> list[int]:
    """The least latency, in microseconds, of each bucket but the first: for databases that count by themselves."""
    return [bisect_left(range(10**11), number, key=bucket) for number in range(1, BUCKETS)]


def one(us: int) -> int:
    """The histogram of one request that took ``us`` microseconds."""
    return ONE[bucket(us)]


def pack(histogram: int) -> bytes:
    """The bytes to store; an empty histogram is empty bytes."""
    if not histogram:
        return b""
    first = ((histogram & -histogram).bit_length() - 1) // LANE
    lanes = histogram >> LANE * first
    return bytes((first,)) + lanes.to_bytes((lanes.bit_length() + 7) // 8, "little")


def unpack(packed: bytes) -> int:
    """The histogram that ``pack`` packed."""
    return int.from_bytes(packed[1:], "little") << LANE * packed[0] if packed else 0


def add_packed(packed: bytes, other: bytes) -> bytes:
    """The sum of two packed histograms, packed."""
    return pack(unpack(packed) + unpack(other))


def counts(histogram: int) -> tuple[int, ...]:
    """How many requests are in each bucket."""
    return _LANES.unpack(histogram.to_bytes(BUCKETS * LANE // 8, "little"))


def quantiles(histogram: int, *shares: float) -> list[int | None]:
    """For each share (0 to 1) the latency in microseconds that this share of the n requests did not exceed: in order,
    the ⌈share · n⌉th. None for each when there are no requests."""
    if not histogram:
        return [None] * len(shares)
    below = list(accumulate(counts(histogram)))
    # A little less, so that 0.55 · 100, which floats make 55.00000000000001, stays the 55th.
    return [MIDDLE_US[bisect_left(below, max(1, ceil(share * below[-1] - 1e-6)))] for share in shares]


def quantile(histogram: int, share: float) -> int | None:
    """One of ``quantiles``."""
    return quantiles(histogram, share)[0]
