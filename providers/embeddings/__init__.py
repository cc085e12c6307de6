"""Embeddings: a small vocabulary of their own, which every API reads into and writes from.

An API is a module with the names of ``Client`` or ``Upstream``. ``CLIENTS`` has those that a client may speak,
``UPSTREAMS`` those that an upstream may.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from typing import Any, Protocol

from providers.chat import Chat, Json, Opaque, Unsupported
from providers.dialects.loss import Loss
from providers.dialects.reader import GARBAGE
from providers.events import Failed
from providers.usage import Usage

#: A text, the tokens of one, or what only the client's dialect can say.
Input = str | list[int] | Opaque
KINDS = (
    "search_query", "search_document", "classification", "clustering", "similarity", "question_answering",
    "fact_verification", "code_retrieval",
)  # fmt: skip
MOST_INPUTS = 2048


@dataclass(slots=True)
class Embed:
    """One request. ``many``: the inputs came as a list. ``encoding`` is float, base64 or empty (not said). ``kind`` is
    one of ``KINDS`` or empty, ``native`` the word that ``dialect`` had for it. ``titles`` has one for each input, or
    none at all. An ``Opaque`` input's type is the path of what makes it so. ``names`` tells what the client called a
    member, where it has another word than this class."""

    dialect: str
    model: str
    inputs: list[Input]
    many: bool = False
    dimensions: int | None = None
    encoding: str = ""
    kind: str = ""
    native: str = ""
    titles: list[str] = field(default_factory=list)
    user: str = ""
    truncate: bool | None = None
    names: dict[str, str] = field(default_factory=dict)
    extra: Json = field(default_factory=dict)

    def called(self, member: str) -> str:
        return self.names.get(member, member)


@dataclass(slots=True)
class Embedded:
    """One reply: a vector for each input, in order. ``usage`` is zero where the upstream tells none."""

    vectors: list[list[float]]
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    id: str = ""


class Client(Protocol):
    """What the gateway asks of the dialect that a client speaks."""

    NAME: str

    def read_request(self, doc: Any, path_info: str = "") -> Embed:
        """Raises BadRequest. ``path_info`` is the URL's path."""

    def write_response(self, embedded: Embedded, embed: Embed) -> Json: ...


class Upstream(Protocol):
    """What the gateway asks of the API that an upstream speaks. ``API`` is its name among a provider's APIs."""

    NAME: str
    API: str

    def write_requests(self, embed: Embed, lenient: bool = False) -> tuple[list[tuple[str, Json]], list[str]]:
        """The calls (path without leading slash, body), more than one where the upstream takes fewer inputs at once,
        and the client's fields that they cannot say. Raises Unsupported."""

    def read_responses(self, docs: list[Any], embed: Embed) -> Embedded:
        """From the reply to each call, in order. Raises ValueError in words for a client."""

    def read_error(self, status: int, doc: Any) -> Failed: ...


# ---------------------------------------------------------------- writing requests


class EmbedLoss(Loss):
    """What a request's writer could not say, by the client's own names."""

    __slots__ = ("embed",)

    def __init__(self, embed: Embed, dialect: str, lenient: bool = False) -> None:
        super().__init__(Chat(embed.dialect, embed.model, []), dialect, lenient)
        self.embed = embed

    def leave(self, *members: str) -> None:
        """List each of ``members`` that the client has set."""
        self.unless((self.embed.called(member), getattr(self.embed, member)) for member in members)

    def leave_kind(self) -> None:
        if self.embed.kind or self.embed.native:
            self.drop(self.embed.called("kind"))

    def leave_extra(self) -> None:
        """Vectors of another number type are no loss that a client may overlook."""
        if self.foreign and self.embed.extra.get("output_dtype") not in (None, "float"):
            self.refuse("output_dtype")
        self.own("", self.embed.extra)


def texts(embed: Embed, dialect: str) -> list[str]:
    """The inputs of an API that knows only text. Unsupported even where the route is lenient: a vector is owed to each."""
    return [_text(each, embed, dialect) for each in embed.inputs]


def _text(each: Input, embed: Embed, dialect: str) -> str:
    if isinstance(each, str):
        return each
    raise Unsupported(each.type if isinstance(each, Opaque) else embed.called("inputs"), dialect)


def batches(items: list[Any], size: int) -> list[list[Any]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


# ---------------------------------------------------------------- reading replies


def vector(value: Any) -> list[float]:
    """A list of numbers, or base64 of little-endian 32-bit floats; an exception where it is no finite vector."""
    if isinstance(value, str):
        raw = base64.b64decode(value, validate=True)
        found = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    else:
        found = list(value)
        if not set(map(type, found)) <= {float, int}:
            raise TypeError("not made of numbers")
        struct.pack(f"<{len(found)}f", *found)  # raises where 32 bits cannot hold one
    if not found or not math.isfinite(sum(found)):
        raise ValueError("no finite vector")
    return found


def base64_of(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def gathered(
    docs: list[Any], embed: Embed, size: int, read: Callable[[Any], Embedded], dimensions: int | None
) -> Embedded:
    """One reply of those to calls of ``size`` inputs each, which ``read`` understands; ``dimensions`` are those asked
    for. ValueError where a vector is missing, too many or of another size: the rest would be given to wrong inputs."""
    calls = batches(embed.inputs, size)
    if len(docs) != len(calls):
        raise ValueError(f"The upstream gave {len(docs)} replies to {len(calls)} calls.")
    found = Embedded([])
    for doc, inputs in zip(docs, calls, strict=True):
        one = _understood(doc, read)
        if len(one.vectors) != len(inputs):
            raise ValueError(f"The upstream made {len(one.vectors)} embeddings of {len(inputs)} inputs.")
        found.vectors += one.vectors
        found.model, found.id = found.model or one.model, found.id or one.id
        found.usage = Usage(*(sum(pair) for pair in zip(astuple(found.usage), astuple(one.usage), strict=True)))
    sizes = {len(each) for each in found.vectors}
    if dimensions and sizes != {dimensions}:
        raise ValueError(f"The upstream's embeddings do not have the {dimensions} dimensions that were asked for.")
    if len(sizes) > 1:
        raise ValueError("The upstream's embeddings are of different sizes.")
    return found


def _understood(doc: Any, read: Callable[[Any], Embedded]) -> Embedded:
    try:
        return read(doc)
    except (*GARBAGE, ArithmeticError, struct.error) as error:
        raise ValueError("The upstream's reply was not understood.") from error


from providers.embeddings import cohere, gemini, ollama, openai, titan  # noqa: E402

CLIENTS: dict[str, Client] = {"openai": openai, "gemini": gemini}
UPSTREAMS: dict[str, Upstream] = {
    "openai": openai,
    "gemini": gemini,
    "ollama": ollama,
    "cohere": cohere,
    "titan": titan,
}
