"""The request as an upstream of another dialect gets it: read once into the vocabulary, written anew for each target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote

import orjson

from providers import media
from providers.chat import BadRequest, Chat, Unsupported
from providers.dialects import Client, Upstream
from providers.light import Header
from providers.variants import Wire
from routing.apis import CLIENT_DIALECTS, UPSTREAM_DIALECTS
from routing.call import Call
from routing.errors import GatewayError
from routing.outgoing import ours, rewrite_body, rewrite_headers, rewrites_of
from routing.refusals import Inexpressible
from routing.table import Rewrite, Table, Target

T = TypeVar("T")

#: What goes to an upstream of another dialect: who calls, and the trace.
FORWARDED: Final = frozenset({b"user-agent", b"idempotency-key", b"traceparent", b"tracestate"})


def chat_of(call: Call) -> Chat:
    """The call in the vocabulary, read at the first need. Raises GatewayError naming the field."""
    if call.chat is None:
        call.chat = _read(call)
    return call.chat


def _read(call: Call) -> Chat:
    client = CLIENT_DIALECTS[call.endpoint.api]
    path = f"/v1beta/models/{quote(call.model, safe='')}:{call.path['action']}" if "action" in call.path else ""
    try:
        wrapped = call.doc.get("generateContentRequest") if call.endpoint.name == "generate.count_tokens" else None
        chat = client.read_request(wrapped or call.doc, path)
        media.check_sources(chat)
    except BadRequest as error:
        raise bad_request(error) from None
    return replace(chat, model=call.model, stream=call.stream)


def bad_request(error: BadRequest) -> GatewayError:
    return GatewayError("invalid_request", f"{error.field}: {error.message}.", param=error.field)


class Readable:
    """What is too deep for readers, writers or orjson is a bad request. Raises GatewayError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RecursionError | TypeError) and too_deep(error):
            raise GatewayError("invalid_request", "The request is nested too deeply to be translated.") from None


READABLE: Final = Readable()


def too_deep(error: Exception) -> bool:
    return isinstance(error, RecursionError) or "Recursion limit" in str(error)


def asking(call: Call) -> list[Header]:
    """The headers with which an upstream of another dialect is asked for ``call``."""
    found = [(name, value) for name, value in call.headers if name in FORWARDED]
    return [*found, (b"content-type", b"application/json"), *ours(call)]


def written(call: Call, dialect: str, write: Callable[[bool], tuple[T, list[str]]]) -> tuple[T, list[str]]:
    """What ``write`` makes of the request and what that leaves out, as lenient or strict as the route is. Raises
    Inexpressible."""
    loss = call.resolved.route.loss if call.resolved else ""
    try:
        found, dropped = write(loss == "lenient")
    except Unsupported as error:
        raise Inexpressible(error.field, error.dialect) from None
    if loss == "strict" and dropped:
        raise Inexpressible(dropped[0], dialect)
    return found, dropped


class Translation:
    """One attempt's request. ``dropped`` names the client's fields that the upstream's API has no place for."""

    def __init__(self, call: Call, target: Target, table: Table, chat: Chat, api: str) -> None:
        self.client: Client = CLIENT_DIALECTS[call.endpoint.api]
        self.upstream: Upstream = UPSTREAM_DIALECTS[api]
        name = target.model or call.model
        limit = _limit(chat, target, table, name)
        self.chat = replace(
            chat, model=name, lacks=target.upstream.lacks, max_tokens=limit, extra=_unserved(call, chat)
        )
        route = call.resolved.route if call.resolved else None
        self.asked = call.entry.model if route is not None and route.reply_model == "asked" else ""
        doc, self.dropped = written(call, self.upstream.NAME, partial(self.upstream.write_request, self.chat))
        if api == "chat" and self.chat.stream and target.upstream.stream_usage == "ask":
            doc["stream_options"] = {**(doc.get("stream_options") or {}), "include_usage": True}
        elif api == "chat" and "stream_options" in doc and target.upstream.stream_usage != "ask":
            del doc["stream_options"]
        self._wire(call, target, doc, rewrites_of(call, target, table))

    def place(self) -> tuple[str, str]:
        """The upstream's path and query."""
        path, _, query = self.upstream.url(self.chat).partition("?")
        return path, query

    def _wire(self, call: Call, target: Target, doc: dict[str, Any], rewrites: list[Rewrite]) -> None:
        body = rewrite_body(orjson.dumps(doc), rewrites)
        path, query = self.place()
        headers = asking(call)
        headers += [(name.encode(), value.encode()) for name, value in self.upstream.headers(self.chat)]
        wire = Wire(path, query.encode(), rewrite_headers(headers, rewrites), body)
        variant = target.upstream.variant
        self.frames = (variant and variant.frames) or self.upstream.FRAMES
        self.path, self.query, self.headers, self.body = (
            wire if variant is None else variant.request(target.upstream, wire, self.chat.model, bool(self.chat.stream))
        )


#: Of a Responses request, what the gateway itself does for every upstream.
SERVED: Final = {"include": ("reasoning.encrypted_content", "message.input_image.image_url"), "truncation": "disabled"}


def _unserved(call: Call, chat: Chat) -> dict[str, Any]:
    """What only the client's dialect knows, less what needs no upstream."""
    if call.endpoint.api != "responses" or not chat.extra:
        return chat.extra
    found = dict(chat.extra)
    if found.get("truncation") == SERVED["truncation"]:
        del found["truncation"]
    if rest := [name for name in found.pop("include", ()) if name not in SERVED["include"]]:
        found["include"] = rest
    return found


def _limit(chat: Chat, target: Target, table: Table, name: str) -> int | None:
    """The output cap: the client's, else for an API that demands one the target's, else what the model's own list says."""
    if chat.max_tokens is not None or "messages" not in target.upstream.apis:
        return chat.max_tokens
    if target.max_tokens is not None:
        return target.max_tokens
    known = table.models.get(target.upstream.id, {}).get(name)
    found = known.get("max_tokens") if isinstance(known, dict) else None
    return found if isinstance(found, int) and found > 0 else None
