"""The latency histogram: its error, its sums, its packing."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants import histogram
from tenants.histogram import BUCKETS, MIDDLE_US, bucket, one, pack, quantile, quantiles, unpack

MEASURED = st.integers(1_000, 9_000_000_000)  # 1 ms to 2.5 hours: what the error is promised for
ANY = st.integers(0, 10**15)


def of(latencies: Sequence[int]) -> int:
    return sum(map(one, latencies))


def nearest_rank(latencies: Sequence[int], share: str) -> int:
    return sorted(latencies)[max(1, ceil(Fraction(share) * len(latencies))) - 1]


@given(MEASURED)
def test_a_latency_is_told_within_five_percent(us: int) -> None:
    assert abs(MIDDLE_US[bucket(us)] - us) <= 0.05 * us


@given(ANY, ANY)
def test_longer_is_never_a_lower_bucket(a: int, b: int) -> None:
    assert 0 <= bucket(min(a, b)) <= bucket(max(a, b)) < BUCKETS


@pytest.mark.parametrize(
    ("us", "number"), [(-5, 0), (0, 0), (999, 0), (1_000, 1), (1_099, 1), (1_101, 2), (10**18, 170)]
)
def test_the_ends(us: int, number: int) -> None:
    assert bucket(us) == number


@given(st.lists(MEASURED, min_size=1, max_size=200), st.sampled_from(["0", "0.5", "0.55", "0.95", "0.99", "1"]))
def test_a_quantile_is_within_five_percent_of_the_nearest_rank(latencies: list[int], share: str) -> None:
    expected = nearest_rank(latencies, share)
    found = quantile(of(latencies), float(share))
    assert found is not None and abs(found - expected) <= 0.05 * expected


@given(st.lists(ANY, max_size=100), st.lists(ANY, max_size=100))
def test_histograms_add_like_their_requests(a: list[int], b: list[int]) -> None:
    both = of([*a, *b])
    assert of(a) + of(b) == both
    assert unpack(pack(both)) == both
    assert histogram.add_packed(pack(of(a)), pack(of(b))) == pack(both)
    assert sum(histogram.counts(both)) == len(a) + len(b)


@given(st.integers(0, BUCKETS - 1), st.integers(1, 2**63), st.integers(1, 2**63 - 1))
def test_a_full_lane_does_not_spill_into_the_next(number: int, a: int, b: int) -> None:
    counts = histogram.counts(histogram.ONE[number] * a + histogram.ONE[number] * b)
    assert counts[number] == a + b and sum(counts) == a + b


def test_nothing_has_no_quantile() -> None:
    assert quantiles(0, 0.5, 0.95) == [None, None] and pack(0) == b"" and unpack(b"") == 0


def test_a_few_requests_take_a_few_bytes() -> None:
    assert len(pack(of([800_000]))) == 2
    assert len(pack(of([700_000, 800_000, 1_500_000]))) < 80
