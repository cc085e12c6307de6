"""A disk that fails when it is told to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


class Faulty:
    """``os`` as ``tenants.spool_segment`` uses it. ``errors`` maps a function to the errno of its next calls, all of them;
    ``room`` is how many bytes more may be written before they fail, so that one write can be a short one."""

    def __init__(self) -> None:
        self.errors: dict[str, int] = {}
        self.room: int | None = None
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._wrapped(name, real) if name in ("write", "open", "ftruncate", "fdatasync", "fsync") else real

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            self.calls.append(name)
            if name == "write" and self.room is not None and "write" in self.errors:
                args = (args[0], args[1][: self.room])
                if args[1]:
                    self.room -= len(args[1])
                    return real(*args)
            if name in self.errors:
                raise OSError(self.errors[name], os.strerror(self.errors[name]))
            return real(*args)

        return call

    def heal(self) -> None:
        self.errors, self.room = {}, None


def install(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    faulty = Faulty()
    monkeypatch.setattr("tenants.spool_segment.os", faulty)
    monkeypatch.setattr("tenants.spool._RETRY", 0)
    return faulty


def tear(path: Path, garbage: bytes) -> None:
    """Leave behind the records what a broken write may."""
    with path.open("ab") as file:
        file.write(garbage)
