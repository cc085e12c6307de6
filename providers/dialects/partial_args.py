"""Gemini's streamed arguments of a function call (``partialArgs``) as the JSON text that they amount to.

Vertex tells each value, or piece of a text, under its JSON path, in the order in which the model writes them; so their
text can be told on as it grows. A path that leads back to what was left is no such order: ValueError.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
DEEPEST = 64
Step = str | int


def steps_of(path: str) -> tuple[Step, ...]:
    """``$.a[0]['b c']`` as names and places."""
    found: list[Step] = []
    at = 1
    while at < len(path):
        step = STEP.match(path, at)
        if step is None:
            break
        name, place, single, double = step.groups()
        quoted = single if single is not None else double
        found.append(int(place) if place else name or ESCAPED.sub(r"\1", quoted))
        at = step.end()
    if not path.startswith("$") or at < len(path) or not found or len(found) > DEEPEST:
        raise ValueError(f"not a path that can be followed: {path}")
    return tuple(found)


class _Open:
    """An object or a list that is being written, what was written of it, and its newest member."""

    __slots__ = ("last", "listed", "names")

    def __init__(self, listed: bool) -> None:
        self.listed = listed
        self.names: set[Step] = set()
        self.last: Step = ""

    def begin(self, step: Step) -> str:
        """What stands before the value of the new member ``step``."""
        out_of_order = step != len(self.names) if self.listed else step in self.names
        if out_of_order or isinstance(step, int) != self.listed:
            raise ValueError(f"{step} comes out of order")
        comma = "," if self.names else ""
        self.names.add(step)
        self.last = step
        return comma if isinstance(step, int) else f"{comma}{orjson.dumps(step).decode()}:"


class PartialArgs:
    """``feed`` takes one partial argument and gives the text that it adds; ``end`` gives the rest."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.text: tuple[Step, ...] = ()  # the path of a text that may go on
        self.given: Any = None

    def whole(self, args: Any) -> None:
        """Arguments that came in one piece."""
        self.given = args

    def feed(self, arg: dict[str, Any]) -> str:
        steps = steps_of(arg["jsonPath"])
        value = _value(arg)
        if isinstance(value, str) and steps == self.text:
            return _inside(value)
        told = self._lead(steps)
        if not isinstance(value, str):
            return told + orjson.dumps(value).decode()
        self.text = steps
        return f'{told}"{_inside(value)}'

    def _lead(self, steps: tuple[Step, ...]) -> str:
        """Close what ``steps`` is not in, and open what it is in."""
        told = self._end_text()
        if not self.open:
            self.open, told = [_Open(False)], "{"
        shared = 0
        while shared + 1 < min(len(steps), len(self.open)) and self.open[shared].last == steps[shared]:
            shared += 1
        told += self._close(shared + 1)
        for at in range(shared, len(steps)):
            told += self.open[at].begin(steps[at])
            if at + 1 < len(steps):
                listed = isinstance(steps[at + 1], int)
                self.open.append(_Open(listed))
                told += "[" if listed else "{"
        return told

    def _end_text(self) -> str:
        told, self.text = '"' if self.text else "", ()
        return told

    def _close(self, left: int) -> str:
        closed, self.open = self.open[left:], self.open[:left]
        return "".join("]" if each.listed else "}" for each in reversed(closed))

    def end(self) -> str:
        if not self.open:
            return orjson.dumps(self.given or {}).decode()
        return self._end_text() + self._close(0)


def _value(arg: dict[str, Any]) -> Any:
    if "boolValue" in arg:
        return bool(arg["boolValue"])
    if "numberValue" in arg:
        return arg["numberValue"] + 0  # TypeError of what is no number
    if "stringValue" in arg:
        return arg["stringValue"]
    return None if "nullValue" in arg else ""


def _inside(text: str) -> str:
    """``text`` as it stands between quotes."""
    return orjson.dumps(text).decode()[1:-1]
