"""The same request as a client of each dialect writes it."""

from __future__ import annotations

from typing import Any

Doc = dict[str, Any]


def turn(client: str, role: str, text: str = "Say JSON.") -> Doc:
    if client == "gemini":
        return {"role": role, "parts": [{"text": text}]}
    return {"role": role, "content": text}


def request(client: str, turns: list[Any], **more: Any) -> Doc:
    member = {"openai_responses": "input", "gemini": "contents"}.get(client, "messages")
    base: Doc = {} if client == "gemini" else {"model": "m"}
    base |= {"max_tokens": 9} if client == "anthropic" else {}
    return base | {member: turns} | more


def asked(client: str, **more: Any) -> Doc:
    return request(client, [turn(client, "user")], **more)


def limits(client: str, name: str, value: Any) -> Doc:
    """A request with a sampling parameter or limit."""
    words = {
        "openai_responses": {"max_tokens": "max_output_tokens"},
        "gemini": {"max_tokens": "maxOutputTokens", "top_p": "topP", "stop": "stopSequences"},
        "anthropic": {"stop": "stop_sequences"},
    }
    told = {words.get(client, {}).get(name, name): value}
    return asked(client, generationConfig=told) if client == "gemini" else asked(client, **told)


def called(client: str, arguments: str, call: bool = True, name: str = "f") -> Doc:
    """A turn with a call, unless it is left out, and a turn with its result."""
    turns = [turn(client, "user")]
    if client == "openai_chat":
        wire = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
        turns += [{"role": "assistant", "tool_calls": [wire]}] * call
        turns.append({"role": "tool", "tool_call_id": "c1", "content": "1"})
    elif client == "openai_responses":
        turns += [{"type": "function_call", "call_id": "c1", "name": name, "arguments": arguments}] * call
        turns.append({"type": "function_call_output", "call_id": "c1", "output": "1"})
    elif client == "anthropic":
        block = {"type": "tool_use", "id": "c1", "name": name, "input": {}}
        turns += [{"role": "assistant", "content": [block]}] * call
        turns.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "1"}]})
    else:
        turns += [{"role": "model", "parts": [{"functionCall": {"name": name, "args": {}}}]}] * call
        turns.append({"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"output": "1"}}}]})
    return request(client, turns)


def pictured(client: str, kind: str, data: str = "AAAA") -> Doc:
    url = f"data:{kind};base64,{data}"
    part: Any = {
        "openai_chat": {"type": "image_url", "image_url": {"url": url}},
        "openai_responses": {"type": "input_image", "image_url": url},
        "anthropic": {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}},
        "gemini": {"inlineData": {"mimeType": kind, "data": data}},
    }[client]
    return request(client, [{"role": "user", "parts" if client == "gemini" else "content": [part]}])


def tooled(client: str, schema: Any, name: str = "f") -> Doc:
    tool: Doc = {
        "openai_chat": {"type": "function", "function": {"name": name, "parameters": schema}},
        "openai_responses": {"type": "function", "name": name, "parameters": schema},
        "anthropic": {"name": name, "input_schema": schema},
        "gemini": {"functionDeclarations": [{"name": name, "parametersJsonSchema": schema}]},
    }[client]
    return asked(client, tools=[tool])


def shaped(client: str, schema: Any) -> Doc:
    form = {"type": "json_schema", "schema": schema}
    if client == "openai_chat":
        return asked(client, response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
    if client == "openai_responses":
        return asked(client, text={"format": form | {"name": "n"}})
    if client == "anthropic":
        return asked(client, output_config={"format": form})
    return asked(client, generationConfig={"responseMimeType": "application/json", "responseJsonSchema": schema})


def jsoned(client: str, text: str) -> Doc:
    """Any JSON object, asked for by a field, beside ``text``; Anthropic has no such field."""
    turns = [turn(client, "user", text)]
    if client == "openai_chat":
        return request(client, turns, response_format={"type": "json_object"})
    if client == "openai_responses":
        return request(client, turns, text={"format": {"type": "json_object"}})
    return request(client, turns, generationConfig={"responseMimeType": "application/json"})
