"""Converse documents judged by AWS's own model of the API, and recorded ones read into the vocabulary."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from providers import eventstream
from providers.chat import (
    Cache,
    Chat,
    File,
    FunctionTool,
    HostedTool,
    Image,
    Message,
    Opaque,
    Reasoning,
    ResponseFormat,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from providers.dialects import bedrock
from providers.events import Event

Json = dict[str, Any]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_3_7 = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
CLAUDE_5 = "global.anthropic.claude-opus-5"
NOVA = "amazon.nova-lite-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"


# ---------------------------------------------------------------- AWS's own model of the API


@cache
def shape_of_request() -> Any:
    model = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
    return model.shape_for("ConverseRequest")


def with_bytes(shape: Any, value: Any) -> Any:
    """``value`` as an SDK takes it: blobs are bytes."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "list":
        return [with_bytes(shape.member, item) for item in value]
    if shape.type_name == "structure" and not shape.is_document_type:
        known = shape.members
        return {name: with_bytes(known[name], item) if name in known else item for name, item in value.items()}
    return value


def limits(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """What botocore's validator does not look at: unknown members, enums, patterns and the greatest lengths."""
    if shape.type_name == "structure" and not shape.is_document_type:
        yield from (f"{path}.{name} is unknown" for name in value.keys() - shape.members.keys())
        for name in value.keys() & shape.members.keys():
            yield from limits(shape.members[name], value[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for at, item in enumerate(value):
            yield from limits(shape.member, item, f"{path}[{at}]")
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from limits(shape.key, name, path)
            yield from limits(shape.value, item, f"{path}.{name}")
    else:
        yield from scalar_limits(shape.metadata, value, path)


def scalar_limits(told: Json, value: Any, path: str) -> Iterator[str]:
    if told.get("enum") and value not in told["enum"]:
        yield f"{path}: {value} is none of {told['enum']}"
    if told.get("pattern") and not re.fullmatch(told["pattern"], value):
        yield f"{path}: {value:.40} has not the form {told['pattern']}"
    size = len(value) if isinstance(value, str | bytes) else value
    if "max" in told and size > told["max"]:
        yield f"{path}: {size} is more than {told['max']}"


def turns_wrong(doc: Json) -> str:
    """The rules of AWS's guide that the model does not tell."""
    roles = [message["role"] for message in doc["messages"]]
    if roles != [("user", "assistant")[at % 2] for at in range(len(roles))]:
        return f"roles {roles}"
    names = Counter(b["document"]["name"] for m in doc["messages"] for b in m["content"] if "document" in b)
    if any(count > 1 for count in names.values()):
        return "two documents of one name"
    for message in doc["messages"]:
        kinds = [next(iter(block)) for block in message["content"]]
        texts = [block["text"].strip() for block in message["content"] if "text" in block]
        if not kinds or ("document" in kinds and not any(texts)):
            return f"content {kinds}"
        if message["role"] == "assistant" and {"document", "image", "video"} & set(kinds):
            return "media of the assistant"
        calls = "toolUse" in kinds or "toolResult" in kinds
        if calls and "toolConfig" not in doc:
            return "calls without toolConfig"
    # A recorded exchange shows that a line break may stand between a document and a cache point.
    blank = [
        b for m in doc["messages"] for b in m["content"] if "text" in b and not b["text"].strip() and b["text"] != "\n"
    ]
    return "a blank text" if blank else ""


def wrong_in(doc: Json, model: str) -> str:
    """Empty where AWS's client and service take ``doc``."""
    shape = shape_of_request()
    params = with_bytes(shape, {"modelId": model} | json.loads(json.dumps(doc)))
    report = ParamValidator().validate(params, shape)
    return report.generate_report() or ", ".join(limits(shape, params)) or turns_wrong(doc)


# ---------------------------------------------------------------- recorded documents


def _part(block: Json) -> Any:
    """A recorded block in the vocabulary; KeyError for those that no client can say."""
    kind, value = next(iter(block.items()))
    if kind == "text":
        return Text(value)
    if kind == "toolUse" and value.get("type") != "server_tool_use":
        return ToolCall(value["toolUseId"], value["name"], json.dumps(value["input"]))
    if kind == "toolUse" or (kind == "toolResult" and "type" in value):
        return Opaque("bedrock", kind, block)
    if kind == "toolResult":
        error = {"error": True, "success": False}.get(value.get("status"))
        free = [piece for piece in value["content"] if "json" in piece]
        parts = [Text(json.dumps(piece["json"])) if piece in free else _part(piece) for piece in value["content"]]
        return ToolResult(value["toolUseId"], parts, "", error, form="json" if free else "")
    if kind == "reasoningContent" and "redactedContent" in value:
        return Thinking(signature=value["redactedContent"], signed_by="bedrock", redacted=True)
    if kind == "reasoningContent":
        told = value["reasoningText"]
        return Thinking([told["text"]], signature=told["signature"], signed_by="bedrock")
    where, source = next(iter(value["source"].items()))
    told = Source("url", source["uri"]) if where == "s3Location" else Source("data", source)
    media = {
        "txt": "text/plain",
        "md": "text/markdown",
        "csv": "text/csv",
        "html": "text/html",
        "pdf": "application/pdf",
    }
    told.media_type = media.get(value["format"], f"{kind}/{value['format']}")
    return Image(told) if kind == "image" else File(told, value.get("name", ""))


def _parts(blocks: list[Json]) -> list[Any]:
    found: list[Any] = []
    for block in blocks:
        if "cachePoint" in block:
            found[-1].cache = Cache(block["cachePoint"].get("ttl", ""))
        else:
            found.append(_part(block))
    return found


def _tools(config: Json) -> list[Tool]:
    found: list[Any] = []
    for tool in config.get("tools", []):
        if "cachePoint" in tool:
            found[-1].cache = Cache()
        elif "systemTool" in tool:
            found.append(HostedTool("code_execution", "openai_responses", {}))
        else:
            spec = tool["toolSpec"]
            schema = spec["inputSchema"]["json"]
            found.append(FunctionTool(spec["name"], spec.get("description"), schema, spec.get("strict")))
    return found


def _reasoning(fields: Json) -> Reasoning | None:
    effort = fields.get("output_config", {}).get("effort", "")
    effort = effort or fields.get("reasoning_effort", "") or fields.get("reasoning_config", "")
    thinking = fields.get("thinking", {})
    if not thinking and not effort:
        return None
    return Reasoning(effort, thinking.get("budget_tokens"), True if not effort else None)


def chat_of(doc: Json, model: str) -> Chat:
    """The request that a client would have made for ``doc``."""
    config, fields = doc.get("toolConfig", {}), doc.get("additionalModelRequestFields", {})
    chat = Chat("openai_chat", model, [Message(each["role"], _parts(each["content"])) for each in doc["messages"]])
    chat.system, chat.tools, chat.reasoning = _parts(doc.get("system", [])), _tools(config), _reasoning(fields)
    inference = doc.get("inferenceConfig", {})
    chat.max_tokens, chat.stop = inference.get("maxTokens"), inference.get("stopSequences", [])
    chat.sampling.temperature, chat.sampling.top_p = inference.get("temperature"), inference.get("topP")
    chat.sampling.top_k = fields.get("top_k") or fields.get("inferenceConfig", {}).get("topK")
    mode = next(iter(config.get("toolChoice", {})), "")
    if mode:
        names = [("function", config["toolChoice"]["tool"]["name"])] if mode == "tool" else []
        chat.tool_choice = ToolChoice({"any": "required"}.get(mode, mode), names)
    if output := doc.get("outputConfig"):
        told = output["textFormat"]["structure"]["jsonSchema"]
        schema = json.loads(told["schema"])
        chat.response_format = ResponseFormat(
            "json_schema", told.get("name", ""), schema, description=told.get("description")
        )
    chat.service_tier = doc.get("serviceTier", {}).get("type", "")
    chat.extra = {name: doc[name] for name in ("guardrailConfig", "performanceConfig") if name in doc}
    return chat


def normal(doc: Json) -> Json:
    """Absent and empty alike; the default choice untold; one turn for neighbours of a role."""
    doc = copy.deepcopy(doc)
    doc.pop("additionalModelResponseFieldPaths", None)
    doc.get("toolConfig", {}).pop("toolChoice", None) if "auto" in doc.get("toolConfig", {}).get(
        "toolChoice", {}
    ) else 0
    found: list[Json] = []
    for message in doc["messages"]:
        if found and found[-1]["role"] == message["role"]:
            found[-1]["content"] += message["content"]
        else:
            found.append(message)
    if found[0]["role"] == "assistant":
        found.insert(0, {"role": "user", "content": [{"text": "."}]})
    for block in (block for message in found for block in message["content"] if "document" in block):
        block["document"]["name"] = block["document"]["name"].replace("_", " ")  # which the guide does not allow
    schema = doc.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema", {})
    if schema:
        del schema["schema"]  # its keywords are cleaned, which has tests of its own
    doc["messages"] = found
    return {name: value for name, value in doc.items() if value not in ({}, [])}


def read(raw: bytes, chat: Chat | None = None) -> list[Event]:
    parser, reader = eventstream.Parser(), bedrock.StreamReader(chat)
    found = [each for frame in parser.feed(raw) for each in reader.feed(frame)]
    for frame in parser.flush():
        found += reader.feed(frame)
    return found + reader.flush()
