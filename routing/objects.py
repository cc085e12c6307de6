"""The upstream objects that a request names by id, and those that a reply makes.

A provider's account is shared by all tenants, so an id that a client names must be one that the same tenant was given
through this gateway; ``named`` finds the first, ``made`` the second. Wire names: OpenAI's and Anthropic's API
references, Gemini's ``cachedContent`` and Files API.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from providers.hints import has_any, is_text

Doc = dict[str, Any]
Found = tuple[str, str]  # (path of the field, id)
GEMINI_FILE: Final = re.compile(r"(?:^|generativelanguage\.googleapis\.com/v\w+/)(files/[^/?#]+)")

#: Fields that hold the id of an object, or a list of them, wherever in a body they stand.
ID_FIELDS: Final = frozenset(
    {"file_id", "container_id", "previous_response_id", "cachedContent", "cached_content", "ragCorpus", "rag_corpus"}
)
LIST_FIELDS: Final = frozenset({"file_ids", "vector_store_ids", "fileSearchStoreNames", "file_search_store_names"})
#: Fields that hold an id or an object with one.
OBJECT_FIELDS: Final = frozenset({"conversation", "container", "audio"})
URI_FIELDS: Final = frozenset({"fileUri", "file_uri"})
#: What lies below these is the client's own data or a schema, whatever its fields are called.
OPAQUE: Final = frozenset(
    {"parameters", "input_schema", "arguments", "args", "schema", "json_schema", "metadata", "response"}
)
TOOL_USES: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
#: Where a body has none of these names, nothing but plain values and turns of plain text names no object.
NAMING: Final = ID_FIELDS | LIST_FIELDS | OBJECT_FIELDS | URI_FIELDS | {"skill_id"}
#: No body names an object without one of these words, unless it hides it behind an escape.
WORDS: Final = tuple(
    rb"""_id "id" "audio" "container" "conversation" cachedContent cached_content fileUri file_uri StoreNames store_names
    ragCorpus rag_corpus \u00""".split()
)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _id_of(value: Any) -> str:
    return value if isinstance(value, str) else _text(value.get("id")) if isinstance(value, dict) else ""


def items(value: Any) -> list[Doc]:
    """The objects in a list; none in what is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def named(api: str, doc: Doc, body: bytes) -> list[Found]:
    """Every upstream id that this body names, with the path of its field."""
    if _plain(doc) or not has_any(body, WORDS):
        return []
    found: list[Found] = []
    stack: list[tuple[Any, str]] = [(doc, "")]
    while stack:
        node, path = stack.pop()
        if isinstance(node, dict):
            found += _in_object(node, path)
            tool_use = _text(node.get("type")) in TOOL_USES
            hidden = OPAQUE | {"input"} if tool_use else OPAQUE
            stack += [(value, f"{path}.{name}") for name, value in node.items() if name not in hidden and _deep(value)]
        else:
            stack += [(value, f"{path}[{n}]") for n, value in enumerate(node) if _deep(value)]
    if api == "responses":
        found += _references(doc)
    return [(path.lstrip("."), object_id) for path, object_id in found]


def _plain(doc: Doc) -> bool:
    """Whether there is nothing in which an object could be named, as in most bodies: values, and turns of plain text."""
    for name, value in doc.items():
        if value is None:
            continue
        if name in NAMING:
            return False
        if value.__class__ is list and not all(map(is_text, value)):
            return False
        if value.__class__ is dict and not _is_flat(value):
            return False
    return True


def _is_flat(settings: Doc) -> bool:
    return NAMING.isdisjoint(settings) and {dict, list}.isdisjoint(map(type, settings.values()))


def _deep(value: Any) -> bool:
    return isinstance(value, dict | list)


def _in_object(node: Doc, path: str) -> Iterator[Found]:
    for name, value in node.items():
        if name in ID_FIELDS and _text(value):
            yield f"{path}.{name}", value
        elif name in LIST_FIELDS and isinstance(value, list):
            yield from ((f"{path}.{name}[{n}]", item) for n, item in enumerate(value) if _text(item))
        elif name in OBJECT_FIELDS and (object_id := _id_of(value)):
            yield f"{path}.{name}", object_id
        elif name in URI_FIELDS and (match := GEMINI_FILE.search(_text(value))):
            yield f"{path}.{name}", match[1]
        elif name == "skill_id" and node.get("type") == "custom" and _text(value):
            yield f"{path}.{name}", value


def _references(doc: Doc) -> Iterator[Found]:
    """Items of a Responses input that stand for ones that the upstream keeps; a bare ``{"id": …}`` needs no type."""
    for n, item in enumerate(items(doc.get("input"))):
        bare = set(item) <= {"id", "type"} and item.get("type") is None
        if (item.get("type") == "item_reference" or bare) and _text(item.get("id")):
            yield f"input[{n}].id", item["id"]


def made(api: str, doc: Doc) -> Iterator[tuple[str, str]]:
    """(kind, id) of everything that a whole reply gave to the client and that a later request may name."""
    if api == "responses" and _text(doc.get("id")):
        yield "response", doc["id"]
        if found := _id_of(doc.get("conversation")):
            yield "conversation", found
        for item in items(doc.get("output")):
            yield from made_by_item(item)
    elif api == "chat":
        for choice in items(doc.get("choices")):
            message = choice.get("message") or choice.get("delta")
            if isinstance(message, dict) and (found := _id_of(message.get("audio"))):
                yield "audio", found
    elif api == "messages" and (found := _id_of(doc.get("container"))):
        yield "container", found


def made_by_item(item: Doc) -> Iterator[tuple[str, str]]:
    if found := _text(item.get("id")):
        yield "item", found
    if found := _text(item.get("container_id")):
        yield "container", found
