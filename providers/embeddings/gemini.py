"""Gemini's embedContent and batchEmbedContents, both sides.

The settings stand beside ``content``, or in ``embedContentConfig``; in a batch each request has its own. Where they
differ, or a content is more than one text, the request stays as it was: only this API can say it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from providers.chat import BadRequest, Json, Opaque, Unsupported
from providers.dialects.gemini import read_error
from providers.dialects.gemini_read_request import PATH, Camel
from providers.embeddings import MOST_INPUTS, Embed, Embedded, EmbedLoss, Input, batches, gathered, vector
from providers.embeddings.openai import positive
from providers.usage import Usage, read_usage

NAME = "gemini"
API = "generate"
MOST = 100
CONFIG = "embedContentConfig"
TASKS = {
    "search_query": "RETRIEVAL_QUERY",
    "search_document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "similarity": "SEMANTIC_SIMILARITY",
    "question_answering": "QUESTION_ANSWERING",
    "fact_verification": "FACT_VERIFICATION",
    "code_retrieval": "CODE_RETRIEVAL_QUERY",
}
KINDS = {task: kind for kind, task in TASKS.items()}
#: Member of the vocabulary -> the setting's name.
SETTINGS = {"kind": "taskType", "dimensions": "outputDimensionality", "truncate": "autoTruncate", "titles": "title"}


def read_request(doc: Any, path_info: str = "") -> Embed:
    """``path_info`` is the URL's path with the model and the action. Raises BadRequest."""
    fields = Camel(doc)
    found = PATH.search(path_info)
    embed = Embed(NAME, _bare(unquote(found.group(1))) if found else "", [])
    embed.many = found.group(2) == "batchEmbedContents" if found else "requests" in fields.left
    if embed.many:
        _batch(fields, embed)
    else:
        embed.inputs = [_input(fields, embed)]
        embed.extra = _settings(fields, embed)
    embed.names["inputs"] = _path(embed, "content")
    if not any(embed.titles):
        embed.titles = []
    if not embed.model:
        raise BadRequest("model", "is required")
    return embed


def _bare(model: str) -> str:
    return model.removeprefix("models/")


def _path(embed: Embed, name: str) -> str:
    return f"requests.{name}" if embed.many else name


def _batch(fields: Camel, embed: Embed) -> None:
    raws = fields.items("requests")
    if not raws:
        raise BadRequest("requests", "must not be empty")
    if len(raws) > MOST_INPUTS:
        raise BadRequest("requests", f"must have at most {MOST_INPUTS} items")
    _model(fields, embed)
    requests = [Camel(raw, f"requests[{at}]") for at, raw in enumerate(raws)]
    embed.inputs = [_input(each, embed) for each in requests]
    first = dict(requests[0].left)
    differing = next((name for each in requests if (name := _difference(first, each.left))), "")
    left = [_settings(each, embed) for each in requests]
    embed.extra = {**fields.left, "requests": left[0]} if left[0] else fields.left
    if differing:
        whole = [{name: value for name, value in raw.items() if name != "model"} for raw in raws]
        embed.inputs = [Opaque(NAME, _path(embed, differing), raw) for raw in whole]
        embed.titles, embed.native, embed.kind, embed.dimensions, embed.truncate = [], "", "", None, None
        embed.extra.pop("requests", None)


def _difference(one: Json, two: Json) -> str:
    """The first name whose values differ, else empty."""
    return next((name for name in {**one, **two} if one.get(name) != two.get(name)), "")


def _model(fields: Camel, embed: Embed) -> None:
    model = _bare(fields.text("model"))
    if model and embed.model and model != embed.model:
        raise fields.wrong("model", f"models/{embed.model}, as elsewhere in the request")
    embed.model = embed.model or model


def _input(fields: Camel, embed: Embed) -> Input:
    """One request's content. Its title is taken, too; its other settings are left."""
    _model(fields, embed)
    content = fields.left.get("content")
    config = fields.part(CONFIG)
    if config is not None:
        fields.left[CONFIG] = config.left
    held = config is not None and "title" in config.left
    embed.names["titles"] = _path(embed, f"{CONFIG}.title" if held else "title")
    embed.titles.append((config if config is not None and held else fields).text("title"))
    text = _text(fields)
    return Opaque(NAME, _path(embed, "content.parts"), {"content": content}) if text is None else text


def _text(fields: Camel) -> str | None:
    """The content's text, or None where it is more than one text."""
    content = fields.part("content")
    if content is None:
        raise BadRequest(fields.at("content"), "is required")
    role, parts = content.text("role"), content.items("parts")
    if not parts:
        raise BadRequest(content.at("parts"), "must not be empty")
    read = [Camel(raw, f"{content.at('parts')}[{at}]") for at, raw in enumerate(parts)]
    told = [part.text("text") for part in read]
    for part, text in zip(read, told, strict=True):
        if not text and not part.left:
            raise BadRequest(part.at("text"), "must not be empty")
    plain = len(parts) == 1 and not read[0].left and not content.left and role in ("", "user")
    return told[0] if plain else None


def _settings(fields: Camel, embed: Embed) -> Json:
    """What is left of a request after its settings."""
    config = fields.part(CONFIG)

    def held(member: str) -> tuple[Camel, str]:
        name = SETTINGS[member]
        inner = config if config is not None and name in config.left else None
        embed.names[member] = _path(embed, f"{CONFIG}.{name}" if inner else name)
        return inner or fields, name

    source, name = held("kind")
    embed.native = source.text(name)
    embed.kind = KINDS.get(embed.native, "")
    embed.dimensions = positive(*held("dimensions"))
    source, name = held("truncate")
    embed.truncate = source.flag(name)
    return {**fields.left, **({CONFIG: config.left} if config is not None and config.left else {})}


def write_response(embedded: Embedded, embed: Embed) -> Json:
    found = [{"values": each} for each in embedded.vectors]
    doc: Json = {"embeddings": found} if embed.many else {"embedding": found[0]}
    if embedded.usage.input_tokens:
        doc["usageMetadata"] = {"promptTokenCount": embedded.usage.input_tokens}
    return doc


# ---------------------------------------------------------------- upstream side


def write_requests(embed: Embed, lenient: bool = False) -> tuple[list[tuple[str, Json]], list[str]]:
    loss = EmbedLoss(embed, NAME, lenient)
    loss.leave("user")
    if loss.foreign:
        loss.leave_extra()
    values = _values(loss)
    requests = [_request(loss, at, each, values) for at, each in enumerate(embed.inputs)]
    path = f"v1beta/models/{quote(embed.model, safe='')}"
    if not embed.many:
        return [(f"{path}:embedContent", each) for each in requests], loss.dropped
    beside = {} if loss.foreign else {name: value for name, value in embed.extra.items() if name != "requests"}
    calls = batches(requests, MOST)
    return [(f"{path}:batchEmbedContents", {**beside, "requests": each}) for each in calls], loss.dropped


def _values(loss: EmbedLoss) -> list[tuple[str, Any]]:
    """Path and value of each setting that all inputs share. To cut off what is too long is this API's own way."""
    embed = loss.embed
    task = TASKS.get(embed.kind, "")
    if not loss.foreign and KINDS.get(embed.native, "") == embed.kind:
        task = embed.native
    elif embed.native and not embed.kind:
        loss.leave_kind()
    truncate = None if loss.foreign and embed.truncate else embed.truncate
    held = (("kind", task or None), ("dimensions", embed.dimensions), ("truncate", truncate))
    return [(_place(loss, member), value) for member, value in held if value is not None]


def _place(loss: EmbedLoss, member: str) -> str:
    """Where a setting goes: where the client had it, else beside the content, unless one is known in the config only."""
    if not loss.foreign:
        return loss.embed.names.get(member, SETTINGS[member]).removeprefix("requests.")
    return f"{CONFIG}.{SETTINGS[member]}" if loss.embed.truncate is False else SETTINGS[member]


def _request(loss: EmbedLoss, at: int, each: Input, values: list[tuple[str, Any]]) -> Json:
    embed = loss.embed
    request: Json = {"model": f"models/{embed.model}"}
    if isinstance(each, str):
        request["content"] = {"parts": [{"text": each}]}
    elif isinstance(each, Opaque) and not loss.foreign:
        request |= each.raw
    else:
        raise Unsupported(each.type if isinstance(each, Opaque) else embed.called("inputs"), NAME)
    extra = {} if loss.foreign else embed.extra.get("requests", {}) if embed.many else embed.extra
    request |= {name: value for name, value in extra.items() if name != CONFIG}
    config = dict(extra.get(CONFIG, {}))
    title = embed.titles[at] if embed.titles else ""
    for path, value in [*values, *([(_place(loss, "titles"), title)] if title else [])]:
        where, _, name = path.rpartition(".")
        (config if where else request)[name] = value
    return {**request, CONFIG: config} if config else request


def read_responses(docs: list[Any], embed: Embed) -> Embedded:
    return gathered(docs, embed, MOST if embed.many else 1, _read, embed.dimensions)


def _read(doc: Any) -> Embedded:
    found = doc["embeddings"] if "embeddings" in doc else [doc["embedding"]]
    return Embedded([vector(each["values"]) for each in found], usage=read_usage(API, doc) or Usage())


__all__ = ["API", "NAME", "read_error", "read_request", "read_responses", "write_requests", "write_response"]
