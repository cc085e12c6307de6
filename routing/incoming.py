"""Reads what a client asked: the body under its limits, the model, whether to stream, and what may not be in it."""

from __future__ import annotations

from typing import Any, Final

from providers import jsonbytes, multipart
from routing import body as bodies
from routing.call import Call
from routing.client import Client, Receive
from routing.endpoint import UNIFIED
from routing.errors import GatewayError
from routing.options import Options

#: Top-level fields that must stand once, under their very name: another reader must not see another value.
GUARDED: Final = ("model", "stream", "max_tokens", "max_completion_tokens", "max_output_tokens", "n")
GUARDED_GEMINI: Final = ("model", "stream", "generationConfig", "generation_config")
MAX_TAGS, MAX_TAG = 8, 64
OTHER: Final = "other"  # what reports count tags as that the tenant does not declare
MAX_BRACKETS: Final = 200_000


async def read(call: Call, client: Client, receive: Receive, hold: bodies.Hold, options: Options) -> None:
    """Take in the body and what it says. Raises GatewayError; ClientGone if it never came."""
    endpoint = call.endpoint
    if endpoint.body == "none":
        return
    content_type = call.header(b"content-type")
    kind = content_type.partition(";")[0].strip().lower()
    is_form = kind == "multipart/form-data" and endpoint.body == "multipart"
    if not is_form and kind not in ("", "application/json") and not kind.endswith("+json"):
        raise GatewayError(
            "invalid_request",
            f"The content type must be {'multipart/form-data' if endpoint.body == 'multipart' else 'application/json'}.",
            status=415,
        )
    call.body = await bodies.read(
        call.headers,
        receive,
        limit=options.max_body,
        timeout=options.read_timeout,
        budget=hold,
        take=client.whole.take if client.whole is not None else None,
    )
    if endpoint.dialect == "gemini":
        call.model = call.path.get("model", "")
    read_multipart(call, content_type) if is_form else read_json(call)
    call.entry.stream = call.stream
    call.entry.model = call.model
    read_head(call)


def read_json(call: Call) -> None:
    """Fill ``call.doc``, ``model`` and ``stream`` from a JSON body. Raises GatewayError naming the field."""
    gemini = call.endpoint.dialect == "gemini"
    if len(call.body) > MAX_BRACKETS and call.body.count(b"{") + call.body.count(b"[") > MAX_BRACKETS:
        # Text and images may be tens of megabytes; this much structure would hold up everybody else for seconds.
        raise GatewayError("invalid_request", f"The body has more than {MAX_BRACKETS} objects and arrays.", status=413)
    try:
        call.doc = jsonbytes.parse(call.body)
        jsonbytes.check_unique(call.body, call.doc, GUARDED_GEMINI if gemini else GUARDED)
    except jsonbytes.JSONBodyError as error:
        raise GatewayError("invalid_request", str(error), param=error.field) from None
    call.form = "json"
    if gemini:
        _read_gemini(call)
    else:
        call.model = _model(call.doc.get("model"))
        call.stream = _flag(call.doc, "stream")
    if call.endpoint.name == "completions" and "messages" in call.doc:
        call.become(UNIFIED)


def read_multipart(call: Call, content_type: str) -> None:
    try:
        found = multipart.fields(call.body, content_type, ("model", "stream", "user"))
    except multipart.MultipartError as error:
        raise GatewayError("invalid_request", str(error), param=error.field) from None
    call.form = "multipart"
    call.doc = {name: field.value.decode("utf-8", "replace") for name, field in found.items()}
    call.model = _model(call.doc.get("model"))
    call.stream = call.doc.get("stream", "").strip().lower() in ("true", "1")


def _model(value: Any) -> str:
    if value is None:
        raise GatewayError(
            "invalid_request", "The field model is missing.", param="model", code="missing_required_parameter"
        )
    if not isinstance(value, str):
        raise GatewayError("invalid_request", "The field model must be a text.", param="model")
    if not value.strip() or "\x00" in value:
        raise GatewayError("invalid_request", "The field model must be the name of a model.", param="model")
    return value


def _flag(doc: dict[str, Any], name: str) -> bool:
    value = doc.get(name)
    if value is not None and not isinstance(value, bool):
        raise GatewayError("invalid_request", f"The field {name} must be true or false.", param=name)
    return bool(value)


def _read_gemini(call: Call) -> None:
    """Gemini's model is in the path; a body that names one must name the same."""
    action = call.path.get("action", "")
    if _flag(call.doc, "stream") and action == "generateContent":
        call.streamed_by_body = True
    call.stream = action == "streamGenerateContent" or call.streamed_by_body
    inner = call.doc.get("generateContentRequest")
    requests = call.doc.get("requests")
    bodies = [("model", call.doc), ("generateContentRequest.model", inner)]
    bodies += [(f"requests[{n}].model", item) for n, item in enumerate(requests)] if isinstance(requests, list) else []
    for path, body in bodies:
        named = body.get("model") if isinstance(body, dict) else None
        if named is not None and named not in (call.model, f"models/{call.model}"):
            raise GatewayError("invalid_request", f"The field {path} names another model than the path.", param=path)


def read_head(call: Call) -> None:
    """Fill in what the headers and body say of the end user and the tags."""
    entry = call.entry
    user: Any = call.header(b"x-gateway-user") or call.doc.get("user") or call.doc.get("safety_identifier")
    metadata = call.doc.get("metadata")
    if not user and isinstance(metadata, dict):
        user = metadata.get("user_id")
    entry.end_user = user[:255] if isinstance(user, str) else ""
    given = call.header(b"x-gateway-tags")
    if (identity := call.identity) is not None:
        entry.end_user = identity.user[:255] or entry.end_user
    if given or identity is not None:
        _read_tags(call, given)


def _read_tags(call: Call, given: str) -> None:
    """The tags of the key's terms and of a hook's word come first; a client may add to them as far as there is room."""
    own = [tag[:MAX_TAG] for tag in call.identity.tags] if call.identity is not None else []
    tags = list(dict.fromkeys(filter(None, [*call.terms.tags, *own])))[:MAX_TAGS]
    room = MAX_TAGS - len(tags)
    told = [tag for tag in dict.fromkeys(map(str.strip, given.split(","))) if tag and tag not in tags]
    if len(told) > room:
        more = f" more than the {len(tags)} that this API key has already" if tags else ""
        raise GatewayError("invalid_request", f"Give at most {room} tags{more}.", param="x-gateway-tags")
    if any(len(tag) > MAX_TAG for tag in told):
        raise GatewayError("invalid_request", f"A tag has at most {MAX_TAG} characters.", param="x-gateway-tags")
    call.entry.tags = [*tags, *told]
    declare(call)


def declare(call: Call) -> None:
    """Say in the entry which of its tags reports count: those that the tenant declares, and the rest as one."""
    declared = call.terms.declared
    known = [tag for tag in call.entry.tags if tag in declared]
    rest = [OTHER] if len(known) < len(call.entry.tags) and OTHER not in known else []
    call.entry.declared = [*known, *rest]


def refuse_choosing(call: Call, fields: frozenset[str]) -> None:
    """Refuse body fields with which this vendor lets a client pick another model, provider or price."""
    for name in fields:
        if name in call.doc:
            raise GatewayError(
                "invalid_request",
                f"The field {name} would choose another model, provider or price than the route's; this route does not allow it.",
                param=name,
            )
