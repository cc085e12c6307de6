"""What installed packages add, once, at the start: provider kinds, and dialects that an upstream may speak.

An entry point of ``llm_gateway.providers`` is named as its kind and is a ``Preset``; one of ``llm_gateway.dialects`` is
named as its dialect and is a module, or whatever has the names of ``providers.dialects.Upstream``. What it must do beyond
having these names, ``providers.conformance`` checks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.parse import urlsplit

from providers.dialects import UPSTREAMS
from providers.presets import ALL_APIS, PRESETS, Preset
from providers.variants.registry import VARIANTS

KINDS, DIALECTS = "llm_gateway.providers", "llm_gateway.dialects"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
API = re.compile(r"[a-z0-9][a-z0-9._-]{0,19}")
AUTHS = ("bearer", "x-api-key", "x-goog-api-key", "api-key", "aws", "google", "none")
#: What the dialect of an upstream has, and with how many arguments each is called.
CALLED: dict[str, int] = {
    "FRAMES": 0,
    "url": 1,
    "headers": 1,
    "write_request": 2,
    "StreamReader": 1,
    "read_response": 2,
    "read_error": 2,
}


class PluginError(ValueError):
    """What is wrong with entry points, all of it, in words for the operator."""


@cache
def load() -> None:
    """Put what is installed into ``UPSTREAMS``, ``PRESETS`` and ``ALL_APIS``. Raises PluginError, with nothing put there."""
    problems: list[str] = []
    dialects = dict(_found(DIALECTS, UPSTREAMS, checked_dialect, problems))
    apis = [dialect.API for dialect in dialects.values()]
    taken = {api for api in apis if apis.count(api) > 1 or api in ALL_APIS}
    problems += [
        f"the dialect {name}: the API {one.API} is there already" for name, one in dialects.items() if one.API in taken
    ]
    kinds = dict(_found(KINDS, PRESETS, lambda name, found: checked_kind(found, apis), problems))
    if problems:
        raise PluginError("; ".join(problems))
    UPSTREAMS.update(dialects)
    ALL_APIS.extend(apis)
    PRESETS.update(kinds)


def _found(group: str, known: Any, check: Callable[[str, Any], Any], problems: list[str]) -> Iterator[tuple[str, Any]]:
    names: set[str] = set()
    for entry in sorted(entry_points(group=group)):
        try:
            if entry.name in known or entry.name in names:
                raise TypeError("the name is there already")
            if not NAME.fullmatch(entry.name):
                raise TypeError("a name has 1 to 40 of a-z 0-9 . _ -")
            names.add(entry.name)
            yield entry.name, check(entry.name, entry.load())
        except Exception as error:  # whatever a foreign module does while it is imported
            problems.append(f"{_place(entry)}: {str(error) or type(error).__name__}")


def _place(entry: EntryPoint) -> str:
    package = f" of the package {entry.dist.name}" if entry.dist is not None else ""
    return f"{entry.name} ({entry.value}{package}) in {entry.group}"


def checked_dialect(name: str, dialect: Any) -> Any:
    """``dialect`` if it has the names of an upstream's. Raises TypeError."""
    if missing := [each for each in ("NAME", "API", "NEEDS_DATA", *CALLED) if not hasattr(dialect, each)]:
        raise TypeError(f"it has no {', '.join(missing)}")
    if name != dialect.NAME:
        raise TypeError(f"its NAME is {dialect.NAME!r} and not {name!r}")
    if not isinstance(dialect.API, str) or not API.fullmatch(dialect.API):
        raise TypeError("its API must be 1 to 20 of a-z 0-9 . _ -")
    if not isinstance(dialect.NEEDS_DATA, frozenset) or not all(isinstance(part, type) for part in dialect.NEEDS_DATA):
        raise TypeError("its NEEDS_DATA must be a frozenset of the parts that it takes as data only")
    for each, count in CALLED.items():
        _check_takes(getattr(dialect, each), each, count)
    return dialect


def _check_takes(found: Any, name: str, count: int) -> None:
    try:
        inspect.signature(found).bind(*range(count))
    except (TypeError, ValueError):
        raise TypeError(f"its {name} must take {count} arguments") from None


def checked_kind(preset: Any, more_apis: list[str]) -> Preset:
    """``preset`` if it is one. Raises TypeError."""
    if not isinstance(preset, Preset):
        raise TypeError("it is no providers.presets.Preset")
    if not preset.title or not isinstance(preset.title, str):
        raise TypeError("its title must be a text")
    if preset.base_url and urlsplit(preset.base_url).scheme not in ("http", "https"):
        raise TypeError("its base_url must begin with https:// or http://, or be empty")
    if unknown := [api for api in preset.apis if api not in (*ALL_APIS, *more_apis)]:
        raise TypeError(f"there is no API {', '.join(unknown)}; there are {', '.join((*ALL_APIS, *more_apis))}")
    if not preset.apis or isinstance(preset.apis, str):
        raise TypeError("its apis must name at least one")
    for word, known in (
        ("auth", AUTHS),
        ("stream_usage", ("native", "ask")),
        ("variant", ("", *VARIANTS)),
    ):
        if getattr(preset, word) not in known:
            raise TypeError(f"its {word} must be one of {', '.join(filter(None, known))}")
    return preset
