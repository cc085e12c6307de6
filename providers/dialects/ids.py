"""Ids that a writer makes where the upstream told none."""

from __future__ import annotations

import secrets


def made(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(16)}"
