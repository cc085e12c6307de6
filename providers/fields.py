"""Takes typed members out of a JSON object and keeps what was not asked for.

A null member counts as absent. A member of the wrong type is a BadRequest that says where.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from providers.chat import BadRequest, Chat, Json


class Fields:
    """The members of ``doc`` (an object, else BadRequest) that are not null; each ``take`` removes one."""

    __slots__ = ("left", "path")

    def __init__(self, doc: Any, path: str = "") -> None:
        if not isinstance(doc, dict):
            raise BadRequest(path or "body", "must be an object")
        self.path = path
        self.left: Json = {name: value for name, value in doc.items() if value is not None}

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def wrong(self, name: str, wanted: str) -> BadRequest:
        return BadRequest(self.at(name), f"must be {wanted}")

    def any(self, *names: str) -> Any:
        """The first of ``names`` that is there, else None."""
        for name in names:
            if name in self.left:
                return self.left.pop(name)
        return None

    def text(self, name: str, default: str = "") -> str:
        value = self.left.pop(name, None)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def need_text(self, name: str) -> str:
        if name not in self.left:
            raise BadRequest(self.at(name), "is required")
        return self.text(name)

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if name in self.left else None

    def number(self, name: str) -> float | None:
        value = self.left.pop(name, None)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.wrong(name, "a number")
        return value

    def integer(self, name: str) -> int | None:
        value = self.left.pop(name, None)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.wrong(name, "an integer")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.left.pop(name, None)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def items(self, name: str) -> list[Any]:
        value = self.left.pop(name, None)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        return value

    def texts(self, name: str) -> list[str]:
        found = self.items(name)
        if not all(isinstance(item, str) for item in found):
            raise self.wrong(name, "a list of strings")
        return found

    def object(self, name: str) -> Json | None:
        value = self.left.pop(name, None)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return value

    def inner(self, name: str) -> Fields | None:
        """The object ``name`` as Fields of its own; None where it is absent."""
        value = self.left.pop(name, None)
        return None if value is None else Fields(value, self.at(name))


def present(**members: Any) -> Json:
    """A JSON object of the members that are not None, empty text, list or object."""
    return {
        name: value
        for name, value in members.items()
        if value is not None and value != "" and value != [] and value != {}
    }


def guarded(read: Callable[[Any, str], Chat]) -> Callable[..., Chat]:
    """``read`` whose every failure over a client's garbage is a BadRequest."""

    @wraps(read)
    def reading(doc: Any, path_info: str = "") -> Chat:
        try:
            return read(doc, path_info)
        except BadRequest:
            raise
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise BadRequest("body", "is not a request of this API") from error

    return reading
