"""Claude by its own API on Amazon Bedrock: the body of the Messages API through InvokeModel, its events in frames."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from providers import eventstream, jsonbytes, sse
from providers.chat import Unsupported
from providers.dialects.anthropic_write_reply import write_error
from providers.dialects.bedrock_read_reply import read_error, read_exception
from providers.light import Header
from providers.variants import Variant, Wire

if TYPE_CHECKING:
    from providers.upstream import Upstream

#: What Bedrock calls the API's version 2023-06-01. Later ones have one name everywhere, and not all models know them;
#: they only refuse more, so that the first serves those models too.
FIRST_VERSION = "bedrock-2023-05-31"
LATER = re.compile(r"\d{4}-\d{2}-\d{2}")
SINCE_4_7 = re.compile(r"claude-[a-z]+-(4-([7-9]|1\d)(\D|$)|[5-9])")
#: What the body tells instead, and what the reply's form is told by here.
REPLACED = (b"anthropic-version", b"anthropic-beta", b"accept")


def request(upstream: Upstream, wire: Wire, model: str, stream: bool) -> Wire:
    """The model goes into the path, the version and the betas into the body. Raises Unsupported for any other call
    than a message."""
    if not wire.path.rstrip("/").endswith("/messages"):
        raise Unsupported(wire.path.rpartition("/")[2], "Bedrock InvokeModel")
    action = "invoke-with-response-stream" if stream else "invoke"
    path = f"/model/{quote(model, safe='')}/{action}"
    headers = [header for header in wire.headers if header[0].lower() not in REPLACED]
    return Wire(path, b"", [*headers, (b"accept", b"application/json")], _body(wire, model))


def _body(wire: Wire, model: str) -> bytes:
    present = {member.key for member in jsonbytes.spans(wire.body)}
    told = orjson.loads(wire.body) if present & {"anthropic_beta", "anthropic_version"} else {}
    body = wire.body
    for name in ("model", "stream"):
        if name in present:
            body = jsonbytes.remove(body, name)
    if betas := _listed(wire.headers, b"anthropic-beta"):
        known = told.get("anthropic_beta")
        betas = [*known, *betas] if isinstance(known, list) else betas
        body = _put(body, "anthropic_beta", orjson.dumps([*dict.fromkeys(map(str, betas))]), present)
    asked = next(iter(_listed(wire.headers, b"anthropic-version")), told.get("anthropic_version"))
    return _put(body, "anthropic_version", orjson.dumps(_version(asked, model)), present)


def _version(asked: Any, model: str) -> str:
    """The version that the request was written for, as Bedrock names it."""
    later = isinstance(asked, str) and LATER.fullmatch(asked) and asked > "2023-06-01"
    return asked if later and SINCE_4_7.search(model) else FIRST_VERSION


def _put(body: bytes, name: str, value: bytes, present: set[str]) -> bytes:
    return jsonbytes.replace(body, name, value) if name in present else jsonbytes.insert(body, name, value)


def _listed(headers: list[Header], name: bytes) -> list[str]:
    """The values of a header, which may stand several times and hold several."""
    values = [value.decode("latin-1") for told, value in headers if told.lower() == name]
    return [item for value in values for each in value.split(",") if (item := each.strip())]


class Frames:
    """The events that the frames hold, as Anthropic's own stream has them; an exception becomes its ``error``."""

    __slots__ = ("_parser",)

    def __init__(self, limit: int = sse.LIMIT) -> None:
        self._parser = eventstream.Parser(limit)

    def feed(self, chunk: bytes) -> list[sse.Event]:
        """Raises FrameError and sse.EventTooLong."""
        return _events(self._parser.feed(chunk))

    def flush(self) -> list[sse.Event]:
        return _events(self._parser.flush())


def _events(frames: list[sse.Event]) -> list[sse.Event]:
    found = []
    for frame in frames:
        if frame.type == "chunk":
            found.append(_chunk(frame.data))
        elif frame.type != "initial-response":
            found.append(_error(frame))
    return found


def _chunk(data: bytes) -> sse.Event:
    try:
        text = base64.b64decode(orjson.loads(data)["bytes"], validate=True)
        kind = orjson.loads(text).get("type") or ""
        return sse.Event(kind, text, sse.write(text, kind))
    except (AttributeError, LookupError, TypeError, ValueError):
        return _error(sse.Event("modelStreamErrorException", b"{}", b""))


def _error(frame: sse.Event) -> sse.Event:
    text = orjson.dumps(write_error(read_exception(frame.type, frame.data))[1])
    return sse.Event("error", text, sse.write(text, "error"))


VARIANT: Variant = Variant(request, Frames, eventstream.CONTENT_TYPE, counts=False, read_error=read_error)
