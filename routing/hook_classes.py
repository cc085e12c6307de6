"""Which classes can be hooks: those that are named in the settings, by entry points, or shipped; nothing else is imported."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points

from routing.hook_options import options_class, options_schema

GROUP = "llm_gateway.hooks"
#: What a class may implement, and how many arguments each method takes beside ``self``.
PHASES: dict[str, int] = {
    "authenticate": 1,
    "before_request": 1,
    "choose": 2,
    "before_attempt": 2,
    "on_event": 2,
    "after_response": 3,
    "on_error": 2,
}
#: With ``on_event`` only: the stream is over.
BESIDE = {"on_end": 1}
LOOKS_LIKE = ("before_", "after_", "on_")
DECLARED = frozenset({"on_failure"})


class HookSettingError(ValueError):
    """What is wrong with the names of hooks, all of it, in words for the operator."""


def load(names: Iterable[str], group: str = GROUP) -> dict[str, type]:
    """The classes by the names under which they can be chosen: ``module:Class``, or what an entry point calls its own.

    Raises HookSettingError."""
    found, problems = gather(((name, name) for name in names), group)
    if problems:
        raise HookSettingError("; ".join(problems))
    return found


def gather(named: Iterable[tuple[str, str]], group: str = GROUP) -> tuple[dict[str, type], list[str]]:
    """As ``load``, of pairs of a name and its ``module:Class``: what is right, and what is wrong with the rest."""
    found: dict[str, type] = {}
    problems = []
    every: list[tuple[str, str | EntryPoint]] = [*named, *_installed(group)]
    for name, entry in every:
        try:
            if name in found:
                raise TypeError("the name stands for two classes")
            found[name] = checked(_class(entry) if isinstance(entry, str) else entry.load())
        except Exception as error:  # whatever a foreign module does while it is imported
            problems.append(f"{name}: {str(error) or type(error).__name__}")
    return found, problems


def _installed(group: str) -> Iterator[tuple[str, EntryPoint]]:
    for entry in sorted(entry_points(group=group)) if group else ():
        yield entry.name, entry


def _class(name: str) -> object:
    module, colon, attribute = name.partition(":")
    if not colon:
        raise TypeError("a hook is named as module:Class")
    return getattr(importlib.import_module(module), attribute)


def phases(hook: type) -> list[str]:
    return [phase for phase in PHASES if callable(getattr(hook, phase, None))]


def checked(hook: object) -> type:
    """``hook`` if it can be one. Raises TypeError."""
    if not isinstance(hook, type):
        raise TypeError("it is not a class")
    if not phases(hook):
        raise TypeError(f"it has none of the methods {', '.join(PHASES)}")
    known = {**PHASES, **BESIDE}
    for name in dir(hook):
        if name.startswith(LOOKS_LIKE) and name not in known and name not in DECLARED and callable(getattr(hook, name)):
            raise TypeError(f"{name} is not a phase: those are {', '.join(known)}")
    for name, count in known.items():
        if callable(method := getattr(hook, name, None)):
            _check_takes(method, name, count + 1)
    if getattr(hook, "on_failure", "closed") not in ("open", "closed"):
        raise TypeError("on_failure must be open or closed")
    seconds = getattr(hook, "seconds", 1)
    if not isinstance(seconds, int | float) or seconds <= 0:
        raise TypeError("seconds must be a number above 0")
    options_schema(options_class(hook))
    return hook


def _check_takes(method: object, name: str, count: int) -> None:
    try:
        inspect.signature(method).bind(*range(count))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must take {count - 1} arguments") from None
