"""The request as the upstream gets it: the client's bytes, with the model's name spliced and the declared rewrites made."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import orjson

from providers import jsonbytes, multipart
from providers.chat import Unsupported
from providers.light import Header
from providers.variants import Wire
from routing.call import Call
from routing.edit import Edit
from routing.headers import forwarded, query_without_key
from routing.refusals import Inexpressible
from routing.table import Rewrite, Table, Target

OUR_ID, ADMITTED = b"x-gateway-request-id", b"x-gateway-admitted"


class Outgoing:
    """One attempt's request: ``path`` with its version, ``headers``, ``body``, and the edit that its reply needs."""

    dropped: tuple[str, ...] = ()
    __slots__ = ("body", "edit", "headers", "path", "query")

    def __init__(self, call: Call, target: Target, table: Table) -> None:
        name = target.model or call.model
        rewrites = rewrites_of(call, target, table)
        asked = call.entry.model
        self.path = _path(call, name)
        self.query = b"alt=sse" if call.streamed_by_body else query_without_key(call.query)
        self.headers = _headers(call, rewrites)
        self.body = call.body
        reply_model = asked if call.resolved and call.resolved.route.reply_model == "asked" else None
        self.edit = Edit(reply_model)
        if call.form == "json":
            self._json(call, target, name, rewrites)
        elif call.form == "multipart" and name != asked:
            field = multipart.fields(self.body, call.header(b"content-type"), ("model",))["model"]
            self.body = multipart.replace(self.body, field, name.encode())
        if (variant := target.upstream.variant) is not None:
            wire = Wire(self.path, self.query, self.headers, self.body)
            try:
                wire = variant.request(target.upstream, wire, name, call.stream)
            except Unsupported as error:
                raise Inexpressible(error.field, error.dialect) from None
            self.path, self.query, self.headers, self.body = wire

    def _json(self, call: Call, target: Target, name: str, rewrites: list[Rewrite]) -> None:
        if name != call.entry.model:
            self.body = _renamed(call, name)
        if call.endpoint.dialect == "gemini" and "stream" in call.doc:
            self.body = jsonbytes.remove(self.body, "stream")
        if call.endpoint.api in ("chat", "completions") and call.stream and target.upstream.stream_usage == "ask":
            self._ask_usage(call.doc)
        if rewrites:
            self.body = rewrite_body(self.body, rewrites)

    def _ask_usage(self, doc: dict[str, Any]) -> None:
        options = doc.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage") is True:
            return
        if isinstance(options, dict):
            self.body = jsonbytes.replace(self.body, "stream_options", orjson.dumps({**options, "include_usage": True}))
        elif "stream_options" in doc:
            self.body = jsonbytes.replace(self.body, "stream_options", b'{"include_usage":true}')
        else:
            self.body = jsonbytes.insert(self.body, "stream_options", b'{"include_usage":true}')
        self.edit.withhold_usage = True


def _path(call: Call, name: str) -> str:
    """The endpoint's upstream path. A model that keeps its name keeps its very spelling in the path too."""
    path = call.endpoint.path
    if "{" not in path:
        return path
    values = {**call.path, "model": call.path["spelled"]} if "spelled" in call.path else dict(call.path)
    if call.streamed_by_body:
        values["action"] = "streamGenerateContent"
    if "model" in values and name != call.entry.model:
        values["model"] = quote(name, safe="")
    return path.format(**values)


def _headers(call: Call, rewrites: list[Rewrite]) -> list[Header]:
    headers = forwarded(call.headers, call.endpoint.dialect)
    headers += ours(call)
    return rewrite_headers(headers, rewrites) if rewrites else headers


def rewrites_of(call: Call, target: Target, table: Table) -> list[Rewrite]:
    """The operator's changes to what this target gets."""
    if not table.rewrites or call.resolved is None:
        return []
    return table.rewrites_for(call.resolved.route.id, target.upstream.id)


def rewrite_headers(headers: list[Header], rewrites: list[Rewrite]) -> list[Header]:
    """``headers`` after the rewrites that are of headers."""
    for rewrite in rewrites:
        if rewrite.place != "header":
            continue
        name = rewrite.name.lower().encode()
        present = any(key == name for key, _ in headers)
        if rewrite.action == "default" and present:
            continue
        headers = [(key, value) for key, value in headers if key != name]
        if rewrite.action != "remove":
            headers.append((name, rewrite.value))
    return headers


def _renamed(call: Call, name: str) -> bytes:
    """The body with the model's new name. Gemini names it in the path, and again in the requests of a batch."""
    if call.endpoint.dialect != "gemini":
        return jsonbytes.replace(call.body, "model", orjson.dumps(name))
    # Every value was compared with the path's model before; inside a JSON text these quotes would be escaped.
    spelled = re.compile(rb'("model"\s*:\s*)"(models/)?' + re.escape(orjson.dumps(call.entry.model)[1:]))
    return spelled.sub(lambda match: match[1] + b'"' + (match[2] or b"") + orjson.dumps(name)[1:], call.body)


def rewrite_body(body: bytes, rewrites: list[Rewrite]) -> bytes:
    """``body`` after the rewrites that are of its top-level fields."""
    for rewrite in rewrites:
        if rewrite.place == "body":
            body = _rewritten(body, rewrite)
    return body


def _rewritten(body: bytes, rewrite: Rewrite) -> bytes:
    present = any(key == rewrite.name for key, *_ in jsonbytes.spans(body))
    if rewrite.action == "remove":
        return jsonbytes.remove(body, rewrite.name) if present else body
    if present:
        return body if rewrite.action == "default" else jsonbytes.replace(body, rewrite.name, rewrite.value)
    return jsonbytes.insert(body, rewrite.name, rewrite.value)


def ours(call: Call) -> list[Header]:
    """What the gateway itself tells an upstream."""
    told = [(OUR_ID, call.id.encode())]
    return [*told, (ADMITTED, b"%.6f" % call.admitted)] if call.admitted else told
