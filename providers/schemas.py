"""JSON schemas made fit for one upstream: what it does not know is dropped, never what it does.

A ``$ref`` cycle is kept as a reference where the upstream takes references; else it ends in an object without limits.
"""

from __future__ import annotations

from typing import Any

from providers.chat import Json

EMPTY: Json = {"type": "object", "properties": {}}
#: Members that hold schemas: one, a list of them, or a map by name.
ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
MANY = ("anyOf", "allOf", "oneOf", "prefixItems")
NAMED = ("properties", "$defs", "definitions", "patternProperties")
#: Gemini's ``Schema`` message knows these and refuses all others.
GEMINI = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering",
    "default", "items", "minimum", "maximum",
}  # fmt: skip
#: What its JSON schema members know.
GEMINI_JSON = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems",
    "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required",
    "propertyOrdering", "default", "minLength", "maxLength", "pattern",
}  # fmt: skip
GEMINI_FORMATS = {"string": ("enum", "date-time"), "integer": ("int32", "int64"), "number": ("float", "double")}
#: What Anthropic's structured output refuses; it asks SDKs to move these into the description.
ANTHROPIC_REFUSED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems",
    "uniqueItems",
)  # fmt: skip
DEEPEST = 64
#: Objects that references may be written out to; each that stands for two more would fill any memory.
MOST = 10_000


def walked(schema: Any, visit: Any, depth: int = 0) -> Any:
    """``schema`` with ``visit`` applied to each object schema in it, innermost first."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return schema
    found: Json = {}
    for name, value in schema.items():
        if name in ONE:
            found[name] = walked(value, visit, depth + 1)
        elif name in MANY and isinstance(value, list):
            found[name] = [walked(item, visit, depth + 1) for item in value]
        elif name in NAMED and isinstance(value, dict):
            found[name] = {key: walked(item, visit, depth + 1) for key, item in value.items()}
        else:
            found[name] = value
    return visit(found)


def inlined(schema: Json) -> Json:
    """``schema`` with its local references put in their place; a cycle ends in an object without limits."""
    return _Inlining(schema).run(schema, (), 0)  # type: ignore[no-any-return]


def _target(reference: str, root: Json) -> Any:
    found: Any = root
    for name in reference.removeprefix("#/").split("/"):
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


class _Inlining:
    def __init__(self, root: Json) -> None:
        self.root = root
        self.left = MOST

    def run(self, schema: Any, seen: tuple[str, ...], depth: int) -> Any:
        if depth > DEEPEST:
            return {"type": "object"} if isinstance(schema, dict) and "$ref" in schema else schema
        if isinstance(schema, list):
            return [self.run(item, seen, depth + 1) for item in schema]
        if not isinstance(schema, dict):
            return schema
        self.left -= 1
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._referred(schema, reference, seen, depth)
        kept = {name: item for name, item in schema.items() if name not in ("$defs", "definitions")}
        return {name: self.run(item, seen, depth + 1) for name, item in kept.items()}

    def _referred(self, schema: Json, reference: str, seen: tuple[str, ...], depth: int) -> Json:
        rest = {name: item for name, item in schema.items() if name != "$ref"}
        target = _target(reference, self.root)
        if reference in seen or not isinstance(target, dict) or self.left <= 0:
            return {"type": "object"} | rest
        return self.run(target, (*seen, reference), depth + 1) | rest  # type: ignore[no-any-return]


def for_gemini(schema: Json) -> Json:
    """``schema`` as Gemini's ``parameters`` and ``responseSchema`` take it."""
    return walked(inlined(schema), _gemini)  # type: ignore[no-any-return]


def for_gemini_json(schema: Json) -> Json:
    """``schema`` as Gemini's ``…JsonSchema`` members take it: JSON schema, but only a part of it."""
    return walked(schema, _gemini_json)  # type: ignore[no-any-return]


def _gemini_json(schema: Json) -> Json:
    found = dict(schema)
    if "const" in found:
        found.setdefault("enum", [found["const"]])
    return {name: value for name, value in found.items() if name in GEMINI_JSON}


def _gemini(schema: Json) -> Json:
    found = dict(schema)
    if "const" in found:
        found["enum"] = [found.pop("const")]
    variants = found.pop("oneOf", None) or found.pop("allOf", None)
    if variants and "anyOf" not in found:
        found["anyOf"] = variants
    _single_type(found)
    kind = found.get("type")
    if not isinstance(found.get("enum", []), list):
        del found["enum"]
    if "enum" in found and kind not in ("string", None):
        found["enum"] = [str(value) for value in found["enum"]]
        found["type"] = "string"
    elif "enum" in found:
        found["enum"] = [value for value in found["enum"] if isinstance(value, str)]
    if found.get("format") not in GEMINI_FORMATS.get(str(kind), ()):
        found.pop("format", None)
    if kind == "array":
        found.setdefault("items", {"type": "string"})
    return {name: value for name, value in found.items() if name in GEMINI}


def _single_type(found: Json) -> None:
    """Gemini has one type and ``nullable``; a list of types becomes variants."""
    kinds = found.get("type")
    if isinstance(kinds, list):
        plain = [kind for kind in kinds if kind != "null"]
        if len(plain) < len(kinds):
            found["nullable"] = True
        found.pop("type")
        if len(plain) == 1:
            found["type"] = plain[0]
        elif plain:
            found.setdefault("anyOf", [{"type": kind} for kind in plain])
    variants = found.get("anyOf")
    if isinstance(variants, list) and {"type": "null"} in variants:
        found["nullable"] = True
        rest = [variant for variant in variants if variant != {"type": "null"}]
        found["anyOf"] = rest
        if len(rest) == 1 and isinstance(rest[0], dict):
            del found["anyOf"]
            found.update(rest[0] | {name: value for name, value in found.items() if name != "type"})


def from_gemini(schema: Json) -> Json:
    """Gemini's ``Schema`` as JSON schema: its types are in capitals and null is a member of its own."""
    return walked(schema, _from_gemini)  # type: ignore[no-any-return]


def _from_gemini(schema: Json) -> Json:
    found = dict(schema)
    kind = found.get("type")
    if isinstance(kind, str):
        found["type"] = kind.lower()
    if found.pop("nullable", False) and isinstance(kind, str):
        found["type"] = [kind.lower(), "null"]
    found.pop("propertyOrdering", None)
    for name in ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"):
        if isinstance(found.get(name), str):  # int64 travels as text
            found[name] = int(found[name])
    return found


def for_anthropic_output(schema: Json) -> Json:
    """``schema`` as Anthropic's ``output_config.format`` takes it: closed objects, limits told in words."""
    return walked(schema, _anthropic)  # type: ignore[no-any-return]


def _anthropic(schema: Json) -> Json:
    found = {name: value for name, value in schema.items() if name not in ANTHROPIC_REFUSED}
    refused = {name: value for name, value in schema.items() if name in ANTHROPIC_REFUSED}
    if isinstance(found.get("minItems"), int) and found["minItems"] > 1:
        refused["minItems"] = found.pop("minItems")
    if refused:
        told = ", ".join(f"{name}: {value}" for name, value in refused.items())
        found["description"] = f"{found.get('description', '')}\n{{{told}}}".strip()
    if "oneOf" in found:
        found["anyOf"] = found.pop("oneOf")
    if found.get("type") == "object":
        found["additionalProperties"] = False
    return found


def strict_ready(schema: Json | None) -> bool:
    """Whether OpenAI's strict mode takes ``schema``: every object closed, with all its properties required."""
    loose: list[Json] = []

    def look(found: Json) -> Json:
        properties = found.get("properties")
        if found.get("type") == "object" or isinstance(properties, dict):
            names = set(properties) if isinstance(properties, dict) else set()
            required = found.get("required") or []
            if (
                found.get("additionalProperties") is not False
                or not isinstance(required, list)
                or names ^ {*map(str, required)}
            ):
                loose.append(found)
        return found

    walked(schema, look)
    return bool(schema) and not loose
