"""Amazon Titan's embeddings on Bedrock's InvokeModel, as an upstream: one text for each call."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from providers.chat import Json
from providers.dialects.failures import failed
from providers.embeddings import Embed, Embedded, EmbedLoss, gathered, texts, vector
from providers.events import Failed
from providers.usage import Usage, read_usage

NAME = "titan"
API = "titan"
#: Part of a model's id -> the sizes that it can make besides its own. All other models are as version 2.
SIZES: dict[str, tuple[int, ...]] = {
    "titan-embed-text-v1": (),
    "titan-embed-g1": (),
    "titan-embed-image": (256, 384, 1024),
}
SIZES_V2 = (256, 512, 1024)


def write_requests(embed: Embed, lenient: bool = False) -> tuple[list[tuple[str, Json]], list[str]]:
    loss = EmbedLoss(embed, NAME, lenient)
    settings: Json = {}
    if _can(embed):
        named = "titan-embed-image" in embed.model
        settings = (
            {"embeddingConfig": {"outputEmbeddingLength": embed.dimensions}}
            if named
            else {"dimensions": embed.dimensions}
        )
    elif embed.dimensions is not None:
        loss.refuse(embed.called("dimensions"))
    loss.leave_kind()
    loss.leave("titles", "user")
    if embed.truncate:
        loss.leave("truncate")
    loss.leave_extra()
    path = f"model/{quote(embed.model, safe='')}/invoke"
    return [(path, {"inputText": text, **settings}) for text in texts(embed, NAME)], loss.dropped


def _can(embed: Embed) -> bool:
    sizes = next((sizes for part, sizes in SIZES.items() if part in embed.model), SIZES_V2)
    return embed.dimensions in sizes


def read_responses(docs: list[Any], embed: Embed) -> Embedded:
    """A lenient route may have dropped the dimensions: only those that were sent are expected."""
    return gathered(docs, embed, 1, _read, embed.dimensions if _can(embed) else None)


def _read(doc: Any) -> Embedded:
    given = doc.get("embedding")
    found = vector(doc["embeddingsByType"]["float"] if given is None else given)
    return Embedded([found], usage=read_usage(API, doc) or Usage())


def read_error(status: int, doc: Any) -> Failed:
    if not isinstance(doc, dict):
        return failed(status, doc)
    return failed(status, doc.get("message") or doc.get("Message"), "", doc.get("__type"))
