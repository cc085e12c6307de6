"""The media of a request: what is checked of data that a client sends, and what takes the place of its URLs."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol
from urllib.parse import unquote

from providers import media_types
from providers.chat import Audio, BadRequest, Chat, File, Image, Part, Source, ToolResult, Video

TOGETHER = 4
MAX_URLS = 64  # a small request must not set off any number of large ones
HEAD = 96  # characters of base64 that are looked at
MAX_NAME = 255
Media = Image | Audio | Video | File
KINDS: dict[type, str] = {Image: "image", Audio: "audio", Video: "video"}
URL_SAFE = str.maketrans("-_", "+/")
#: Where a dialect has its messages, their parts, the system's, and those of a tool's result ("": in its message's place).
PLACES = {
    "anthropic": ("messages", "content", "system", "content"),
    "gemini": ("contents", "parts", "systemInstruction.parts", "functionResponse.parts"),
}
USUAL = ("messages", "content", "messages", "")


class Fetches(Protocol):
    max_total: int

    async def fetch(self, url: str, field: str) -> tuple[str, bytes]: ...


def check_sources(chat: Chat) -> None:
    """Raises BadRequest for data that is not base64 or plainly not what it is said to be. Looks at beginnings only."""
    for field, part in _media(chat):
        if part.source.kind == "data":
            check_data(part.source, field)


def check_data(source: Source, field: str) -> None:
    """``check_sources`` for one source of kind data."""
    head = _head(source.value)
    if head is None:
        raise BadRequest(field, "its data is not base64")
    if media_types.contradicts(source.media_type, head):
        raise BadRequest(field, f"its data is not {media_types.plain(source.media_type)}, as it is said to be")


def _head(value: str) -> bytes | None:
    """The bytes that ``value`` begins with, None if it is no base64. Both alphabets and broken lines are read."""
    whole = len(value) <= HEAD
    text = "".join(value[:HEAD].split()).translate(URL_SAFE)
    if whole:
        text = text.rstrip("=")
        text += "=" * (-len(text) % 4)
    else:
        text = text[: len(text) // 4 * 4]
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return None


async def inline(chat: Chat, needs: frozenset[type], fetcher: Fetches) -> Chat:
    """``chat`` with data instead of http and https URLs in parts of the types ``needs``; itself if there are none.

    Raises BadRequest naming the first field that cannot be had.
    """
    wanted = [(field, part) for field, part in _media(chat) if type(part) in needs and _remote(part.source)]
    if not wanted:
        return chat
    found = await _fetched(wanted, fetcher)
    done: dict[int, Part] = {id(part): _filled(part, field, *found[part.source.value]) for field, part in wanted}
    messages = [
        message if parts is message.parts else replace(message, parts=parts)
        for message in chat.messages
        for parts in [_exchanged(message.parts, done)]
    ]
    return replace(chat, messages=messages, system=_exchanged(chat.system, done))


async def _fetched(wanted: list[tuple[str, Media]], fetcher: Fetches) -> dict[str, tuple[str, str]]:
    """URL -> media type and base64, each URL fetched once but counted as often as it will be sent."""
    uses = Counter(part.source.value for _, part in wanted)
    if len(uses) > MAX_URLS:
        raise BadRequest(wanted[MAX_URLS][0], f"more than {MAX_URLS} URLs are not fetched for one request")
    fields = {part.source.value: field for field, part in reversed(wanted)}
    found: dict[str, tuple[str, str]] = {}
    gate = asyncio.Semaphore(TOGETHER)
    total = 0

    async def fetch(url: str) -> None:
        nonlocal total
        async with gate:
            media_type, data = await fetcher.fetch(url, fields[url])
        total += len(data) * uses[url]
        if total > fetcher.max_total:
            raise BadRequest(fields[url], f"the request's URLs lead to more than {fetcher.max_total} bytes together")
        found[url] = media_type, b64encode(data).decode("ascii")

    try:
        async with asyncio.TaskGroup() as group:
            for url in uses:
                group.create_task(fetch(url))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return found


def _filled(part: Media, field: str, media_type: str, data: str) -> Media:
    kind = KINDS.get(type(part), "")
    fitting = media_types.fitting(media_type, kind)
    if not fitting:
        raise BadRequest(field, f"its URL leads to {media_type}, not to {kind}")
    source = Source("data", data, fitting)
    if isinstance(part, File):
        return replace(part, source=source, name=part.name or _name(part.source.value))
    return replace(part, source=source)


def _name(url: str) -> str:
    """The last segment of a URL's path as a file name, "" where there is none."""
    path = url.partition("//")[2].partition("#")[0].partition("?")[0].partition("/")[2]
    last = unquote(path).rpartition("/")[2]
    return last[-MAX_NAME:] if last.isprintable() else ""


def _remote(source: Source) -> bool:
    return source.kind == "url" and source.value[:8].lower().startswith(("http://", "https://"))


def _exchanged(parts: list[Part], done: dict[int, Part]) -> list[Part]:
    """``parts`` with those that are ``done`` in their places; itself where nothing is."""
    new = [_one(part, done) for part in parts]
    return parts if all(one is other for one, other in zip(new, parts, strict=True)) else new


def _one(part: Part, done: dict[int, Part]) -> Part:
    if not isinstance(part, ToolResult):
        return done.get(id(part), part)
    inner = _exchanged(part.parts, done)
    return part if inner is part.parts else replace(part, parts=inner)


def _media(chat: Chat) -> Iterator[tuple[str, Media]]:
    """Every part that has a source, with where the client wrote it."""
    if chat.dialect == "openai_responses":  # its items are gathered into messages: no index holds
        for parts in (chat.system, *(message.parts for message in chat.messages)):
            yield from (("input", part) for _, part in _under(parts, "", ""))
        return
    messages, content, system, result = PLACES.get(chat.dialect, USUAL)
    yield from _under(chat.system, system, result)
    for at, message in enumerate(chat.messages):
        yield from _under(message.parts, f"{messages}[{at}].{content}", result)


def _under(parts: list[Part], path: str, result: str) -> Iterator[tuple[str, Media]]:
    for at, part in enumerate(parts):
        if isinstance(part, ToolResult):
            yield from _under(part.parts, f"{path}[{at}].{result}" if result else path, result)
        elif isinstance(part, Media):
            yield f"{path}[{at}]", part
