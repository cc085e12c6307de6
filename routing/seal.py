"""Seals what a client carries for us and must neither read nor forge."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Seal:
    """The first of ``keys`` seals, all open; without any, one of this process only."""

    def __init__(self, keys: Sequence[str | bytes] = ()) -> None:
        self._box = MultiFernet([Fernet(key) for key in keys or [Fernet.generate_key()]])

    def close(self, label: str, text: str) -> str:
        return self._box.encrypt(f"{label}\n{text}".encode()).decode()

    def open(self, label: str, sealed: str) -> str | None:
        """The text; None where it was not sealed here, or under another label."""
        try:
            found, _, text = self._box.decrypt(sealed.encode()).decode().partition("\n")
        except (InvalidToken, ValueError):
            return None
        return text if found == label else None
