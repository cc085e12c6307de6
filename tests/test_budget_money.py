"""Dollars as they are typed: exact, or refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.budget_money import NANO, read_dollars, write_dollars
from tenants.leases import MOST


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("-0", 0),
        ("1", NANO),
        (" $1,234.5 ", 1_234_500_000_000),
        ("0.000000001", 1),
        (".5", 500_000_000),
        ("5.", 5 * NANO),
        ("0.1000000000000", 100_000_000),
        ("0007", 7 * NANO),
        ("1000000000", MOST),
    ],
)
def test_what_is_understood(text: str, nano: int) -> None:
    assert read_dollars(text) == nano


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-1", "No less than nothing"),
        ("-0.000000001", "No less than nothing"),
        ("1000000000.000000001", "too much"),
        ("9" * 5000, "too much"),
        ("0.0000000001", "at most 9 digits"),
        ("1,5", "digits"),
        ("1,0000", "digits"),
        ("1e3", "digits"),
        ("ten", "digits"),
        ("NaN", "digits"),
        ("inf", "digits"),
        ("1_000", "digits"),
        ("٣", "digits"),
        ("1 2", "digits"),
        (".", "digits"),
        ("", "digits"),
        ("$", "digits"),
        ("+1", "digits"),
        ("0x10", "digits"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_dollars(text)


@given(st.integers(0, MOST))
def test_what_is_shown_is_read_as_the_same(nano: int) -> None:
    assert read_dollars(write_dollars(nano)) == nano


@given(st.text(max_size=30))
def test_nothing_else_is_raised(text: str) -> None:
    try:
        assert 0 <= read_dollars(text) <= MOST
    except ValueError as error:
        assert str(error)
