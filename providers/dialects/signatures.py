"""Signatures of reasoning that pass through a client who speaks another dialect than their maker.

A client hands back what it was given, so the maker's name travels inside: ``gw1.<dialect>.<form>.<signature>``.
Upstreams refuse signatures that are not their own, hence a writer must know whose it holds.
"""

from __future__ import annotations

PREFIX = "gw1."


def tag(signature: str, signed_by: str, form: str, own: str) -> str:
    """What a client of the dialect ``own`` is given."""
    if signed_by == own:
        return signature
    return f"{PREFIX}{signed_by}.{form}.{signature}"


def untag(text: str, own: str) -> tuple[str, str, str]:
    """(signature, signed_by, form) of what a client of the dialect ``own`` sent."""
    pieces = text.split(".", 3)
    if not text.startswith(PREFIX) or len(pieces) < 4:
        return text, own, ""
    return pieces[3], pieces[1], pieces[2]
