"""The Anthropic SDK's request types made strict: names that they do not know are errors, and lists are read at once.

As they stand, pydantic ignores what a TypedDict does not name, and takes ``Iterable`` for something to be read later.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from io import IOBase
from typing import IO, Annotated, Any, NotRequired, Required, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, InstanceOf, TypeAdapter
from typing_extensions import TypedDict, get_type_hints, is_typeddict

#: Both are made of types that are only known when this runs.
instance_of: Any = InstanceOf
typed_dict: Any = TypedDict


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
            return instance_of[kind]  # parts of a reply, which may be given as they are
        origin, inner = get_origin(kind), get_args(kind)
        if origin is IO:
            return instance_of[IOBase]
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
        made = typed_dict(kind.__name__, fields)
        made.__pydantic_config__ = ConfigDict(extra="forbid")
        return made


def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Strict().strict(kind))
