"""What is written for an upstream or a client has the form that its API documents: OpenAI's document, the SDKs' types."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from providers.chat import BadRequest, Chat, Unsupported
from providers.dialects import CLIENTS, UPSTREAMS
from providers.events import Event, Failed
from tests.dialect_shapes import split
from tests.response_schemas import OPENAI, faults
from tests.test_dialects_cross import PAIRS
from tests.test_recordings import DIALECTS, chat_of, of_dialect, read, replies, reply_events

EVERY = 9  # of the recordings, one in so many: the documents are large


@cache
def adapter(dialect: str) -> TypeAdapter[Any]:
    if dialect == "anthropic":
        from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

        return TypeAdapter(MessageCreateParamsNonStreaming)
    from google.genai import types

    return TypeAdapter(types.GenerateContentResponse)


def anthropic_faults(doc: Any) -> list[str]:
    try:
        adapter("anthropic").validate_python({k: v for k, v in doc.items() if k not in ("stream", "mcp_servers")})
    except ValidationError as error:
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:2]]
    return []


def gemini_faults(doc: Any) -> list[str]:
    """By the SDK's models, which forbid names that they do not know."""
    from google.genai import types

    parts: list[tuple[Any, Any]] = [(types.Content, content) for content in doc["contents"]]
    parts += [(types.GenerationConfig, doc["generationConfig"])] if "generationConfig" in doc else []
    parts += [(types.Tool, tool) for tool in doc.get("tools", [])]
    parts += [(types.ToolConfig, doc["toolConfig"])] if "toolConfig" in doc else []
    found = []
    for model, value in parts:
        try:
            model.model_validate(value)
        except ValidationError as error:
            found += [
                f"{model.__name__}.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:1]
            ]
    return found


FAULTS = {
    "openai_chat": lambda doc: faults(OPENAI, "CreateChatCompletionRequest", doc),
    "openai_responses": lambda doc: faults(OPENAI, "CreateResponse", doc),
    "anthropic": anthropic_faults,
    "gemini": gemini_faults,
}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_requests_fit_the_upstreams_document(client: str, upstream: str) -> None:
    wrong: Counter[str] = Counter()
    count = 0
    for recording in of_dialect(client)[::EVERY]:
        if recording.status >= 400:
            continue  # made to be refused
        try:
            doc, _ = UPSTREAMS[upstream].write_request(read(client, recording))
        except (BadRequest, Unsupported):
            continue
        count += 1
        if "video_url" not in str(doc):  # which only compatible servers have
            wrong.update(FAULTS[upstream](json.loads(json.dumps(doc))))
    print(f"\n{client} -> {upstream}: {count} requests")
    assert not wrong, wrong.most_common(6)


def parsed_by_sdk(client: str, doc: Any, stream: bool) -> None:
    """Raises ValidationError where the official SDK's type does not take ``doc``."""
    if client == "gemini":
        doc.get("usageMetadata", {}).pop("serviceTier", None)  # the API tells it; the SDK drops what it does not know
        adapter("gemini").validate_python(doc)
    elif client == "anthropic":
        from anthropic.types import Message, RawMessageStreamEvent

        kind: Any = RawMessageStreamEvent if stream else Message
        TypeAdapter(kind).validate_python(doc)
    elif client == "openai_chat":
        from openai.types.chat import ChatCompletion, ChatCompletionChunk

        (ChatCompletionChunk if stream else ChatCompletion).model_validate(doc)
    else:
        from openai.types.responses import Response

        (response_events()[doc["type"]] if stream else Response).model_validate(doc)


@cache
def response_events() -> dict[str, Any]:
    """The SDK's class for each type of event."""
    from openai.types.responses import ResponseStreamEvent

    union = get_args(ResponseStreamEvent)[0]
    return {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(union)}


def documents(client: str, events: list[Event], stream: bool) -> list[Any]:
    chat = Chat(client, "m", [], stream_usage=True)
    if not stream:
        return [json.loads(json.dumps(CLIENTS[client].write_response(events, chat)))]
    writer = CLIENTS[client].StreamWriter(chat)
    written = b"".join(writer.feed(event) for event in events) + writer.flush()
    return [json.loads(each.data) for each in split(written) if each.data != b"[DONE]"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("client", DIALECTS)
def test_replies_fit_the_clients_sdk(client: str, upstream: str, stream: bool) -> None:
    if client == upstream:
        pytest.skip("the bytes go through")
    wrong: Counter[str] = Counter()
    for recording in replies(upstream)[::EVERY]:
        events = reply_events(upstream, recording, chat_of(upstream, recording))
        if any(isinstance(event, Failed) for event in events):
            continue
        for doc in documents(client, events, stream):
            try:
                parsed_by_sdk(client, doc, stream)
            except ValidationError as error:
                wrong.update(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:1])
    assert not wrong, wrong.most_common(6)
