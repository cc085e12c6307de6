"""Requests of known clients against every upstream API: valid there, no tool lost, the system's words in order, cache
marks kept, and what is left out named. ``GOLDEN=write`` writes what is found; read the difference before you keep it.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from itertools import product
from typing import Any

import httpx
import pytest
import zstandard

from routing.table import Target
from tests.agents import goldens, reading
from tests.agents.goldens import FOLDER, NAMES, case, marks, send
from tests.agents.script import SCRIPT, TIME, Turn
from tests.agents.speech import Said, said
from tests.agents.speech_vendors import SPEECH
from tests.agents.upstreams import PROVIDERS
from tests.inprocess import plane, route, table
from tests.inprocess import upstream as make_upstream
from tests.matrix import fixtures
from tests.matrix.valid import VALID

Json = Any
CELLS = [pytest.param(name, upstream, id=f"{name}-{upstream}") for name, upstream in product(NAMES, PROVIDERS)]
FOREIGN = [cell for cell in CELLS if case(str(cell.values[0])).client != cell.values[1]]
#: What cannot be asked for: a tool that the vendor is to run, a file.
REFUSED = {
    **dict.fromkeys(
        product(("codex_cli_web_search", "langchain_anthropic"), ("ollama", "converse", "cohere")), "web_search"
    ),
    **dict.fromkeys(product(("google_genai", "vercel_openai"), ("ollama", "cohere")), "messages.content.file"),
}
#: How each API that has it is asked for a search of the web by its vendor.
SEARCHES = {
    "chat": "web_search_options",
    "responses": '"web_search"',
    "messages": "web_search_20",
    "generate": "googleSearch",
}
#: Upstream -> how many marks it takes.
MARKED = {"messages": 4, "converse": 4}


def hello(upstream: str) -> Any:
    return lambda doc, stream: SPEECH[upstream](Turn(1, text="Hello."), [], stream)


def sent(name: str, upstream: str) -> goldens.Sent:
    return asyncio.run(send(case(name), upstream, hello(upstream)))


@pytest.mark.parametrize(("name", "upstream"), FOREIGN)
def test_what_the_upstream_gets(name: str, upstream: str) -> None:
    asked, found = case(name), sent(name, upstream)
    if field := REFUSED.get((name, upstream)):
        assert found.reply.status_code == 400
        assert field in found.reply.text
        assert not found.requests
        return
    assert found.reply.status_code == 200, found.reply.text
    assert not VALID[upstream](without_sampling(upstream, found.doc), asked.stream)
    if upstream in ("messages", "converse"):
        thinking = (found.doc.get("additionalModelRequestFields") or found.doc).get("thinking")
        reading.thinks_first(found.doc, thinking)
    tools = list(reading.tools(upstream, found.doc))
    assert [bare(tool) for tool in tools] == [bare(tool) for tool in goldens.names(asked)]
    assert len(set(tools)) == len(tools)
    assert not asked.searches or SEARCHES[upstream] in found.requests[0].content.decode()
    at = 0
    for piece in goldens.system(asked):
        at = reading.system(upstream, found.doc).index(piece, at) + len(piece)
    if upstream in MARKED:
        assert marks(found.doc) == min(MARKED[upstream], marks(asked.body)) or "cache_control" in found.dropped
    elif marks(asked.body):
        assert marks(found.doc) == 0
        assert "cache_control" in found.dropped


def without_sampling(upstream: str, doc: Json) -> Json:
    """The newest types of Anthropic's SDK know no sampling, which the models here take all the same."""
    sampling = ("temperature", "top_p", "top_k") if upstream == "messages" else ()
    return {name: value for name, value in doc.items() if name not in sampling}


def bare(tool: str) -> str:
    """Without what an illegal name was mapped by: other characters, and a digest behind it."""
    cleaned = "".join(letter if letter.isalnum() else "_" for letter in tool)
    head, _, digest = cleaned.rpartition("_")
    return head if len(digest) == 8 and set(digest) <= set("0123456789abcdef") else cleaned


@pytest.mark.parametrize(("name", "upstream"), FOREIGN)
def test_golden(name: str, upstream: str) -> None:
    path, found = FOLDER / f"{name}.{upstream}.json", sent(name, upstream).golden()
    if os.environ.get("GOLDEN") == "write":
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.skip("written")
    assert found == json.loads(path.read_text(encoding="utf-8"))


def test_there_is_a_file_for_each() -> None:
    assert {path.name for path in FOLDER.glob("*.*.json")} == {
        f"{cell.values[0]}.{cell.values[1]}.json" for cell in FOREIGN
    }


@pytest.mark.parametrize("name", NAMES)
def test_its_own_api_gets_its_own_bytes(name: str) -> None:
    asked = case(name)
    found = sent(name, asked.client)
    assert found.reply.status_code == 200
    request = found.requests[0]
    assert json.loads(request.content) == asked.body
    assert request.url.raw_path.decode() == asked.path
    for header in ("anthropic-beta", "anthropic-version", "user-agent"):
        assert request.headers.get(header) == asked.headers.get(header) or header == "anthropic-version"
    assert not found.dropped


# ---------------------------------------------------------------- the reply to a freeform tool

PATCH = '*** Begin Patch\n*** Add File: "ü\\n".py\n+print("{\\"input\\": 1}")\t🎉\n*** End Patch\n'


def patched(upstream: str) -> Any:
    """Two calls at once: the patch, and a command."""

    def say(doc: Json, stream: bool) -> list[Json]:
        described = {told.partition(" ")[0]: name for name, told in reading.tools(upstream, doc).items()}
        custom = upstream in ("chat", "responses")
        first = Said("call_p", described["Use"], PATCH if custom else {"input": PATCH}, custom)
        second = Said("call_q", described["Runs"], {"cmd": "ls"})
        return SPEECH[upstream](Turn(1, text="Patching."), [first, second], stream)

    return say


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("upstream", PROVIDERS)
def test_a_patch_comes_back_as_codex_wants_it(upstream: str, stream: bool) -> None:
    asked = case("codex_cli")
    body = {**asked.body, "stream": stream}
    raw = zstandard.ZstdCompressor().compress(json.dumps(body).encode())
    made = goldens.Case(asked.name, asked.client, asked.path, asked.headers, body, raw)
    found = asyncio.run(send(made, upstream, patched(upstream)))
    assert found.reply.status_code == 200, found.reply.text
    events = [json.loads(line[6:]) for line in found.reply.text.splitlines() if line.startswith("data: {")]
    response = events[-1]["response"] if stream else found.reply.json()
    message, call, command = (item for item in response["output"] if item["type"] != "reasoning")
    assert message["content"][0]["text"] == "Patching."
    assert (call["type"], call["name"], call["input"]) == ("custom_tool_call", "apply_patch", PATCH)
    assert (command["type"], command["name"]) == ("function_call", "exec_command")
    assert json.loads(command["arguments"]) == {"cmd": "ls"}
    assert call["call_id"] != command["call_id"]
    if stream:
        deltas = [event["delta"] for event in events if event["type"] == "response.custom_tool_call_input.delta"]
        assert "".join(deltas) == PATCH
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert done == response["output"]
        told = [event["input"] for event in events if event["type"] == "response.custom_tool_call_input.done"]
        assert told == [PATCH]


# ---------------------------------------------------------------- what the Vercel AI SDK refers to


async def referred(upstream: str) -> tuple[list[Json], httpx.Response]:
    """Two steps of its agent with ``store`` on: what was said before is referred to, and calls are sent again."""
    turn, kind, model = SCRIPT[1], *PROVIDERS[upstream]
    asked: list[Json] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        docs = SPEECH[upstream](turn, said(upstream, turn, {TIME: "weather"}), False)
        made = fixtures.made(upstream, docs, False)
        return httpx.Response(200, headers={"content-type": made.content_type}, content=made.body)

    provider = replace(make_upstream(), kind=kind, apis=frozenset({upstream}))
    async with plane(table(route("m", Target(1, provider, model=model))), answer) as running:
        own = case("vercel_openai").body
        body = {"model": "m", "input": [*own["input"][:1], {"role": "user", "content": "Go."}], "tools": own["tools"]}
        body |= {"reasoning": own["reasoning"]}
        output = (await running.client.post("/v1/responses", json=body)).json()["output"]
        told = [{"type": "item_reference", "id": item["id"]} for item in output if item["type"] != "function_call"]
        calls = [item for item in output if item["type"] == "function_call"]
        results = [{"type": "function_call_output", "call_id": c["call_id"], "output": "no such zone"} for c in calls]
        again = [{name: c[name] for name in ("type", "call_id", "name", "arguments")} for c in calls]
        body["input"] = [*body["input"], *told, *again, *results]
        return asked, await running.client.post("/v1/responses", json=body)


@pytest.mark.parametrize("upstream", [name for name in PROVIDERS if name != "responses"])
def test_items_that_are_referred_to_come_back_whole(upstream: str) -> None:
    (_, second), reply = asyncio.run(referred(upstream))
    assert reply.status_code == 200, reply.text
    turn, items = SCRIPT[1], reading.READ[upstream](second)
    kinds = [item[0] for item in items if upstream != "generate" or item[0] != "thinking"]
    thought = ["thinking"] if upstream != "generate" else []
    assert kinds == ["user", *thought, "text", "call", "result"]
    assert ("text", turn.text) in items
    signed = {"messages": ("thinking", 2), "converse": ("thinking", 2), "generate": ("call", 4)}.get(upstream)
    if signed:
        assert next(item for item in items if item[0] == signed[0])[signed[1]] == turn.signature
