"""What the environment says of a provider, before there is a row of it. Knows no database: settings are made of it."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_BYTE_SECONDS = 600.0
RETRIES = 2


@dataclass(frozen=True, slots=True)
class Vendor:
    """A provider to be: its kind is its name."""

    kind: str
    api_key: str = field(default="", repr=False)
    base_url: str = ""
    timeout: float = FIRST_BYTE_SECONDS
    max_retries: int = RETRIES
