"""The options of a hook: the fields of a frozen dataclass are the form, the JSON schema and the check.

A field's type is ``str``, ``int``, ``float``, ``bool``, a ``Literal``, ``tuple[…, ...]`` or ``dict[str, …]`` of these.
What takes more than a type to check, ``__post_init__`` does: its ValueError is told to whoever edits the options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Json = dict[str, Any]
T = TypeVar("T")
SCALARS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}
WORDS = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"} | {
    "array": "a list",
    "object": "an object",
}


class OptionError(ValueError):
    """``field`` is the path of the option, "" for all of them."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    secret: bool = False,
) -> Any:
    """A field with words and bounds for the form. ``secret``: shown to nobody once it is set."""
    facts = {"description": help, "minimum": minimum, "maximum": maximum, "writeOnly": secret or None}
    metadata = {name: value for name, value in facts.items() if value not in (None, "")}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """Of a hook that declares none."""


def options_class(hook: type) -> type[Any]:
    """The ``Options`` of a hook's class. Raises TypeError if they cannot be such."""
    found = getattr(hook, "Options", NoOptions)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found) and found.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise TypeError("Options must be a frozen dataclass")
    return found


def options_schema(options: type[Any]) -> Json:
    """The JSON schema of an options class. Raises TypeError for a field that has no schema."""
    hints = get_type_hints(options)
    properties: Json = {}
    required = []
    for field in dataclasses.fields(options):
        schema = {**_schema(hints[field.name]), **field.metadata}
        if field.default is not dataclasses.MISSING:
            schema["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
        elif field.default_factory is not dataclasses.MISSING:
            schema["default"] = field.default_factory()
        else:
            required.append(field.name)
        properties[field.name] = schema
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _schema(hint: Any) -> Json:
    if hint in SCALARS:
        return {"type": SCALARS[hint]}
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": list(inner)}
    if get_origin(hint) is tuple and len(inner) == 2 and inner[1] is ...:
        return {"type": "array", "items": _schema(inner[0])}
    if get_origin(hint) is dict and inner[0] is str:
        return {"type": "object", "additionalProperties": _schema(inner[1])}
    raise TypeError(f"an option cannot be of the type {hint}")


def read_options(options: type[T], doc: Any) -> T:
    """The options that ``doc``, parsed JSON, holds. Raises OptionError."""
    schema = options_schema(options)
    if not isinstance(doc, Mapping):
        raise OptionError("", "the options must be an object")
    if unknown := sorted(set(doc) - set(schema["properties"])):
        raise OptionError(str(unknown[0]), "is not an option of this hook")
    if missing := [name for name in schema["required"] if name not in doc]:
        raise OptionError(missing[0], "is required")
    values = {name: _value(schema["properties"][name], value, name) for name, value in doc.items()}
    try:
        return options(**values)
    except OptionError:
        raise
    except ValueError as error:
        raise OptionError("", str(error)) from None


def _value(schema: Json, value: Any, path: str) -> Any:
    kind = schema["type"]
    _check_type(kind, value, path)
    if "enum" in schema and value not in schema["enum"]:
        raise OptionError(path, f"must be one of {', '.join(schema['enum'])}")
    if "minimum" in schema and value < schema["minimum"]:
        raise OptionError(path, f"must be at least {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        raise OptionError(path, f"must be at most {schema['maximum']}")
    if kind == "array":
        return tuple(_value(schema["items"], item, f"{path}[{n}]") for n, item in enumerate(value))
    if kind == "object":
        inner = schema["additionalProperties"]
        return {name: _value(inner, item, f"{path}.{name}") for name, item in value.items()}
    return value


def _check_type(kind: str, value: object, path: str) -> None:
    if not isinstance(value, PYTHON[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise OptionError(path, f"must be {WORDS[kind]}")
