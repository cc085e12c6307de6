"""Tool names and kinds that an upstream cannot have, and the way back.

A namespace becomes a prefix, a freeform (``custom``) tool a function with one string, an illegal or long name a legal
one; what the model then calls is told to the client under the name that the client gave. The mapping follows from the
request alone, so that reply, stream and later turns agree without any state.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import orjson

from providers.chat import Chat, CustomTool, FunctionTool, Json, Message, ToolCall, function_tools

INPUT = "input"
INPUT_SCHEMA: Json = {
    "type": "object",
    "properties": {INPUT: {"type": "string"}},
    "required": [INPUT],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Naming:
    """What a dialect lets a tool be called, and which kinds it has."""

    allowed: str = r"[A-Za-z0-9_-]"
    longest: int = 64
    custom: bool = True
    namespaces: bool = True


ANY_NAME = Naming(longest=1 << 30, allowed=r"(?s:.)")


def _legal(name: str, naming: Naming) -> str:
    cleaned = re.sub(rf"(?!{naming.allowed}).", "_", name, flags=re.DOTALL)
    if cleaned == name and len(name) <= naming.longest:
        return name
    # The digest keeps two names apart that clean to the same.
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{cleaned[: naming.longest - 9]}_{digest}"


def _called(messages: list[Message]) -> list[tuple[str, str, str]]:
    calls = (part for message in messages for part in message.parts if isinstance(part, ToolCall))
    return [(call.kind, call.namespace, call.name) for call in calls]


class ToolNames:
    """``wire`` gives the upstream's name, ``back`` (kind, namespace, name) of it. Without a chat names stay."""

    def __init__(self, chat: Chat | None = None, naming: Naming | None = None) -> None:
        self.naming = naming or ANY_NAME
        self._wire: dict[tuple[str, str], str] = {}
        self._back: dict[str, tuple[str, str, str]] = {}
        if chat is not None:
            self._fill(chat)

    def _fill(self, chat: Chat) -> None:
        for namespace, tool in function_tools(chat.tools):
            self._add("custom" if isinstance(tool, CustomTool) else "function", namespace, tool.name)
        for kind, namespace, name in _called(chat.messages):
            self._add(kind, namespace, name)

    def _add(self, kind: str, namespace: str, name: str) -> None:
        if (namespace, name) in self._wire:
            return
        spaced = bool(namespace) and not self.naming.namespaces
        wire = _legal(f"{namespace}__{name}" if spaced else name, self.naming)
        if wire in self._back and self._back[wire][1:] != (namespace, name) and not self.naming.namespaces:
            wire = _legal(f"{wire}\0{namespace}\0{name}", self.naming)
        self._wire[namespace, name] = wire
        self._back.setdefault(wire, (kind, namespace, name))

    def wire(self, name: str, namespace: str = "") -> str:
        return self._wire.get((namespace, name), name)

    def chosen(self, name: str) -> str:
        """The upstream's name of a tool that is named without its namespace."""
        spaced = (wire for (_, own), wire in self._wire.items() if own == name)
        return self._wire.get(("", name)) or next(spaced, name)

    def back(self, wire: str) -> tuple[str, str, str]:
        """Of an unknown name: a function without a namespace."""
        return self._back.get(wire, ("function", "", wire))

    def unwraps(self, wire: str) -> bool:
        """Whether ``wire`` is a freeform tool that had to become a function."""
        return not self.naming.custom and self.back(wire)[0] == "custom"


def as_function(tool: CustomTool) -> FunctionTool:
    """A freeform tool for an upstream without them. Its grammar is told in words: nothing else can carry it."""
    told = tool.description or ""
    definition = (tool.format or {}).get("definition") or (tool.format or {}).get("grammar", {})
    if isinstance(definition, dict):
        definition = definition.get("definition")
    if definition:
        told = f"{told}\n\nThe input must follow this grammar:\n{definition}".strip()
    return FunctionTool(tool.name, told or None, INPUT_SCHEMA)


def wrapped(text: str) -> str:
    """Freeform input as the arguments of that function."""
    return orjson.dumps({INPUT: text}).decode()


def unwrapped(arguments: str) -> str:
    """Back to plain input; what is not of that shape stays as it is."""
    try:
        found: Any = orjson.loads(arguments)
    except ValueError:
        return arguments
    value = found.get(INPUT) if isinstance(found, dict) else None
    return value if isinstance(value, str) else arguments


def as_object(arguments: str) -> Json:
    """Arguments for a client whose API has an object there; what the length limit cut is shown as one text."""
    try:
        found: Any = orjson.loads(arguments or "{}")
    except ValueError:
        return {INPUT: arguments}
    if found is None:
        return {}
    return found if isinstance(found, dict) else {INPUT: arguments}


def object_text(arguments: str) -> str:
    """``arguments`` as they are where they tell an object, else ``as_object``'s text."""
    found = as_object(arguments)
    return arguments if arguments and found != {INPUT: arguments} else orjson.dumps(found).decode()


class InputText:
    """Unwraps ``{"input": "…"}`` as it streams: ``feed`` gives what is certain of the string so far."""

    __slots__ = ("_held", "_inside")

    def __init__(self) -> None:
        self._held = ""
        self._inside = False

    def feed(self, piece: str) -> str:
        self._held += piece
        if not self._inside:
            start = re.match(r'\s*\{\s*"input"\s*:\s*"', self._held)
            if start is None:
                return ""
            self._inside = True
            self._held = self._held[start.end() :]
        return self._take()

    def _take(self) -> str:
        """Decode up to the closing quote, holding back an escape or surrogate pair that is not whole."""
        whole = re.match(
            r'(?:[^"\\]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\[^u])*',
            self._held,
        )
        text = whole.group(0) if whole else ""
        self._held = self._held[len(text) :]
        try:
            return str(orjson.loads(f'"{text}"')) if "\\" in text else text
        except ValueError:
            return text


def names_for(chat: Chat | None, dialect: str, naming: Naming) -> ToolNames:
    """The names of a request on its way to an upstream of ``dialect``; its own names stay."""
    return ToolNames() if chat is None or chat.dialect == dialect else ToolNames(chat, naming)
