"""Ollama's /api/embed, as an upstream."""

from __future__ import annotations

from typing import Any

from providers.chat import Json
from providers.dialects.failures import failed
from providers.embeddings import MOST_INPUTS, Embed, Embedded, EmbedLoss, batches, gathered, text_of, texts, vector
from providers.events import Failed
from providers.usage import Usage, read_usage

NAME = "ollama"
API = "ollama"


def write_requests(embed: Embed, lenient: bool = False) -> tuple[list[tuple[str, Json]], list[str]]:
    loss = EmbedLoss(embed, NAME, lenient)
    settings: Json = {"model": embed.model}
    if embed.dimensions is not None:
        settings["dimensions"] = embed.dimensions
    if embed.truncate is not None:
        settings["truncate"] = embed.truncate
    loss.leave_kind()
    loss.leave("titles", "user")
    loss.leave_extra()
    calls = batches(texts(embed, NAME), MOST_INPUTS)
    return [("api/embed", {**settings, "input": each if embed.many else each[0]}) for each in calls], loss.dropped


def read_responses(docs: list[Any], embed: Embed) -> Embedded:
    return gathered(docs, embed, MOST_INPUTS, _read, embed.dimensions)


def _read(doc: Any) -> Embedded:
    vectors, usage = [vector(each) for each in doc["embeddings"]], read_usage(API, doc) or Usage()
    return Embedded(vectors, text_of(doc.get("model")), usage)


def read_error(status: int, doc: Any) -> Failed:
    return failed(status, doc.get("error") if isinstance(doc, dict) else doc)
