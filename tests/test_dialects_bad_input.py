"""Requests that are wrong, or that an upstream cannot take: an error that names the field, never another exception.

A table of what is wrong, told in each client's dialect, and sent to each upstream's.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import BadRequest, Chat, Unsupported
from providers.dialects import CLIENTS, UPSTREAMS
from tests.dialect_requests import Doc, asked, called, jsoned, limits, pictured, request, shaped, tooled, turn
from tests.test_dialects_documented import CASES as DOCUMENTED
from tests.test_dialects_streams import JSON, MANY, spoiled
from tests.test_recordings import DIALECTS

PATH = "/v1beta/models/m:generateContent"
TIFF = "image/tiff"
CYCLE = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/T"}, "self": {"$ref": "#"}},
    "$defs": {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}},
}
#: Each name stands for twice the next: written out, it is larger than any memory.
BOMB = {
    "type": "object",
    "$defs": {
        f"T{n}": {"properties": {"a": {"$ref": f"#/$defs/T{n + 1}"}, "b": {"$ref": f"#/$defs/T{n + 1}"}}}
        for n in range(60)
    },
    "properties": {"a": {"$ref": "#/$defs/T0"}},
}


def deep(levels: int) -> Doc:
    schema: Doc = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


# ---------------------------------------------------------------- the table

#: What is wrong -> (the request, the field that each client's reader names). Wrong for every upstream.
MALFORMED: dict[str, tuple[Callable[[str], Any], dict[str, str]]] = {
    "no object": (lambda client: [], dict.fromkeys(DIALECTS, "body")),
    "an unknown role": (
        lambda client: request(client, [turn(client, "user"), turn(client, "wizard")]),
        dict.fromkeys(("openai_chat", "anthropic"), "messages[1].role")
        | {"openai_responses": "input[1].role", "gemini": "contents[1].role"},
    ),
    "a role that is no text": (
        lambda client: request(client, [{"role": 7}]),
        dict.fromkeys(("openai_chat", "anthropic"), "messages[0].role")
        | {"openai_responses": "input[0].role", "gemini": "contents[0].role"},
    ),
    "no messages": (
        lambda client: request(client, []),
        {"openai_responses": "input", "gemini": "contents", "openai_chat": "messages", "anthropic": "messages"},
    ),
    "a message that is no object": (
        lambda client: request(client, ["hi"]),
        dict.fromkeys(("openai_chat", "anthropic"), "messages[0]")
        | {"openai_responses": "input[0]", "gemini": "contents[0]"},
    ),
    "a temperature in words": (
        lambda client: limits(client, "temperature", "hot"),
        dict.fromkeys(DIALECTS, "temperature") | {"gemini": "generationConfig.temperature"},
    ),
    "a temperature that is true": (
        lambda client: limits(client, "temperature", True),
        dict.fromkeys(DIALECTS, "temperature") | {"gemini": "generationConfig.temperature"},
    ),
    "a negative limit": (
        lambda client: limits(client, "max_tokens", -5),
        dict.fromkeys(DIALECTS, "max_tokens")
        | {"gemini": "generationConfig.maxOutputTokens", "openai_responses": "max_output_tokens"},
    ),
    "a limit in words": (
        lambda client: limits(client, "max_tokens", "many"),
        dict.fromkeys(DIALECTS, "max_tokens")
        | {"gemini": "generationConfig.maxOutputTokens", "openai_responses": "max_output_tokens"},
    ),
    "a schema that is no object": (
        lambda client: tooled(client, "none"),
        {"openai_chat": "tools[0].function.parameters", "openai_responses": "tools[0].parameters"}
        | {"anthropic": "tools[0].input_schema", "gemini": "tools[0].functionDeclarations.parametersJsonSchema"},
    ),
}


@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_requests_name_the_field(case: str, client: str) -> None:
    make, fields = MALFORMED[case]
    with pytest.raises(BadRequest) as caught:
        CLIENTS[client].read_request(make(client), PATH)
    assert caught.value.field == fields[client]


def sent(client: str, upstream: str, doc: Doc, lenient: bool = False) -> tuple[Doc, list[str]]:
    chat = CLIENTS[client].read_request(copy.deepcopy(doc), PATH)
    body, dropped = UPSTREAMS[upstream].write_request(chat, lenient)
    return json.loads(json.dumps(body)), dropped


ORPHANS = {
    "openai_chat": "messages[1].tool_call_id",
    "openai_responses": "input[1].call_id",
    "anthropic": "messages[1].content[0].tool_use_id",
    "gemini": "contents[1].parts[0].functionResponse",
}
ALL = frozenset(DIALECTS)
FROM_OPENAI = frozenset(("openai_chat", "openai_responses"))
#: What an upstream cannot take -> (the request, the upstreams that refuse it and the field that each names, the clients
#: who can say it). An empty field is the client's own name for a result's call.
REFUSED: dict[str, tuple[Callable[[str], Doc], dict[str, str], frozenset[str]]] = {
    "the result of no call": (lambda client: called(client, "{}", call=False), dict.fromkeys(UPSTREAMS, ""), ALL),
    "an image that is no web image": (
        lambda client: pictured(client, TIFF),
        {"anthropic": "messages.content.image.media_type", "bedrock": "messages.content.image"},
        ALL,
    ),
    "a stop sequence": (lambda client: limits(client, "stop", ["x"]), {"openai_responses": "stop"}, ALL),
    "logprobs": (
        lambda client: asked(client, generationConfig={"responseLogprobs": True}, logprobs=True),
        dict.fromkeys(("anthropic", "bedrock"), "logprobs"),
        frozenset(("openai_chat", "gemini")),
    ),
    "any JSON that nothing else asks for": (
        lambda client: jsoned(client, "Say something."),
        dict.fromkeys(("anthropic", "bedrock"), "response_format"),
        ALL - {"anthropic"},
    ),
}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_an_upstream_cannot_take_is_refused_by_name(case: str, client: str, upstream: str) -> None:
    make, refusing, clients = REFUSED[case]
    if client not in clients:
        pytest.skip("cannot be said in that dialect")
    if client == upstream or upstream not in refusing:
        sent(client, upstream, make(client))
        return
    with pytest.raises(Unsupported) as caught:
        sent(client, upstream, make(client))
    assert (caught.value.field, caught.value.dialect) == (refusing[upstream] or ORPHANS[client], upstream)
    assert caught.value.field in sent(client, upstream, make(client), lenient=True)[1]


@pytest.mark.parametrize("upstream", ["anthropic", "bedrock"])
@pytest.mark.parametrize("client", sorted(ALL - {"anthropic"}))
def test_json_that_the_words_ask_for_is_named_as_dropped(client: str, upstream: str) -> None:
    assert sent(client, upstream, jsoned(client, "Answer in JSON."))[1] == ["response_format"]


#: Upstream -> where a request of ``called`` has the arguments of its call.
ARGUMENTS: dict[str, Callable[[Doc], Any]] = {
    "anthropic": lambda body: body["messages"][1]["content"][0]["input"],
    "gemini": lambda body: body["contents"][1]["parts"][0]["functionCall"]["args"],
    "bedrock": lambda body: body["messages"][1]["content"][0]["toolUse"]["input"],
    "ollama": lambda body: body["messages"][1]["tool_calls"][0]["function"]["arguments"],
    "cohere": lambda body: json.loads(body["messages"][1]["tool_calls"][0]["function"]["arguments"]),
}


@pytest.mark.parametrize("upstream", ARGUMENTS)
@pytest.mark.parametrize("client", sorted(FROM_OPENAI))
@pytest.mark.parametrize("arguments", ['{"a": "cut', "[1]", '"text"', "not JSON"])
def test_arguments_that_are_no_object_are_shown_as_text(client: str, upstream: str, arguments: str) -> None:
    """The model wrote them so, and is to read what it wrote; a refusal would end the conversation for good."""
    body, _ = sent(client, upstream, called(client, arguments))
    assert ARGUMENTS[upstream](body) == {"input": arguments}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("make", [tooled, shaped])
@pytest.mark.parametrize("schema", [CYCLE, BOMB, deep(90)], ids=["cycle", "bomb", "deep"])
def test_schemas_without_end_are_sent(make: Any, schema: Doc, client: str, upstream: str) -> None:
    body = json.dumps(sent(client, upstream, make(client, schema))[0])
    assert len(body) < (20 if upstream != "ollama" else 100) * len(json.dumps(schema))
    if schema is CYCLE and (upstream != "ollama" or make is shaped):  # which takes no references in tools
        assert "#/$defs/T" in body  # legal references stay


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", DIALECTS)
def test_large_media_are_not_read_twice_over(client: str, upstream: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, not judged: 5 MB take milliseconds, and a second where work is quadratic."""
    data = "iVBORw0K" * (5 * 1024 * 1024 // 8)
    doc = pictured(client, "image/png", data)
    begun = time.perf_counter()
    chat = CLIENTS[client].read_request(doc, PATH)
    body, _ = UPSTREAMS[upstream].write_request(chat)
    took = time.perf_counter() - begun
    with capsys.disabled():
        print(f"\n5 MB {client} -> {upstream}: {1000 * took:.1f} ms", end="")
    assert data in json.dumps(body)


@pytest.mark.parametrize("upstream", ["anthropic", "gemini", "bedrock"])
@pytest.mark.parametrize("client", sorted(FROM_OPENAI))
def test_a_system_that_speaks_alone_is_answered(client: str, upstream: str) -> None:
    doc = request(client, [turn(client, "system", "first"), turn(client, "developer", "last")])
    body, dropped = sent(client, upstream, doc)
    (message,) = body["contents" if upstream == "gemini" else "messages"]
    assert message["role"] == "user" and "last" in json.dumps(message) and "messages.role" in dropped
    system = json.dumps(body["systemInstruction" if upstream == "gemini" else "system"])
    assert "first" in system and "last" not in system


@pytest.mark.parametrize("upstream", ["anthropic", "openai_responses", "ollama", "bedrock", "cohere"])
def test_a_request_that_says_nothing_is_refused(upstream: str) -> None:
    with pytest.raises(Unsupported) as caught:
        sent("gemini", upstream, request("gemini", [turn("gemini", "user", "")]))
    assert caught.value.field == "messages"


# ---------------------------------------------------------------- anything


def carried_out(client: str, doc: Any) -> None:
    """Read, and written for every upstream, strictly and leniently."""
    try:
        chat = CLIENTS[client].read_request(doc, PATH)
    except BadRequest as error:
        assert error.field
        return
    for upstream in UPSTREAMS:
        try:
            json.dumps(UPSTREAMS[upstream].write_request(chat)[0])
        except Unsupported as error:
            assert error.field and error.dialect == upstream
            json.dumps(lenient(upstream, chat))


def lenient(upstream: str, chat: Chat) -> Doc:
    return UPSTREAMS[upstream].write_request(chat, True)[0]


@pytest.mark.parametrize("client", DIALECTS)
@MANY
@given(data=st.data())
def test_anything_is_read_or_refused(client: str, data: st.DataObject) -> None:
    """Arbitrary JSON, also in the places that readers know."""
    doc = data.draw(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(DOCUMENTED[client], JSON)))
    carried_out(client, doc | {"model": "m"} if isinstance(doc, dict) else doc)


@pytest.mark.parametrize("client", DIALECTS)
@MANY
@given(data=st.data())
def test_spoiled_documented_requests_are_read_or_refused(client: str, data: st.DataObject) -> None:
    doc = copy.deepcopy(DOCUMENTED[client])
    for _ in range(data.draw(st.integers(1, 3))):
        doc = spoiled(doc, data.draw)
    carried_out(client, doc)
