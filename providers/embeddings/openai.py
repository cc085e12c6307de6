"""OpenAI embeddings, both sides, with what compatible vendors add: Voyage's and Mistral's words for the same things."""

from __future__ import annotations

from typing import Any

from providers.chat import BadRequest, Json, Opaque, Unsupported
from providers.dialects.openai_chat import read_error
from providers.embeddings import (
    KINDS,
    MOST_INPUTS,
    Embed,
    Embedded,
    EmbedLoss,
    Input,
    base64_of,
    batches,
    gathered,
    text_of,
    vector,
)
from providers.fields import Fields
from providers.usage import Usage, read_usage

NAME = "openai"
API = "embeddings"
ENCODINGS = ("float", "base64")
#: ``input_type`` of Voyage, NVIDIA and Cohere's models behind this API.
INPUT_TYPES = {
    **{kind: kind for kind in KINDS},
    "query": "search_query",
    "passage": "search_document",
    "document": "search_document",
}


def read_request(doc: Any, path_info: str = "") -> Embed:
    """Raises BadRequest."""
    fields = Fields(doc)
    inputs, many = _inputs(fields)
    embed = Embed(NAME, fields.need_text("model"), inputs, many, names={"inputs": "input", "kind": "input_type"})
    if "dimensions" not in fields.left and "output_dimension" in fields.left:
        embed.names["dimensions"] = "output_dimension"
    embed.dimensions = positive(fields, embed.called("dimensions"))
    embed.encoding = fields.text("encoding_format")
    if embed.encoding and embed.encoding not in ENCODINGS:
        raise BadRequest("encoding_format", "must be float or base64")
    embed.native = fields.text("input_type")
    embed.kind = INPUT_TYPES.get(embed.native, "")
    embed.names["truncate"] = "truncation"
    embed.truncate = fields.flag("truncation")
    embed.user = fields.text("user")
    embed.extra = fields.left
    return embed


def positive(fields: Fields, name: str) -> int | None:
    value = fields.integer(name)
    if value is not None and value < 1:
        raise fields.wrong(name, "at least 1")
    return value


def _inputs(fields: Fields) -> tuple[list[Input], bool]:
    given = fields.any("input")
    if given is None:
        raise BadRequest("input", "is required")
    if given == "" or given == []:
        raise BadRequest("input", "must not be empty")
    if isinstance(given, str):
        return [given], False
    if not isinstance(given, list):
        raise BadRequest("input", "must be a string or a list of strings, tokens or lists of tokens")
    if _is_token(given[0]):
        return [_tokens(given, "input")], False
    if len(given) > MOST_INPUTS:
        raise BadRequest("input", f"must have at most {MOST_INPUTS} items")
    return [_input(each, given[0], f"input[{at}]") for at, each in enumerate(given)], True


def _input(value: Any, first: Any, path: str) -> Input:
    if not isinstance(value, str | list):
        raise BadRequest(path, "must be a string or a list of tokens")
    if type(value) is not type(first):
        raise BadRequest(path, "must be of one kind with the items before it: strings or lists of tokens")
    if not value:
        raise BadRequest(path, "must not be empty")
    return value if isinstance(value, str) else _tokens(value, path)


def _tokens(values: list[Any], path: str) -> list[int]:
    for at, value in enumerate(values):
        if not _is_token(value) or value < 0:
            raise BadRequest(f"{path}[{at}]", "must be a token: an integer from 0 on")
    return values


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def write_response(embedded: Embedded, embed: Embed) -> Json:
    """Floats or base64, as asked."""
    write = base64_of if embed.encoding == "base64" else list
    data = [{"object": "embedding", "index": at, "embedding": write(each)} for at, each in enumerate(embedded.vectors)]
    used = embedded.usage.input_tokens
    usage = {"prompt_tokens": used, "total_tokens": used + embedded.usage.output_tokens}
    told = {"id": embedded.id} if embedded.id else {}
    return {**told, "object": "list", "data": data, "model": embedded.model or embed.model, "usage": usage}


# ---------------------------------------------------------------- upstream side


def write_requests(embed: Embed, lenient: bool = False) -> tuple[list[tuple[str, Json]], list[str]]:
    loss = EmbedLoss(embed, NAME, lenient)
    for each in embed.inputs:
        if isinstance(each, Opaque):
            raise Unsupported(each.type, NAME)
    settings: Json = {"model": embed.model}
    if embed.dimensions is not None:
        settings["dimensions" if loss.foreign else embed.called("dimensions")] = embed.dimensions
    if embed.encoding:
        settings["encoding_format"] = embed.encoding
    if embed.user:
        settings["user"] = embed.user
    settings |= _elsewhere(loss) if loss.foreign else _own(embed)
    calls = batches(embed.inputs, MOST_INPUTS)
    return [("v1/embeddings", {**settings, "input": each if embed.many else each[0]}) for each in calls], loss.dropped


def _own(embed: Embed) -> Json:
    """What compatible vendors add."""
    added = dict(embed.extra)
    word = embed.native if INPUT_TYPES.get(embed.native, "") == embed.kind else embed.kind
    if word:
        added["input_type"] = word
    if embed.truncate is not None:
        added[embed.names.get("truncate", "truncation")] = embed.truncate
    return added


def _elsewhere(loss: EmbedLoss) -> Json:
    """A text that is too long is an error here, which is what ``truncate`` false asks for."""
    loss.leave_kind()
    loss.leave("titles")
    if loss.embed.truncate:
        loss.leave("truncate")
    loss.leave_extra()
    return {}


def read_responses(docs: list[Any], embed: Embed) -> Embedded:
    """Vectors of packed bits are shorter than their dimensions."""
    plain = embed.extra.get("output_dtype") in (None, "float")
    return gathered(docs, embed, MOST_INPUTS, _read, embed.dimensions if plain else None)


def _read(doc: Any) -> Embedded:
    data = doc["data"]
    indices = [each.get("index") for each in data]
    placed = {at if index is None else index: each for at, (index, each) in enumerate(zip(indices, data, strict=True))}
    if len(placed) != len(data):
        raise ValueError("two embeddings of one input")
    vectors = [vector(placed[at]["embedding"]) for at in range(len(data))]
    return Embedded(vectors, text_of(doc.get("model")), read_usage(API, doc) or Usage(), text_of(doc.get("id")))


__all__ = ["API", "NAME", "read_error", "read_request", "read_responses", "write_requests", "write_response"]
