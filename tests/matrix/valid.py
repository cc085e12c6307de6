"""Whether a request has the form that its API documents: OpenAI's document, the SDKs' types, AWS's service model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from botocore import loaders, model, validate
from google.genai import types
from pydantic import TypeAdapter, ValidationError

from tests.matrix.eager import adapter
from tests.ollama_shape import CHECK as OLLAMA
from tests.response_schemas import OPENAI, document, faults
from tests.test_dialects_cohere_requests import VALIDATOR as COHERE

Json = Any
#: Where each API stands; of those whose path tells whether to stream, both.
PATHS = {
    "chat": ("/v1/chat/completions",) * 2,
    "responses": ("/v1/responses",) * 2,
    "messages": ("/v1/messages",) * 2,
    "generate": ("/v1beta/models/{}:generateContent", "/v1beta/models/{}:streamGenerateContent"),
    "ollama": ("/api/chat",) * 2,
    "converse": ("/model/{}/converse", "/model/{}/converse-stream"),
    "cohere": ("/v2/chat",) * 2,
}


@cache
def names(schema: str) -> frozenset[str]:
    """The top-level members of a component of OpenAI's document, which itself forbids no other."""
    found: set[str] = set()
    components = document(OPENAI)["components"]["schemas"]

    def collect(part: Json) -> None:
        if reference := part.get("$ref"):
            collect(components[reference.rpartition("/")[2]])
        found.update(part.get("properties", ()))
        for each in part.get("allOf", ()):
            collect(each)

    collect(components[schema])
    return frozenset(found)


def _openai(schema: str, doc: Json) -> list[str]:
    return [f"{name}: unknown" for name in doc.keys() - names(schema)] + faults(OPENAI, schema, doc)


@cache
def anthropic_type(stream: bool) -> TypeAdapter[Any]:
    return adapter(MessageCreateParamsStreaming if stream else MessageCreateParamsNonStreaming)


def _messages(doc: Json, stream: bool) -> list[str]:
    try:
        anthropic_type(stream).validate_python(doc)
    except ValidationError as error:
        return [str(error)]
    return []


CONTAINERS: dict[str, Any] = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "generationConfig": types.GenerationConfig,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "safetySettings": list[types.SafetySetting],
}


@cache
def gemini_type(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(CONTAINERS[name])


def _generate(doc: Json) -> list[str]:
    """By the SDK's models, which forbid names that they do not know."""
    found = [f"{name}: unknown" for name in doc.keys() - CONTAINERS.keys()]
    for name in doc.keys() & CONTAINERS.keys():
        try:
            gemini_type(name).validate_python(doc[name])
        except ValidationError as error:
            found.append(f"{name}: {error}")
    return found


@cache
def converse_shape() -> Any:
    data = loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    return model.ServiceModel(data, "bedrock-runtime").operation_model("Converse").input_shape


def _converse(doc: Json) -> list[str]:
    shape = converse_shape()
    unknown = [f"{name}: unknown" for name in doc.keys() - shape.members.keys()]
    report = validate.ParamValidator().validate({**doc, "modelId": "m"}, shape)
    return unknown + ([report.generate_report()] if report.has_errors() else [])


VALID: dict[str, Callable[[Json, bool], list[str]]] = {
    "chat": lambda doc, stream: _openai("CreateChatCompletionRequest", doc),
    "responses": lambda doc, stream: _openai("CreateResponse", doc),
    "messages": _messages,
    "generate": lambda doc, stream: _generate(doc),
    "ollama": lambda doc, stream: [error.message for error in OLLAMA.iter_errors(doc)],
    "converse": lambda doc, stream: _converse(doc),
    "cohere": lambda doc, stream: [error.message for error in COHERE.iter_errors(doc)],
}
