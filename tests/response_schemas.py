"""The OpenResponses and OpenAI documents as validators, read from outside the project (``GATEWAY_SPECS``)."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]
REPOSITORY = Path(__file__).resolve().parent.parent
OPENRESPONSES = "openresponses-2026-04-24.json"
OPENAI = "openai-2026-08-21.json"


@cache
def document(name: str) -> Json:
    """A skip that says why where it is absent; a failure where nothing may be skipped."""
    path = REPOSITORY / os.environ.get("GATEWAY_SPECS", "../shared/specs") / name
    if path.exists():
        found: Json = json.loads(path.read_text(encoding="utf-8"))
        if name == OPENRESPONSES:
            # The document lets the echoed schema only be null, which no server does: OpenAI echoes what was asked.
            form = found["components"]["schemas"]["JsonSchemaResponseFormat"]
            form["properties"]["schema"] = {"anyOf": [{"type": "object"}, {"type": "null"}]}
        else:
            any_of(found)
        return found
    reason = f"no {path} (GATEWAY_SPECS)"
    if os.environ.get("GATEWAY_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def any_of(schema: Any) -> None:
    """Makes each ``oneOf`` an ``anyOf``: OpenAI's branches overlap, a user's message being two kinds of item at once."""
    if isinstance(schema, dict):
        if isinstance(schema.get("oneOf"), list):
            schema["anyOf"] = schema.pop("oneOf")
        for value in schema.values():
            any_of(value)
    elif isinstance(schema, list):
        for value in schema:
            any_of(value)


@cache
def validator(name: str, schema: str) -> Any:
    """Of one component of the document ``name``. Unions with a discriminator are narrowed to the branch that it
    names: an error then says what is wrong, and branches that accept anything cannot hide it."""
    jsonschema = pytest.importorskip("jsonschema")
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    registry: Any = Registry().with_resource("doc", DRAFT202012.create_resource(document(name)))
    return jsonschema.Draft202012Validator({"$ref": f"doc#/components/schemas/{schema}"}, registry=registry)


@cache
def event_schemas(name: str) -> dict[str, str]:
    """Type of a stream's event -> component that describes it."""
    found: dict[str, str] = {}
    for schema, body in document(name)["components"]["schemas"].items():
        kind = body.get("properties", {}).get("type", {})
        words = kind.get("enum") or [kind.get("const")]
        ours = schema.endswith("StreamingEvent") if name == OPENRESPONSES else schema.endswith("Event")
        for word in words:
            named = isinstance(word, str) and (word.startswith("response.") or word == "error")
            if named and ours and not schema.startswith(("Realtime", "Beta")):
                found.setdefault(word, schema)
    return found


def faults(name: str, schema: str, doc: Json) -> list[str]:
    """The deepest error of each fault, as ``path: message``."""
    best = pytest.importorskip("jsonschema.exceptions").best_match
    error = best(validator(name, schema).iter_errors(doc))
    return [] if error is None else [f"{error.json_path}: {error.message[:200]}"]
