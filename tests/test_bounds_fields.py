"""No field of a request is overlooked: the specifications' own lists against the table, and the table against the code."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from routing.bound_demand import Demand
from routing.bound_fields import KNOWN
from routing.bounds import bound, demand
from tests import field_table, field_table_vendors, recordings
from tests.field_table import BASE, Row

SPECS = Path(__file__).resolve().parent.parent / "../shared/specs"
#: Path of a specification -> the endpoint. Of the others none uses a model, or the gateway has none.
PATHS = {
    "/chat/completions": "chat",
    "/completions": "completions",
    "/responses": "responses",
    "/responses/compact": "responses.compact",
    "/embeddings": "embeddings",
    "/images/generations": "images.generations",
    "/images/edits": "images.edits",
    "/images/variations": "images.variations",
    "/audio/speech": "audio.speech",
    "/audio/transcriptions": "audio.transcriptions",
    "/audio/translations": "audio.translations",
    "/moderations": "moderations",
}
RECORDED = {
    "openai.chat": "chat",
    "openai.completions": "completions",
    "openai.responses": "responses",
    "openai.embeddings": "embeddings",
    "anthropic.messages": "messages",
    "gemini.generateContent": "generate",
    "gemini.streamGenerateContent": "generate",
    "gemini.embedContent": "generate.embed",
}
FORMS = ("images.variations", "audio.transcriptions", "audio.translations")
BOUNDARY = "multipart/form-data; boundary=b"


def fields(schemas: dict[str, Any], schema: dict[str, Any], seen: tuple[str, ...] = ()) -> set[str]:
    """The properties of an object, those of what it is composed of included."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return set() if name in seen else fields(schemas, schemas[name], (*seen, name))
    parts = [each for kind in ("allOf", "anyOf", "oneOf") for each in schema.get(kind, ())]
    return set(schema.get("properties", ())).union(*(fields(schemas, each, seen) for each in parts))


@cache
def specified() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for file in sorted(SPECS.glob("*.json")):
        spec = json.loads(file.read_text())
        for path, operations in spec["paths"].items():
            endpoint = PATHS.get(path.partition("?")[0])
            content = operations.get("post", {}).get("requestBody", {}).get("content", {})
            for media in content.values() if endpoint else ():
                names = fields(spec["components"]["schemas"], media["schema"])
                found.setdefault(endpoint or "", set()).update(names)
    if not found:
        reason = f"no specifications in {SPECS}"
        (pytest.fail if os.environ.get("GATEWAY_REQUIRE_ALL") == "1" else pytest.skip)(reason)
    return {endpoint: frozenset(names) for endpoint, names in found.items()}


def rows(table: Any, endpoint: str) -> dict[str, Row]:
    harmless = table.HARMLESS.get(endpoint, {})
    quiet = {name: Row("harmless", reason) for reason, names in harmless.items() for name in names.split()}
    active: dict[str, Row] = table.ACTIVE.get(endpoint, {})
    assert not quiet.keys() & active.keys()
    return quiet | active


def all_rows(endpoint: str) -> dict[str, Row]:
    return rows(field_table, endpoint) | rows(field_table_vendors, endpoint)


ROWS = [(endpoint, name, row) for endpoint in BASE for name, row in all_rows(endpoint).items()]


@pytest.mark.parametrize("endpoint", PATHS.values())
def test_the_table_has_the_fields_of_the_specifications_and_no_others(endpoint: str) -> None:
    names = rows(field_table, endpoint).keys()
    assert specified()[endpoint] - names == set(), "fields without a row"
    assert names - specified()[endpoint] == set(), "rows without a field"
    assert not rows(field_table_vendors, endpoint).keys() & specified()[endpoint]


@pytest.mark.parametrize("api", RECORDED)
def test_every_recorded_field_has_a_row(api: str) -> None:
    bodies = [each.request_body for each in recordings.require() if each.api == api]
    assert {name for body in bodies for name in body} - all_rows(RECORDED[api]).keys() == set()


@pytest.mark.parametrize("endpoint", BASE)
def test_the_code_knows_what_the_table_does_not_refuse(endpoint: str) -> None:
    told = all_rows(endpoint)
    known = {name for name, row in told.items() if row.kind != "refused"}
    refused = {name for name, row in told.items() if row.kind == "refused"}
    assert known - KNOWN[endpoint] == set()
    missing = KNOWN[endpoint] - known - refused
    assert missing == (_elsewhere(endpoint) & missing), "known to the code, and not in the table"


def _elsewhere(endpoint: str) -> set[str]:
    """What only the endpoint with the longer request has."""
    return set(all_rows("responses")) if endpoint == "responses.compact" else set()


def form(parts: dict[str, Any]) -> bytes:
    found = b""
    for name, value in parts.items():
        file = b'; filename="f"\r\nContent-Type: application/octet-stream' if isinstance(value, bytes) else b""
        data = value if isinstance(value, bytes) else str(value).encode()
        found += b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), file, data)
    return found + b"--b--\r\n"


def asked(endpoint: str, doc: dict[str, Any]) -> Demand:
    if endpoint in FORMS or any(isinstance(value, bytes) for value in doc.values()):
        file = {"file": b"ID3\x00"} if endpoint.startswith("audio") else {}
        return demand(endpoint, {"model": "m"}, form(file | doc), BOUNDARY)
    return demand(endpoint, doc, orjson.dumps(doc))


def with_field(endpoint: str, name: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The least request, and the one with the field: in a form where it is a file."""
    base = dict(BASE[endpoint])
    if isinstance(value, bytes) and endpoint == "images.edits":
        base["images"] = b"\x89PNG"
        base = {"model": "m", "prompt": "Hi", "mask": b"\x89PNG"}
    if name == "max_tool_calls":
        base["tools"] = [{"type": "web_search"}]
    return base, {**base, name: value}


@pytest.mark.parametrize(("endpoint", "name", "row"), ROWS, ids=[f"{e}-{n}" for e, n, _ in ROWS])
def test_the_code_does_what_the_row_says(endpoint: str, name: str, row: Row) -> None:
    base, changed = with_field(endpoint, name, row.value if row.kind != "harmless" else "x")
    before, after = asked(endpoint, base), asked(endpoint, changed)
    assert before.unbounded == ()
    alike = _beside_text(before) == _beside_text(after)
    if row.kind == "harmless":
        assert alike and after.unbounded == ()
        assert len(row.reason.split()) == 1
    elif row.kind == "refused":
        assert name in after.unbounded
    elif row.kind == "priced":
        assert (after.tiers, after.without) != (before.tiers, before.without) and after.unbounded == ()
    else:
        assert after.unbounded == () and _weight(after) > _weight(before) and (row.reason == "text") == alike


def _beside_text(found: Demand) -> Demand:
    """Of a form with a sound the length counts, other fields included."""
    if found.endpoint in FORMS[1:] and found.counted["audio_ms"] < 10_000:
        found = found._replace(cap=0, counted={})
    return found._replace(text=0, plain=False)


def _weight(found: Demand) -> tuple[int, ...]:
    """What the bound is made of, for a model with room for a million tokens."""
    api = found.endpoint.partition(".")[0]
    made = bound(found, api, 1_000_000, uses=0)
    counted = sum(made.units.counted.values())
    return (made.units.input_tokens + made.units.output_tokens + counted,)
