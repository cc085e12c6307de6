"""What a documented example request is, and what each kind of reply to one must be: parsed by the SDK whose shape it has."""

from __future__ import annotations

import base64
import http.client
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.recordings import Json


@dataclass(frozen=True, slots=True)
class Example:
    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: str | None
    reply: Json

    @property
    def kind(self) -> str:
        return str(self.reply["kind"])

    @property
    def needs_provider(self) -> bool:
        return "X-Provider" in self.headers


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def doc(self) -> Any:
        assert self.headers.get_content_type() == "application/json"
        return json.loads(self.body)

    def events(self) -> list[str]:
        """The data of each event of a stream."""
        assert self.headers.get_content_type() == "text/event-stream"
        blocks = self.body.decode().replace("\r\n", "\n").split("\n\n")
        assert blocks.pop() == "", "the last event is not ended"
        return [
            line.removeprefix("data: ") for block in blocks for line in block.split("\n") if line.startswith("data: ")
        ]


def at(doc: Any, path: str) -> Any:
    for name in path.split("."):
        doc = doc[int(name)] if isinstance(doc, list) else doc[name]
    return doc


def check(example: Example, answer: Answer) -> None:
    assert answer.status == 200, answer.body[:500]
    text = CHECKS[example.kind](answer, example)
    reply = example.reply
    assert reply.get("says", "") in text
    assert answer.headers["x-request-id"] == reply.get("request_id", answer.headers["x-request-id"])
    for path in reply.get("fields", ()):
        first = json.loads(answer.events()[0]) if example.kind.endswith(".stream") else answer.doc
        at(first, path)
    for name, value in reply.get("equal", {}).items():
        assert answer.doc[name] == value


def chat(answer: Answer, example: Example) -> str:
    found = ChatCompletion.model_validate(answer.doc)
    assert (
        found.usage is not None
        and found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    )
    choice, tool = found.choices[0], example.reply.get("tool")
    assert choice.message.role == "assistant" and choice.finish_reason == ("tool_calls" if tool else "stop")
    if tool:
        call = (choice.message.tool_calls or [])[0]
        assert call.type == "function" and call.function.name == tool
        parameters = json.loads(example.body or "")["tools"][0]["function"]["parameters"]
        assert set(json.loads(call.function.arguments)) >= set(parameters["required"])
    assert found.usage.prompt_tokens and found.usage.completion_tokens
    return choice.message.content or ""


def chat_stream(answer: Answer, example: Example) -> str:
    *events, end = answer.events()
    assert end == "[DONE]" and answer.body.count(b"[DONE]") == 1
    chunks = [ChatCompletionChunk.model_validate_json(event) for event in events]
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    return _said("".join(chunk.choices[0].delta.content or "" for chunk in chunks), len(chunks))


def _said(text: str, pieces: int) -> str:
    assert text and pieces > 3, "nothing was streamed"
    return text


def completion(answer: Answer, example: Example) -> str:
    found = Completion.model_validate(answer.doc)
    assert found.usage is not None and found.usage.prompt_tokens and found.usage.completion_tokens
    assert found.object == "text_completion" and found.choices[0].text
    return found.choices[0].text


def unified(answer: Answer, example: Example) -> str:
    doc = answer.doc
    assert set(doc) == {"id", "model", "provider", "content", "usage", "finish_time"}
    assert all(isinstance(doc[name], str) and doc[name] for name in ("id", "model", "provider", "content"))
    usage = doc["usage"]
    assert set(usage) == {"prompt_tokens", "completion_tokens", "total_tokens", "cost"}
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert doc["finish_time"].endswith("Z") and datetime.fromisoformat(doc["finish_time"])
    assert doc["provider"] == answer.headers["x-gateway-provider"]
    return str(doc["content"])


def unified_stream(answer: Answer, example: Example) -> str:
    docs = [json.loads(event) for event in answer.events()]
    assert all(set(doc) == {"delta", "done"} for doc in docs)
    assert [doc["done"] for doc in docs] == [False] * (len(docs) - 1) + [True]
    return _said("".join(doc["delta"] for doc in docs), len(docs))


def response(answer: Answer, example: Example) -> str:
    found = Response.model_validate(answer.doc)
    assert found.status == "completed" and found.usage is not None and found.usage.total_tokens
    asked = json.loads(example.body or "")
    for name in ("temperature", "max_output_tokens", "tool_choice", "truncation"):
        assert answer.doc[name] == asked.get(name, answer.doc[name])
    return found.output_text


def response_stream(answer: Answer, example: Example) -> str:
    *events, end = answer.events()
    assert end == "[DONE]"
    reader: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    found = [reader.validate_json(event) for event in events]
    names = [line.removeprefix("event: ") for line in answer.body.decode().split("\n") if line.startswith("event: ")]
    assert names == [event.type for event in found] and set(example.reply["events"]) <= set(names)
    assert [event.sequence_number for event in found] == list(range(len(found)))
    deltas = "".join(event.delta for event in found if event.type == "response.output_text.delta")
    assert found[-1].response.output_text == deltas and found[-1].response.usage
    return _said(deltas, len(found))


def message(answer: Answer, example: Example) -> str:
    found = Message.model_validate(answer.doc)
    assert found.role == "assistant" and found.stop_reason == "end_turn"
    assert found.usage.input_tokens and found.usage.output_tokens
    return "".join(block.text for block in found.content if block.type == "text")


def message_stream(answer: Answer, example: Example) -> str:
    reader: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    found = [reader.validate_json(event) for event in answer.events()]
    assert found[0].type == "message_start" and found[-1].type == "message_stop"
    assert found[-2].delta.stop_reason == "end_turn" and found[-2].usage.output_tokens
    deltas = [event.delta.text for event in found if event.type == "content_block_delta"]
    return _said("".join(deltas), len(found))


def generated(answer: Answer, example: Example) -> str:
    found = GenerateContentResponse.model_validate(answer.doc)
    assert found.candidates and found.candidates[0].finish_reason == "STOP"
    assert found.usage_metadata and found.usage_metadata.prompt_token_count and found.usage_metadata.total_token_count
    return found.text or ""


def generated_stream(answer: Answer, example: Example) -> str:
    """``stream`` in the body is no field of Gemini's: what comes then is an array or events, as the query says."""
    docs = answer.doc if answer.headers.get_content_type() == "application/json" else map(json.loads, answer.events())
    found = [GenerateContentResponse.model_validate(doc) for doc in docs]
    assert found[-1].candidates and found[-1].candidates[0].finish_reason == "STOP" and found[-1].usage_metadata
    return _said("".join(chunk.text or "" for chunk in found), len(found))


def embeddings(answer: Answer, example: Example) -> str:
    doc, asked = answer.doc, json.loads(example.body or "")
    for item in doc["data"] if asked.get("encoding_format") == "base64" else ():
        packed = base64.b64decode(item["embedding"])
        item["embedding"] = list(struct.unpack(f"<{len(packed) // 4}f", packed))
    found = CreateEmbeddingResponse.model_validate(doc)
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    assert [item.index for item in found.data] == list(range(len(inputs))) and found.usage.prompt_tokens
    sizes = {len(item.embedding) for item in found.data}
    assert len(sizes) == 1 and sizes == {example.reply.get("dimensions", *sizes)}
    return ""


def images(answer: Answer, example: Example) -> str:
    found = ImagesResponse.model_validate(answer.doc)
    assert found.data and (found.data[0].url or "").startswith("data:image/png;base64,")
    return ""


def models(answer: Answer, example: Example) -> str:
    assert answer.doc["object"] == "list"
    assert "demo" in {Model.model_validate(item).id for item in answer.doc["data"]} or answer.doc["data"] == []
    return ""


def health(answer: Answer, example: Example) -> str:
    assert isinstance(answer.doc["models"], int) and datetime.fromisoformat(answer.doc["timestamp"])
    return ""


def ready(answer: Answer, example: Example) -> str:
    assert answer.doc["providers"] in (["demo"], ["openai"])
    return ""


def metrics(answer: Answer, example: Example) -> str:
    text = answer.body.decode()
    for name, labels in example.reply.get("metrics", ()):
        samples = re.findall(rf"^{name}(?:_bucket|_total)?{{(.*)}} ", text, re.MULTILINE)
        assert samples, f"{name} has no sample"
        for sample in samples:
            assert set(re.findall(r'(\w+)="', sample)) >= set(labels)
    return ""


CHECKS: dict[str, Callable[[Answer, Example], str]] = {
    "chat": chat,
    "chat.stream": chat_stream,
    "completions": completion,
    "unified": unified,
    "unified.stream": unified_stream,
    "responses": response,
    "responses.stream": response_stream,
    "messages": message,
    "messages.stream": message_stream,
    "generate": generated,
    "generate.stream": generated_stream,
    "embeddings": embeddings,
    "images": images,
    "models": models,
    "health": health,
    "ready": ready,
    "metrics": metrics,
}
