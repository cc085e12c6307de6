"""By what one sees that a body need not be looked at more closely."""

from __future__ import annotations

from typing import Any


def has(data: bytes, word: bytes) -> bool:
    """``word in data``, for which Python first tries to take the word for a number, and makes an error of that."""
    return data.find(word) >= 0


def has_any(data: bytes, words: tuple[bytes, ...]) -> bool:
    """Whether one of ``words`` is in ``data``. A regular expression of all takes fifty times as long."""
    find = data.find
    for word in words:
        if find(word) >= 0:
            break
    else:
        return False
    return True


def is_text(turn: Any) -> bool:
    """Whether a turn is a role and a text, and nothing else."""
    if turn.__class__ is not dict or len(turn) != 2:
        return False
    return turn.get("role").__class__ is turn.get("content").__class__ is str
