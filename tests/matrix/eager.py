"""The Anthropic SDK's request types made strict: names that they do not know are errors, and lists are read at once.

As they stand, pydantic ignores what a TypedDict does not name, and takes ``Iterable`` for something to be read later.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, InstanceOf, TypeAdapter
from typing_extensions import NotRequired, Required, TypedDict, get_type_hints, is_typeddict


class Strict:
    """Makes types strict, each once."""

    def __init__(self) -> None:
        self.made: dict[Any, Any] = {}

    def strict(self, kind: Any) -> Any:
        if is_typeddict(kind):
            if kind not in self.made:
                self.made[kind] = self._dict(kind)
            return self.made[kind]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return InstanceOf[kind]  # parts of a reply, which may be given as they are
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (Required, NotRequired, Annotated):
            return self.strict(inner[0])
        if origin in (Union, types.UnionType):
            return Union[tuple(map(self.strict, inner))]  # noqa: UP007  made of a list
        return list[self.strict(inner[0])] if origin in (Iterable, Sequence, list) else kind  # type: ignore[misc]

    def _dict(self, kind: Any) -> Any:
        hints = get_type_hints(kind)
        fields = {
            name: Required[self.strict(hint)] if name in kind.__required_keys__ else NotRequired[self.strict(hint)]
            for name, hint in hints.items()
        }
        made: Any = TypedDict(kind.__name__, fields)  # type: ignore[misc]
        made.__pydantic_config__ = ConfigDict(extra="forbid")
        return made


def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Strict().strict(kind))
