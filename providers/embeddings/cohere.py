"""Cohere's /v2/embed, as an upstream."""

from __future__ import annotations

from typing import Any

from providers.chat import Json
from providers.dialects.failures import failed
from providers.embeddings import Embed, Embedded, EmbedLoss, batches, gathered, text_of, texts, vector
from providers.events import Failed
from providers.usage import Usage, read_usage

NAME = "cohere"
API = "cohere"
MOST = 96
#: Our kinds that this API has no word for, and the nearest that it has. Questions, claims and searches for code are
#: all queries against documents; likeness is symmetric, as clusters are.
NEAREST = {
    "question_answering": "search_query",
    "fact_verification": "search_query",
    "code_retrieval": "search_query",
    "similarity": "clustering",
}


def write_requests(embed: Embed, lenient: bool = False) -> tuple[list[tuple[str, Json]], list[str]]:
    loss = EmbedLoss(embed, NAME, lenient)
    if not embed.kind or embed.kind in NEAREST:
        loss.leave_kind()
    # v3 models and later demand an input type; most of what is embedded without one is to be found later
    input_type = NEAREST.get(embed.kind, embed.kind) or "search_document"
    settings: Json = {"model": embed.model, "input_type": input_type, "embedding_types": ["float"]}
    if embed.dimensions is not None:
        settings["output_dimension"] = embed.dimensions
    if embed.truncate is not None:
        settings["truncate"] = "END" if embed.truncate else "NONE"
    loss.leave("titles", "user")
    loss.leave_extra()
    calls = batches(texts(embed, NAME), MOST)
    return [("v2/embed", {**settings, "texts": each}) for each in calls], loss.dropped


def read_responses(docs: list[Any], embed: Embed) -> Embedded:
    return gathered(docs, embed, MOST, _read, embed.dimensions)


def _read(doc: Any) -> Embedded:
    """Vectors come by their type; compatible servers may send the older plain list, or base64."""
    given = doc["embeddings"]
    if isinstance(given, dict):
        given = given["float"] if given.get("float") is not None else given["base64"]
    vectors, usage = [vector(each) for each in given], read_usage(API, doc) or Usage()
    return Embedded(vectors, text_of(doc.get("model")), usage, text_of(doc.get("id")))


def read_error(status: int, doc: Any) -> Failed:
    return failed(status, doc.get("message") if isinstance(doc, dict) else doc)
