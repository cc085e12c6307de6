"""The demand of requests that make no text: vectors, pictures, sound, verdicts and orders of documents."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from providers import multipart
from routing.bound_demand import Demand, text_tokens, tiers, without
from routing.bound_fields import IN_FORMS, times, unknown
from routing.bound_parts import Seen
from routing.bound_sound import milliseconds

Doc = dict[str, Any]
ITEM_TOKENS = 16  # of what is written around each text
SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
PICTURES = frozenset(("image", "image[]", "mask"))
AUTO_PIXELS = 1536 * 1024  # the largest that is chosen where none is asked for
PIXELS_PER_TOKEN, PICTURE_TOKENS, PARTIAL_TOKENS = 128, 1_024, 128  # twice what the dearest picture model has
SPOKEN_TOKENS, SPOKEN_MS, MEDIUM_TOKENS = 20, 1_000, 1_024  # of each letter, however slowly it is read
HEARD_MS_PER_TOKEN, WRITTEN_MS_PER_TOKEN = 50, 40
DOCUMENTS, CHUNK_BYTES = 100, 500  # of one search; a longer document counts as several, of 500 tokens
FORM_NAME = re.compile(rb'\r\ncontent-disposition:[^\r\n]*?[; ]name="([^"\r\n]*)"', re.IGNORECASE)
_FORM_HEAD = re.compile(rb"\r\ncontent-disposition", re.IGNORECASE)


class Form:
    """The texts of a form, as far as they are asked for; ``unbounded`` names what no bound holds for."""

    __slots__ = ("names", "texts", "unbounded")

    def __init__(self, endpoint: str, body: bytes, content_type: str, names: tuple[str, ...]) -> None:
        self.texts: dict[str, str] = {}
        self.unbounded: tuple[str, ...] = ()
        self.names: list[str] = []
        try:
            found = multipart.fields(body, content_type, names)
        except multipart.MultipartError as error:
            self.unbounded = (error.field or "body",)
            return
        self.texts = {name: field.value.decode("utf-8", "replace") for name, field in found.items()}
        self.names = [name.decode("latin-1") for name in FORM_NAME.findall(body)]
        if len(self.names) < len(_FORM_HEAD.findall(body)):
            self.unbounded = ("body",)
        self.unbounded += tuple(name[:64] for name in self.names if name not in IN_FORMS[endpoint])

    def number(self, name: str) -> int:
        """As many as are asked for; one where nothing, or no number, says so."""
        text = self.texts.get(name, "").strip()
        return max(1, int(text)) if text.isdecimal() and len(text) < 10 else 1


def embeddings(endpoint: str, doc: Doc, body: bytes, content_type: str = "") -> Demand:
    """An upstream is asked once, whatever number of calls it needs."""
    seen = Seen()
    given = doc.get("input")
    number = len(given) if given.__class__ is list else 1
    if not (given.__class__ is list and _plain(given)):
        seen.read("input", given)
    return Demand(
        endpoint,
        text_tokens(body, seen) + number * ITEM_TOKENS,
        seen.pictures,
        seen.hidden,
        tiers=tiers(doc.get("service_tier")),
        without=without(doc, body, seen),
        unbounded=unknown(endpoint, doc),
    )


def _plain(given: list[Any]) -> bool:
    """Whether these are texts, or tokens."""
    return all(each.__class__ in (str, int) for each in given)


def gemini_embeddings(endpoint: str, doc: Doc, body: bytes, content_type: str = "") -> Demand:
    seen = Seen()
    asked = doc.get("requests")
    requests = asked if asked.__class__ is list else [doc]
    unbounded = unknown(endpoint, doc)
    for each in requests:
        if each.__class__ is not dict:
            continue
        unbounded += () if each is doc else unknown(endpoint, each)
        seen.read("content", [found] if (found := each.get("content")).__class__ is dict else found)
    return Demand(
        endpoint,
        text_tokens(body, seen) + len(requests) * ITEM_TOKENS,
        seen.pictures,
        seen.hidden,
        without=without(doc, body, seen),
        unbounded=unbounded,
    )


def images(endpoint: str, doc: Doc, body: bytes, content_type: str = "") -> Demand:
    """Made or changed, asked for in JSON or in a form."""
    unbounded: tuple[str, ...] = ()
    if content_type.startswith("multipart/"):
        form = Form(endpoint, body, content_type, ("n", "size", "prompt", "partial_images"))
        unbounded = form.unbounded
        number, partial, size = form.number("n"), form.number("partial_images"), form.texts.get("size")
        text, pictures = len(form.texts.get("prompt", "").encode()), sum(name in PICTURES for name in form.names)
    else:
        unbounded = unknown(endpoint, doc)
        number, partial, size = times(doc.get("n")), times(doc.get("partial_images")), doc.get("size")
        given = doc.get("images")
        pictures = len(given) if given.__class__ is list else 0
        pictures += 1 if doc.get("mask") else 0
        text = len(body)
    each = _pixels(size) // PIXELS_PER_TOKEN + PICTURE_TOKENS + partial * PARTIAL_TOKENS
    return Demand(
        endpoint, text, pictures, cap=number * each, counted={"images": number}, tiers=tiers(None), unbounded=unbounded
    )


def _pixels(size: Any) -> int:
    match = SIZE.fullmatch(size) if isinstance(size, str) else None
    return int(match[1]) * int(match[2]) if match else AUTO_PIXELS


def speech(endpoint: str, doc: Doc, body: bytes, content_type: str = "") -> Demand:
    """Sound is as long as the text; a letter is no longer than a byte of it."""
    given = doc.get("input")
    letters = len(given.encode("utf-8", "surrogatepass")) if given.__class__ is str else len(body)
    speed = doc.get("speed")
    slower = 1 / max(0.1, min(1.0, speed)) if speed.__class__ in (int, float) else 1.0
    counted = {"characters": letters, "audio_ms": int(letters * SPOKEN_MS * slower) + SPOKEN_MS}
    return Demand(
        endpoint,
        len(body),
        cap=int(letters * SPOKEN_TOKENS * slower) + MEDIUM_TOKENS,
        counted=counted,
        tiers=tiers(None),
        unbounded=unknown(endpoint, doc),
    )


def transcriptions(endpoint: str, doc: Doc, body: bytes, content_type: str = "") -> Demand:
    """Of an uploaded file, whose length its size bounds where its format does not let it be silent for free."""
    form = Form(endpoint, body, content_type, ("prompt", "keywords"))
    unbounded = form.unbounded
    heard = milliseconds(body)
    if heard is None:
        unbounded += ("file",)
        heard = 0
    text = sum(len(each.encode()) for each in form.texts.values())
    return Demand(
        endpoint,
        heard // HEARD_MS_PER_TOKEN + text + MEDIUM_TOKENS,
        cap=heard // WRITTEN_MS_PER_TOKEN + MEDIUM_TOKENS,
        counted={"audio_ms": heard},
        tiers=tiers(None),
        unbounded=unbounded,
    )


def moderations(endpoint: str, doc: Doc, body: bytes, content_type: str = "") -> Demand:
    return embeddings(endpoint, doc, body)


def rerank(endpoint: str, doc: Doc, body: bytes, content_type: str = "") -> Demand:
    """Some read the question again with each document."""
    documents = doc.get("documents")
    number = len(documents) if documents.__class__ is list else 1
    question = doc.get("query")
    asked = len(question.encode("utf-8", "surrogatepass")) if question.__class__ is str else len(body)
    chunks = number + (len(body) + number * asked) // CHUNK_BYTES
    return Demand(
        endpoint,
        len(body) + number * (asked + ITEM_TOKENS),
        counted={"rerank_searches": -(-chunks // DOCUMENTS) or 1},
        tiers=tiers(None),
        unbounded=unknown(endpoint, doc),
    )


READERS: dict[str, Callable[..., Demand]] = {
    "embeddings": embeddings,
    "generate.embed": gemini_embeddings,
    "images.generations": images,
    "images.edits": images,
    "images.variations": images,
    "audio.speech": speech,
    "audio.transcriptions": transcriptions,
    "audio.translations": transcriptions,
    "moderations": moderations,
    "rerank": rerank,
}
