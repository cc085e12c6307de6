"""Keys: issued at random, stored as an HMAC, found under any pepper, shown by a prefix only."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from tenants import keys
from tenants.keys import Key
from tenants.terms import Names


@given(st.text(), st.binary(max_size=200))
def test_the_digest_is_the_standard_hmac(plain: str, pepper: bytes) -> None:
    if not any(0xD800 <= ord(c) <= 0xDFFF for c in plain):
        assert keys.digest(plain, pepper) == hmac.digest(pepper, plain.encode(), "sha256")


def test_issued_keys_are_long_random_and_shown_by_their_start_only() -> None:
    issued = {keys.issue() for _ in range(1000)}
    assert len(issued) == 1000
    for plain in issued:
        assert plain.startswith("gw-")
        assert len(plain) == 46  # gw- and 256 bits in base64url
        assert plain.startswith(keys.prefix_of(plain))
        assert len(keys.prefix_of(plain)) == keys.PREFIX_LENGTH
    assert len(keys.prefix_of("short-key-of-20-char")) < 7


def test_a_key_is_found_under_any_pepper_and_its_stored_hash_is_no_key() -> None:
    plain, old, new = keys.issue(), b"old pepper", b"new pepper"
    table = {keys.digest(plain, old): Key(1, "k", 1)}
    assert keys.find(table, plain, (new, old)) is not None
    assert keys.find(table, plain, (new,)) is None
    assert keys.find(table, keys.digest(plain, old).hex(), (new, old)) is None
    assert keys.find(table, plain + "x", (new, old)) is None


def test_names_are_exact_or_patterns_and_none_means_all() -> None:
    assert "anything" in Names()
    assert "anything" in Names(["*"])
    names = Names(["gpt-4o", "claude-*"])
    assert "gpt-4o" in names
    assert "claude-opus" in names
    assert "gpt-4o-mini" not in names
    assert 7 not in names
