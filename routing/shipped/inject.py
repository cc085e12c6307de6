"""Puts a system prompt before the client's own, in the words of its dialect; no other byte of the request changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from providers import jsonbytes
from routing.hooks import HookCall, Means, option

_EMPTY = re.compile(rb"\[[ \t\r\n]*(\])?")
#: Endpoints that take a system prompt.
ENDPOINTS = frozenset(
    "chat unified responses messages generate messages.count_tokens responses.input_tokens generate.count_tokens".split()
)


def put_first(body: bytes, name: str, item: Any) -> bytes:
    """``body`` with ``item`` as the first of the list ``name``; where that stands twice, in both. Unchanged if there is none."""
    for member in reversed(jsonbytes.spans(body)):
        if member.key == name and (match := _EMPTY.match(body, member.value_start)):
            at = member.value_start + 1
            body = jsonbytes.splice(body, at, at, orjson.dumps(item) + (b"" if match[1] else b","))
    return body


def _inside(body: bytes, name: str, edit: Callable[[bytes], bytes]) -> bytes:
    """``body`` with the object ``name`` edited."""
    for member in reversed(jsonbytes.spans(body)):
        if member.key == name:
            held = body[member.value_start : member.value_end]
            body = jsonbytes.splice(body, member.value_start, member.value_end, edit(held))
    return body


def _joined(body: bytes, name: str, value: Any, text: str) -> bytes:
    """A member that is a text, or absent."""
    if name not in jsonbytes.parse(body):
        return jsonbytes.insert(body, name, orjson.dumps(text))
    return jsonbytes.replace(body, name, orjson.dumps(f"{text}\n\n{value}" if value else text))


def _chat(body: bytes, doc: dict[str, Any], text: str, role: str) -> bytes:
    return put_first(body, "messages", {"role": role, "content": text})


def _responses(body: bytes, doc: dict[str, Any], text: str, role: str) -> bytes:
    value = doc.get("instructions")
    return _joined(body, "instructions", value if isinstance(value, str) else "", text)


def _messages(body: bytes, doc: dict[str, Any], text: str, role: str) -> bytes:
    value = doc.get("system")
    if isinstance(value, list):
        return put_first(body, "system", {"type": "text", "text": text})
    return _joined(body, "system", value if isinstance(value, str) else "", text)


def _generate(body: bytes, doc: dict[str, Any], text: str, role: str) -> bytes:
    if isinstance(inner := doc.get("generateContentRequest"), dict):
        return _inside(body, "generateContentRequest", lambda held: _generate(held, inner, text, role))
    name = "system_instruction" if "system_instruction" in doc else "systemInstruction"
    value, part = doc.get(name), {"text": text}
    if isinstance(value, dict) and isinstance(value.get("parts"), list):
        return _inside(body, name, lambda held: put_first(held, "parts", part))
    kept = [{"text": value}] if isinstance(value, str) and value else []
    new = orjson.dumps({"parts": [part, *kept]})
    return jsonbytes.replace(body, name, new) if name in doc else jsonbytes.insert(body, name, new)


APIS = {"chat": _chat, "unified": _chat, "responses": _responses, "messages": _messages, "generate": _generate}


class Inject:
    on_failure = "closed"

    @dataclass(frozen=True)
    class Options:
        text: str = option(help="The system prompt.")
        role: Literal["system", "developer"] = option("system", "Whose words they are, in chat completions.")

        def __post_init__(self) -> None:
            if not self.text.strip():
                raise ValueError("a text is needed")

    def __init__(self, options: Options, means: Means) -> None:
        self.options = options

    def before_request(self, call: HookCall) -> None:
        if call.endpoint not in ENDPOINTS or call.form != "json":
            return
        if call.endpoint == "generate.count_tokens" and "generateContentRequest" not in call.doc:
            return  # a bare count has no place for it
        call.body = APIS[call.api](call.body, call.doc, self.options.text, self.options.role)
