"""Credentials of one provider: shares, rests after refusals, and the times that vendors tell."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.rotation import LONGEST, MOST_RESTS, Rotation, retry_after, seconds_until
from providers.upstream import Credential, Upstream
from tests import recordings

NOW = 1_780_000_000.0


def credential(id: int, weight: int = 1, secret: str = "") -> Credential:
    secret = secret or f"secret-{id}"
    return Credential(id, (b"authorization", secret.encode()), secret, weight=weight)


def upstream(*credentials: Credential, id: int = 1) -> Upstream:
    return Upstream(id, "p", "openai", "https://p", frozenset({"chat"}), credentials or (Credential(0, None),))


def chosen(rotation: Rotation, provider: Upstream, now: float, model: str = "m") -> set[int]:
    rng = random.Random(2)
    found = [rotation.choose(provider, now, rng, model) for _ in range(200)]
    return {one.id for one in found if one is not None}


def test_shares_follow_weights() -> None:
    provider, rng = upstream(credential(1, 70), credential(2, 25), credential(3, 5), credential(4, 0)), random.Random(3)
    rotation, found = Rotation(), Counter[int]()
    for _ in range(100_000):
        one = rotation.choose(provider, NOW, rng)
        assert one is not None
        found[one.id] += 1
    print(dict(found))
    for id_, percent in ((1, 70), (2, 25), (3, 5), (4, 0)):
        assert abs(found[id_] / 100_000 - percent / 100) < 0.01
    assert not found[4]


def test_the_others_carry_on_while_one_rests() -> None:
    rotation, first, second = Rotation(), credential(1), credential(2)
    provider = upstream(first, second)
    assert rotation.punish(provider, first, 429, {b"retry-after": b"30"}, NOW, "m") == 30
    assert chosen(rotation, provider, NOW + 29.9) == {2}
    assert chosen(rotation, provider, NOW + 30) == {1, 2}
    assert rotation.wait(provider, NOW, "m") == 0
    rotation.punish(provider, second, 429, {b"retry-after": b"10"}, NOW, "m")
    assert rotation.choose(provider, NOW, random.Random(1), "m") is None
    assert rotation.wait(provider, NOW + 1, "m") == 9
    assert rotation.rests(NOW) == [(1, 1, "m", 429, 30), (1, 2, "m", 429, 10)]


def test_weight_zero_stands_in() -> None:
    rotation, main = Rotation(), credential(1)
    provider = upstream(main, credential(2, 0))
    assert chosen(rotation, provider, NOW) == {1}
    rotation.punish(provider, main, 401, {}, NOW)
    assert chosen(rotation, provider, NOW) == {2}


def test_a_bad_key_rests_for_all_models_a_limit_for_one() -> None:
    rotation, first = Rotation(), credential(1)
    provider = upstream(first, credential(2))
    rotation.punish(provider, first, 429, {}, NOW, "m")
    assert chosen(rotation, provider, NOW, "m") == {2}
    assert chosen(rotation, provider, NOW, "other") == {1, 2}
    rotation.punish(provider, first, 401, {}, NOW, "m")
    assert chosen(rotation, provider, NOW, "other") == {2}
    assert chosen(rotation, upstream(first, id=9), NOW, "other") == {1}


def test_a_403_alone_closes_nothing() -> None:
    """It may have been about the request: one client's must not shut the provider to all."""
    rotation, first, second = Rotation(), credential(1), credential(2)
    provider = upstream(first, second)
    rotation.punish(provider, first, 403, {}, NOW, "m")
    assert chosen(rotation, provider, NOW) == {2}
    rotation.punish(provider, second, 429, {b"retry-after": b"5"}, NOW, "m")
    assert chosen(rotation, provider, NOW) == {1}
    assert not rotation.fresh(provider, NOW, "m")
    assert rotation.wait(provider, NOW, "m") == 0
    rotation.punish(provider, first, 401, {b"retry-after": b"60"}, NOW, "m")
    assert chosen(rotation, provider, NOW) == set()
    assert rotation.wait(provider, NOW, "m") == 5
    assert rotation.why(provider, NOW, "m") == 429


def test_a_429_that_says_no_time_closes_nothing() -> None:
    rotation, first, second = Rotation(), credential(1), credential(2)
    provider = upstream(first, second)
    rotation.punish(provider, first, 429, {}, NOW, "m")
    assert chosen(rotation, provider, NOW) == {2} and rotation.fresh(provider, NOW, "m")
    rotation.punish(provider, second, 429, {}, NOW, "m")
    assert chosen(rotation, provider, NOW) == {1, 2} and not rotation.fresh(provider, NOW, "m")
    assert rotation.wait(provider, NOW, "m") == rotation.why(provider, NOW, "m") == 0


@pytest.mark.parametrize("status", [200, 400, 404, 408, 422, 500, 503])
def test_other_statuses_are_not_about_the_credential(status: int) -> None:
    rotation, one = Rotation(), credential(1)
    assert rotation.punish(upstream(one), one, status, {b"retry-after": b"9"}, NOW) == 0
    assert chosen(rotation, upstream(one), NOW) == {1}


def test_rests_grow_while_refusals_go_on() -> None:
    rotation, one = Rotation(), credential(1)
    provider, now, found = upstream(one), NOW, []
    for _ in range(6):
        found.append(rotation.punish(provider, one, 401, {}, now))
        now += found[-1]
    assert found == [60, 120, 240, 480, 900, 900]
    rotation.succeed(provider, one, "m")
    assert rotation.punish(provider, one, 401, {}, now) == 60
    assert rotation.punish(provider, one, 401, {}, now + 10_000) == 60


def test_refusals_at_one_time_are_one() -> None:
    rotation, one = Rotation(), credential(1)
    provider = upstream(one)
    assert [rotation.punish(provider, one, 429, {}, NOW, "m") for _ in range(20)] == [5.0] * 20
    rotation.punish(provider, one, 429, {b"retry-after": b"40"}, NOW, "m")
    assert rotation.punish(provider, one, 429, {b"retry-after": b"1"}, NOW, "m") == 40, "never made shorter"
    rotation.succeed(provider, one, "m")
    assert rotation.wait(provider, NOW, "m") == 40, "a limit that was told still holds"
    assert rotation.punish(provider, one, 429, {}, NOW + 41, "m") == 5


def test_a_new_secret_is_used_at_once() -> None:
    rotation, old, new = Rotation(), credential(1), credential(1, secret="another")
    rotation.punish(upstream(old), old, 401, {}, NOW)
    assert not rotation.fresh(upstream(old), NOW) and rotation.fresh(upstream(new), NOW)
    assert chosen(rotation, upstream(new), NOW) == {1}
    assert rotation.punish(upstream(new), new, 401, {}, NOW + 61) == 60


def test_a_clock_set_back_holds_nothing_up() -> None:
    rotation, one = Rotation(), credential(1)
    rotation.punish(upstream(one), one, 401, {}, NOW)
    assert chosen(rotation, upstream(one), NOW - 2 * LONGEST) == {1}


def test_rests_are_bounded() -> None:
    rotation, one = Rotation(), credential(1)
    provider = upstream(one)
    for n in range(MOST_RESTS + 500):
        rotation.punish(provider, one, 429, {}, NOW, f"model-{n}")
    assert len(rotation.rests(NOW)) == MOST_RESTS
    rotation.punish(provider, one, 429, {}, NOW + 10, "m")
    assert len(rotation.rests(NOW)) == 1


def test_providers_without_a_key_are_apart() -> None:
    rotation, one, other = Rotation(), upstream(id=1), upstream(id=2)
    rotation.punish(one, one.credentials[0], 429, {b"retry-after": b"5"}, NOW, "m")
    assert chosen(rotation, one, NOW) == set()
    assert chosen(rotation, other, NOW) == {0}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("7m12s", 432),
        ("2m59.56s", 179.56),
        ("8.64s", 8.64),
        ("120ms", 0.12),
        ("1h", 3600),
        ("1d2h3m", 93_780),
        ("12", 12),
        ("0.5", 0.5),
        ("0", 0),
        (str(int(NOW) + 30), 30),
        (str((int(NOW) + 30) * 1000), 30),
        (str(int(NOW) - 30), 0),
        ("2026-05-28T20:27:10Z", 30),
        ("2026-05-28T22:27:10+02:00", 30),
        ("2026-05-28T20:27:10.5Z", 30.5),
        ("Thu, 28 May 2026 20:27:10 GMT", 30),
        (" 9 ", 9),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1x", None),
        ("1e9", None),
        ("nan", None),
        ("9" * 70, None),
    ],
)
def test_times_in_the_vendors_forms(text: str, seconds: float | None) -> None:
    assert seconds_until(text, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({b"retry-after": b"20", b"x-ratelimit-reset-requests": b"6m0s"}, 20),
        ({b"retry-after-ms": b"1500", b"retry-after": b"2"}, 1.5),
        ({b"retry-after": b"0", b"x-ratelimit-reset": b"7"}, 7),
        ({b"x-ratelimit-reset-requests": b"6m0s", b"x-ratelimit-reset-tokens": b"1s"}, 1),
        (
            {
                b"x-ratelimit-reset-requests": b"6m0s",
                b"x-ratelimit-remaining-requests": b"0",
                b"x-ratelimit-reset-tokens": b"1s",
                b"x-ratelimit-remaining-tokens": b"500",
            },
            360,
        ),
        (
            {
                b"anthropic-ratelimit-input-tokens-remaining": b"0",
                b"anthropic-ratelimit-input-tokens-reset": b"2026-05-28T20:27:00Z",
                b"anthropic-ratelimit-requests-remaining": b"49",
                b"anthropic-ratelimit-requests-reset": b"2026-05-28T20:26:41Z",
            },
            20,
        ),
        ({b"x-ratelimit-reset": b"%d" % ((NOW + 9) * 1000)}, 9),
        ({b"ratelimit-reset": b"11"}, 11),
        ({b"x-ratelimit-limit-tokens": b"-1", b"x-ratelimit-reset-tokens": b"0"}, 0),
    ],
)
def test_what_a_refusal_asks_for(headers: dict[bytes, bytes], seconds: float) -> None:
    assert retry_after(headers, NOW) == pytest.approx(seconds)


NAMES = st.sampled_from(
    [
        b"retry-after",
        b"retry-after-ms",
        b"x-ratelimit-reset-tokens",
        b"x-ratelimit-remaining-tokens",
        b"ratelimit-reset",
    ]
)
WORDS = st.one_of(
    st.binary(max_size=20),
    st.from_regex(rb"\A[0-9]{1,20}(d|h|m|s|ms|)([0-9]{1,3}s)?\Z"),
    st.datetimes().map(lambda when: when.isoformat().encode()),
)


@given(st.dictionaries(NAMES, WORDS), st.sampled_from([401, 402, 403, 429]))
def test_no_header_makes_a_rest_endless(headers: dict[bytes, bytes], status: int) -> None:
    rotation, one = Rotation(), credential(1)
    assert 0 < rotation.punish(upstream(one), one, status, headers, NOW) <= LONGEST
    assert chosen(rotation, upstream(one), NOW + LONGEST) == {1}


def test_recorded_resets_are_read() -> None:
    found = {
        value
        for recording in recordings.require()
        for name, value in recording.response_headers.items()
        if "reset" in name.lower() or name.lower() == "retry-after"
    }
    print(f"{len(found)} different times are read: {sorted(found)[:5]} …")
    assert [value for value in found if seconds_until(value, NOW) is None] == []
