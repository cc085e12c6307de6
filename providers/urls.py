"""Joins base URLs and paths by whole segments, so that ``…/v1`` and ``/v1/…`` never become ``/v1/v1``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

VERSION: Final = re.compile(r"v\d+(alpha|beta)?\d*\Z")


def _overlap(base: list[str], path: list[str]) -> int:
    """How many last segments of ``base`` are the first of ``path``."""
    for count in range(min(len(base), len(path)), 0, -1):
        if base[-count:] == path[:count]:
            return count
    return 0


@lru_cache(4096)
def join(base_url: str, path: str, strip_path: str = "") -> str:
    """``path`` (percent-encoded, with its API version) below ``base_url``.

    The leading ``strip_path`` is dropped from the path; segments that end the base and start the path stand once;
    a base that ends in a version of its own keeps it: ``https://x/v4`` + ``/v1/chat`` is ``https://x/v4/chat``.
    """
    parts = urlsplit(base_url)
    base = [segment for segment in parts.path.split("/") if segment]
    rest = [segment for segment in path.split("/") if segment]
    strip = [segment for segment in strip_path.split("/") if segment]
    if strip and rest[: len(strip)] == strip:
        rest = rest[len(strip) :]
    overlap = _overlap(base, rest)
    if not overlap and base and rest and VERSION.match(base[-1]) and VERSION.match(rest[0]):
        overlap = 1
    return f"{parts.scheme}://{parts.netloc}/{'/'.join(base + rest[overlap:])}"
