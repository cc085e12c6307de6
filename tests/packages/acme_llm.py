"""A vendor that nobody has heard of: its dialect, and its kind of provider. ``entry_points`` is its packaging's word."""

from __future__ import annotations

from typing import Any

from providers.chat import Chat, Text, Unsupported
from providers.dialects.reader import GARBAGE, Reader, not_understood, parsed
from providers.events import Event, Failed, Finished, Started, TextDelta, Used
from providers.ndjson import Parser
from providers.presets import Preset
from providers.usage import Usage

NAME, API = "acme", "acme"
FRAMES = Parser
NEEDS_DATA: frozenset[type] = frozenset()
KIND = Preset("Acme", "https://api.acme.test", "api-key", ("acme",))
entry_points = """
[llm_gateway.dialects]
acme = acme_llm
[llm_gateway.providers]
acme = acme_llm:KIND
"""


def url(chat: Chat) -> str:
    return "/v9/talk"


def headers(chat: Chat) -> list[tuple[str, str]]:
    return [("acme-version", "9")]


def write_request(chat: Chat, lenient: bool = False) -> tuple[dict[str, Any], list[str]]:
    dropped = [name for name, value in (("top_p", chat.sampling.top_p), ("stop", chat.stop)) if value]
    if chat.tools and not lenient:
        raise Unsupported("tools", NAME)
    if chat.tools:
        dropped.append("tools")
    said = [{"who": message.role, "words": _words(message.parts, dropped)} for message in chat.messages]
    system = [{"who": "boss", "words": _words(chat.system, dropped)}] if chat.system else []
    doc: dict[str, Any] = {"model": chat.model, "said": [*system, *said], "live": bool(chat.stream)}
    if chat.sampling.temperature is not None:
        doc["heat"] = chat.sampling.temperature
    return doc, dropped


def _words(parts: list[Any], dropped: list[str]) -> list[str]:
    dropped += ["messages.content"] if any(not isinstance(part, Text) for part in parts) else []
    return [part.text for part in parts if isinstance(part, Text)]


def _ended(doc: dict[str, Any]) -> list[Event]:
    return [Used(Usage(int(doc["in"]), int(doc["out"]))), Finished("stop")]


class StreamReader(Reader):
    def __init__(self, chat: Chat | None = None) -> None:
        super().__init__()

    def _read(self, event: Any) -> list[Event]:
        doc = parsed(event.data)
        if "id" in doc:
            return [Started(doc["id"], doc["model"])]
        if "bit" in doc:
            return [TextDelta(doc["bit"])]
        self.over = True
        return _ended(doc)


def read_response(doc: Any, chat: Chat | None = None) -> list[Event]:
    try:
        return [Started(doc["id"], doc["model"]), TextDelta("".join(doc["bits"])), *_ended(doc)]
    except GARBAGE:
        return [not_understood()]


def read_error(status: int, doc: Any) -> Failed:
    why = doc.get("why") if isinstance(doc, dict) else None
    return Failed("invalid_request" if 400 <= status < 500 else "server_error", str(why or "Acme says no."), status)
