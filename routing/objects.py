"""The upstream objects that a request names by id, and those that a reply makes.

A provider's account is shared by all tenants, so an id that a client names must be one that the same tenant was given
through this gateway; ``named`` finds the first, ``made`` the second. Wire names: OpenAI's and Anthropic's API
references, Gemini's ``cachedContent`` and Files API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Doc = dict[str, Any]
Found = tuple[str, str]  # (path of the field, id)
GEMINI_FILE = re.compile(r"(?:^|generativelanguage\.googleapis\.com/v\w+/)(files/[^/?#]+)")


def _items(value: Any) -> Iterator[Doc]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _files(value: Any, path: str) -> Iterator[Found]:
    """Every ``file_id`` and ``file_ids`` below ``value``."""
    stack: list[tuple[Any, str]] = [(value, path)]
    while stack:
        node, here = stack.pop()
        if isinstance(node, list):
            stack.extend((item, f"{here}[{n}]") for n, item in enumerate(node) if isinstance(item, dict | list))
        elif isinstance(node, dict):
            if file_id := _text(node.get("file_id")):
                yield f"{here}.file_id", file_id
            if isinstance(node.get("file_ids"), list):
                yield from ((f"{here}.file_ids[{n}]", _text(v)) for n, v in enumerate(node["file_ids"]) if _text(v))
            stack.extend((item, f"{here}.{name}") for name, item in node.items() if isinstance(item, dict | list))


def _tools(doc: Doc) -> Iterator[Found]:
    for n, tool in enumerate(_items(doc.get("tools"))):
        stores = tool.get("vector_store_ids")
        if isinstance(stores, list):
            yield from ((f"tools[{n}].vector_store_ids[{m}]", _text(v)) for m, v in enumerate(stores) if _text(v))
        container = tool.get("container")
        if isinstance(container, str):
            yield f"tools[{n}].container", container
        elif isinstance(container, dict):
            yield from _files(container, f"tools[{n}].container")


def _id_of(value: Any) -> str:
    return value if isinstance(value, str) else _text(value.get("id")) if isinstance(value, dict) else ""


def _responses(doc: Doc) -> Iterator[Found]:
    for name in ("previous_response_id", "conversation"):
        if found := _id_of(doc.get(name)):
            yield name, found
    for n, item in enumerate(_items(doc.get("input"))):
        # A bare {"id": …} is a reference too: the type may be left out.
        if item.get("type") == "item_reference" or (set(item) <= {"id", "type"} and item.get("type") is None):
            if found := _text(item.get("id")):
                yield f"input[{n}].id", found
        if found := _text(item.get("container_id")):
            yield f"input[{n}].container_id", found
    yield from _files(doc.get("input"), "input")
    yield from _tools(doc)


def _chat(doc: Doc) -> Iterator[Found]:
    for n, message in enumerate(_items(doc.get("messages"))):
        if found := _id_of(message.get("audio")):
            yield f"messages[{n}].audio.id", found
        yield from _files(message.get("content"), f"messages[{n}].content")
    yield from _tools(doc)


def _messages(doc: Doc) -> Iterator[Found]:
    if found := _id_of(doc.get("container")):
        yield "container", found
    yield from _files(doc.get("messages"), "messages")
    yield from _files(doc.get("system"), "system")


def _generate(doc: Doc) -> Iterator[Found]:
    for name in ("cachedContent", "cached_content"):
        if found := _text(doc.get(name)):
            yield name, found
    inner = doc.get("generateContentRequest")
    if isinstance(inner, dict):
        yield from _generate(inner)
    for n, content in enumerate(_items(doc.get("contents"))):
        for m, part in enumerate(_items(content.get("parts"))):
            data = part.get("fileData") or part.get("file_data")
            uri = _text(data.get("fileUri") or data.get("file_uri")) if isinstance(data, dict) else ""
            if match := GEMINI_FILE.search(uri):
                yield f"contents[{n}].parts[{m}].fileData.fileUri", match[1]


NAMED: dict[str, Callable[[Doc], Iterator[Found]]] = {
    "responses": _responses,
    "chat": _chat,
    "messages": _messages,
    "generate": _generate,
}


#: No body names an object without one of these words, unless it hides it behind an escape.
WORDS = re.compile(rb'_id|"id"|"audio"|"container"|"conversation"|cached_?[Cc]ontent|file_?[Dd]ata|\\u00')


def named(api: str, doc: Doc, body: bytes) -> list[Found]:
    """Every upstream id that this body names, with the path of its field."""
    if WORDS.search(body) is None:
        return []
    find = NAMED.get(api)
    return list(find(doc)) if find is not None else list(_files(doc, "body")) if api in ("images", "audio") else []


def made(api: str, doc: Doc) -> Iterator[tuple[str, str]]:
    """(kind, id) of everything that a whole reply gave to the client and that a later request may name."""
    if api == "responses" and _text(doc.get("id")):
        yield "response", doc["id"]
        if found := _id_of(doc.get("conversation")):
            yield "conversation", found
        for item in _items(doc.get("output")):
            yield from made_by_item(item)
    elif api == "chat":
        for choice in _items(doc.get("choices")):
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
