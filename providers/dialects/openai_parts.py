"""Content parts, citations and cache marks that OpenAI's two APIs write alike, and data URLs."""

from __future__ import annotations

from typing import Any

from providers.chat import Cache, Citation, Json, Source
from providers.fields import Fields, present

MARKS = ("cache_control", "prompt_cache_breakpoint")


def read_source(url: str) -> Source:
    """An address, or a ``data:`` URL taken apart at its first ``;base64,``."""
    head, comma, value = url.partition(";base64,")
    if comma and head.startswith("data:"):
        return Source("data", value, head[5:])
    return Source("url", url)


def write_source(source: Source) -> str:
    return source.data_url if source.kind == "data" else source.value


def read_count(fields: Fields, name: str) -> int | None:
    """A limit of tokens. Some servers read -1 as none, but no other dialect does."""
    count = fields.integer(name)
    if count is not None and count < 0:
        raise fields.wrong(name, "a positive integer")
    return count


def read_cache(fields: Fields) -> Cache | None:
    """``cache_control`` as Anthropic has it (OpenRouter and others take it too) or OpenAI's own breakpoint."""
    for form in MARKS:
        mark = fields.inner(form)
        if mark is not None:
            mark.any("type")
            return Cache(mark.text("ttl"), form, mark.left)
    return None


def write_cache(cache: Cache | None) -> Json:
    """The member that marks a part; OpenAI's breakpoint takes the place of a mark of another dialect."""
    if cache is None:
        return {}
    if cache.form == "cache_control":
        return {"cache_control": {"type": "ephemeral"} | present(ttl=cache.ttl) | cache.extra}
    return {cache.form: present(ttl=cache.ttl) | cache.extra}


def read_annotation(raw: Any, dialect: str) -> Citation:
    """Chat nests it under ``url_citation``, Responses does not."""
    body = raw.get("url_citation") or raw
    if raw.get("type") != "url_citation":
        return Citation("other", title=str(raw.get("filename") or ""), dialect=dialect, raw=raw)
    start, end = body.get("start_index"), body.get("end_index")
    return Citation(
        "url",
        str(body.get("url") or ""),
        str(body.get("title") or ""),
        str(body.get("content") or ""),
        start if isinstance(start, int) else -1,
        end if isinstance(end, int) else -1,
        dialect,
        raw,
    )


def url_citation(citation: Citation, length: int) -> Json:
    """The members of a URL citation; one that tells no place stands for the text so far (``length`` characters)."""
    start = max(citation.start, 0)
    end = citation.end if citation.end >= 0 else length
    return {"start_index": start, "end_index": end, "title": citation.title, "url": citation.url}


def usage_details(reading: int, writing: int) -> Json:
    return {"cached_tokens": reading, "cache_write_tokens": writing}
