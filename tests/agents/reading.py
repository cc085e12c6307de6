"""What a request tells its upstream of the conversation so far: the tests' own reading, with each API's rules on turns.

An item is ("user", words), ("thinking", words, signature), ("text", words), ("call", id, name, arguments, signature) or
("result", id, name, words, "failed" or ""): a name where the API wants one, a flag where the API has one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

Json = Any
Item = tuple[str, ...]


def packed(arguments: Json) -> str:
    """In one form, whether the API has a string or an object."""
    return json.dumps(json.loads(arguments) if isinstance(arguments, str) else arguments, sort_keys=True)


def words(content: Json) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or ())


def alternating(roles: list[str]) -> None:
    assert roles[0] == "user", roles
    assert all(left != right for left, right in pairwise(roles)), roles


def answered(calls: list[str], results: list[str]) -> None:
    """Each call of a turn is answered once, right behind it."""
    assert sorted(calls) == sorted(results), (calls, results)


# ---------------------------------------------------------------- APIs with a message for each result


def _rows(messages: list[Json], thinking: Callable[[Json], str]) -> Iterator[Item]:
    """Of chat completions, Cohere and Ollama; the results of all calls stand right behind them."""
    open_calls: list[str] = []
    results: list[str] = []
    roles = [row["role"] for row in messages if row["role"] not in ("system", "developer")]
    assert ("assistant", "assistant") not in pairwise(roles), roles
    for row in messages:
        if row["role"] == "tool":
            results.append(row.get("tool_call_id", ""))
            flag = ""
            yield ("result", results[-1], row.get("tool_name", ""), words(row["content"]), flag)
            continue
        answered(open_calls, results)
        open_calls, results = [call.get("id", "") for call in row.get("tool_calls") or ()], []
        if row["role"] == "user":
            yield ("user", words(row["content"]))
        elif row["role"] == "assistant":
            yield from _assistant(row, thinking(row))
    answered(open_calls, results)


def _assistant(row: Json, thought: str) -> Iterator[Item]:
    if thought:
        yield ("thinking", thought, "")
    content = row.get("content") or ""
    if told := words([part for part in content if part["type"] == "text"] if isinstance(content, list) else content):
        yield ("text", told)
    for call in row.get("tool_calls") or ():
        made = call["function"]
        yield ("call", call.get("id", ""), made["name"], packed(made["arguments"]), "")


def chat(doc: Json) -> list[Item]:
    return list(_rows(doc["messages"], lambda row: row.get("reasoning_content") or ""))


def ollama(doc: Json) -> list[Item]:
    return list(_rows(doc["messages"], lambda row: row.get("thinking", "")))


def _cohere_thought(row: Json) -> str:
    content = row.get("content") or ""
    parts = [part["thinking"] for part in content if part["type"] == "thinking"] if isinstance(content, list) else []
    return "".join(parts)


def cohere(doc: Json) -> list[Item]:
    return list(_rows(doc["messages"], _cohere_thought))


# ---------------------------------------------------------------- responses


def responses(doc: Json) -> list[Item]:
    given = doc["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return [item for each in items if (item := _item(each)) is not None]


def _item(item: Json) -> Item | None:
    kind = item.get("type", "message")
    if kind == "reasoning":
        thought = "".join(part["text"] for part in item["summary"])
        return ("thinking", thought, item.get("encrypted_content") or "")
    if kind == "function_call":
        return ("call", item["call_id"], item["name"], packed(item["arguments"]), "")
    if kind == "function_call_output":
        return ("result", item["call_id"], "", words(item["output"]), "")
    assert kind == "message", kind
    if item["role"] in ("system", "developer"):
        return None
    return ("text" if item["role"] == "assistant" else "user", words(item["content"]))


# ---------------------------------------------------------------- Anthropic


def messages(doc: Json) -> list[Item]:
    alternating([message["role"] for message in doc["messages"]])
    found: list[Item] = []
    calls: list[str] = []
    thinks_first(doc, doc.get("thinking"))
    for message in doc["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        kinds = [block["type"] for block in blocks]
        if message["role"] == "user":
            results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            answered(calls, results)
            assert kinds[: len(results)] == ["tool_result"] * len(results), "results stand first"
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        found += [_block(message["role"], block) for block in blocks]
    return found


def thinks_first(doc: Json, asked: Json) -> None:
    """A model that is to think by a budget must have begun so the turn whose calls are answered now."""
    if (asked or {}).get("type") != "enabled":
        return
    begun = None
    for message in reversed(doc["messages"]):
        kinds = {block.get("type", next(iter(block))) for block in message["content"] if isinstance(block, dict)}
        if message["role"] == "assistant":
            begun = message["content"][0]
        elif not kinds & {"tool_result", "toolResult"}:
            break
    thought = ("thinking", "redacted_thinking", "reasoningContent")
    assert begun is None or begun.get("type", next(iter(begun))) in thought, "thinking stands first"


def _block(role: str, block: Json) -> Item:
    if block["type"] == "thinking":
        return ("thinking", block["thinking"], block["signature"])
    if block["type"] == "tool_use":
        return ("call", block["id"], block["name"], packed(block["input"]), "")
    if block["type"] == "tool_result":
        failed = "failed" if block.get("is_error") else ""
        return ("result", block["tool_use_id"], "", words(block["content"]), failed)
    return ("text" if role == "assistant" else "user", block["text"])


# ---------------------------------------------------------------- Gemini


def generate(doc: Json) -> list[Item]:
    alternating([content.get("role", "user") for content in doc["contents"]])
    found: list[Item] = []
    calls: list[Json] = []
    for content in doc["contents"]:
        results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        answered([call["name"] for call in calls], [result["name"] for result in results])
        answered([call.get("id", "") for call in calls], [result.get("id", "") for result in results])
        calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        found += [_part(content.get("role", "user"), part) for part in content["parts"]]
    return found


def _part(role: str, part: Json) -> Item:
    signature = part.get("thoughtSignature", "")
    if call := part.get("functionCall"):
        return ("call", call.get("id", ""), call["name"], packed(call.get("args") or {}), signature)
    if result := part.get("functionResponse"):
        (name, told), *rest = result["response"].items()
        assert not rest, result
        return ("result", result.get("id", ""), result["name"], told, "failed" if name == "error" else "")
    if part.get("thought"):
        return ("thinking", part["text"], signature)
    return ("text" if role == "model" else "user", part["text"])


# ---------------------------------------------------------------- Bedrock


def converse(doc: Json) -> list[Item]:
    thinks_first(doc, (doc.get("additionalModelRequestFields") or {}).get("thinking"))
    alternating([message["role"] for message in doc["messages"]])
    found: list[Item] = []
    calls: list[str] = []
    for message in doc["messages"]:
        blocks = message["content"]
        answered(calls, [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block])
        calls = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
        found += [_converse_block(message["role"], block) for block in blocks]
    return found


def _converse_block(role: str, block: Json) -> Item:
    if "reasoningContent" in block:
        thought = block["reasoningContent"]["reasoningText"]
        return ("thinking", thought["text"], thought["signature"])
    if use := block.get("toolUse"):
        return ("call", use["toolUseId"], use["name"], packed(use["input"]), "")
    if result := block.get("toolResult"):
        told = "".join(part.get("text") or json.dumps(part["json"]) for part in result["content"])
        return ("result", result["toolUseId"], "", told, "failed" if result.get("status") == "error" else "")
    return ("text" if role == "assistant" else "user", block["text"])


READ: dict[str, Callable[[Json], list[Item]]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "generate": generate,
    "ollama": ollama,
    "converse": converse,
    "cohere": cohere,
}


# ---------------------------------------------------------------- tools and system


def tools(upstream: str, doc: Json) -> dict[str, str]:
    """Name of each function tool -> its description."""
    return {tool["name"]: tool.get("description", "") for tool in _declared(upstream, doc)}


def _declared(upstream: str, doc: Json) -> list[Json]:
    if upstream == "generate":
        return [each for tool in doc.get("tools", ()) for each in tool.get("functionDeclarations", ())]
    if upstream == "converse":
        rows = (doc.get("toolConfig") or {}).get("tools", ())
        return [row["toolSpec"] for row in rows if "toolSpec" in row]
    if upstream == "messages":
        return [tool for tool in doc.get("tools", ()) if "input_schema" in tool]
    rows = doc.get("tools", ())
    if upstream == "responses":
        flat = [each for tool in rows for each in tool.get("tools", [tool])]
        return [tool for tool in flat if tool["type"] in ("function", "custom")]
    return [tool[tool["type"]] for tool in rows if tool["type"] in ("function", "custom")]


def system(upstream: str, doc: Json) -> str:
    """All that the system says, in its order."""
    if upstream == "generate":
        return words((doc.get("systemInstruction") or {}).get("parts"))
    if upstream == "messages":
        return words(doc.get("system"))
    if upstream == "converse":
        return "".join(block.get("text", "") for block in doc.get("system", ()))
    rows = doc["input"] if upstream == "responses" else doc["messages"]
    told = [words(row["content"]) for row in rows if row.get("role") in ("system", "developer")]
    return (doc.get("instructions") or "") + "".join(told)
