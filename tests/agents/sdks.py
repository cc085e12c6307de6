"""Agents written on the official SDKs: each asks, appends what it got as its SDK's users do, and answers the calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from google.genai import types
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.agents.script import QUESTION, SYSTEM, TOOLS
from tests.matrix.answers import sdk

Json = dict[str, Any]
MODEL, BUDGET, LIMIT = "m", 2048, 8192


@dataclass(slots=True)
class Asked:
    """A call that the model asks for, as its SDK shows it."""

    id: str
    name: str
    arguments: Any


@dataclass(slots=True)
class Heard:
    thinking: str = ""
    text: str = ""
    calls: list[Asked] = field(default_factory=list)


#: A call, its result, and whether that is an error.
Answer = tuple[Asked, str, bool]


class Agent(Protocol):
    def __init__(self, stream: bool) -> None: ...

    async def ask(self) -> Heard: ...

    def answer(self, answers: list[Answer]) -> None: ...


class Chat:
    """Keeps the assistant's message as the SDK has it, with the members that the SDK does not know."""

    def __init__(self, stream: bool) -> None:
        self.stream = stream
        self.messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        self.tools = [
            {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
            for t in TOOLS
        ]

    async def ask(self) -> Heard:
        given = {"model": MODEL, "messages": self.messages, "tools": self.tools, "reasoning_effort": "medium"}
        made = sdk("openai").chat.completions
        if not self.stream:
            message = (await made.create(**given)).choices[0].message
            self.messages.append(message)
        else:
            message = await self._streamed(await made.create(**given, stream=True))
        calls = [Asked(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or ()]
        return Heard(getattr(message, "reasoning_content", None) or "", message.content or "", calls)

    async def _streamed(self, chunks: Any) -> Any:
        state: Any = ChatCompletionStreamState()
        async for chunk in chunks:
            state.handle_chunk(chunk)
        message = state.get_final_completion().choices[0].message
        own = message.to_dict()
        own.pop("parsed", None)
        for call in own.get("tool_calls") or ():
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        self.messages.append(own)
        return message

    def answer(self, answers: list[Answer]) -> None:
        self.messages += [{"role": "tool", "tool_call_id": asked.id, "content": result} for asked, result, _ in answers]


class Responses:
    """Carries everything itself: nothing is stored, reasoning comes encrypted."""

    stored = False

    def __init__(self, stream: bool) -> None:
        self.stream = stream
        self.input: list[Any] = [{"role": "user", "content": QUESTION}]
        self.previous: str | None = None
        self.tools = [
            {"type": "function", "strict": False, "name": t.name, "description": t.description, "parameters": t.schema}
            for t in TOOLS
        ]

    def given(self) -> Json:
        reasoning = {"effort": "medium", "summary": "auto"}
        given: Json = {"model": MODEL, "instructions": SYSTEM, "input": self.input, "reasoning": reasoning}
        given |= {"tools": self.tools, "stream": self.stream}
        if not self.stored:
            return given | {"store": False, "include": ["reasoning.encrypted_content"]}
        return given | ({"previous_response_id": self.previous} if self.previous else {})

    async def ask(self) -> Heard:
        found = await sdk("openai").responses.create(**self.given())
        response = found
        if self.stream:
            events = [event async for event in found]
            response = events[-1].response
            done = [event.item for event in events if event.type == "response.output_item.done"]
            assert [item.to_dict() for item in done] == [item.to_dict() for item in response.output]
        self.previous = response.id
        self.input = [] if self.stored else [*self.input, *response.output]
        thoughts = [item for item in response.output if item.type == "reasoning"]
        parts = [part.text for item in thoughts for part in [*item.summary, *(item.content or ())]]
        calls = [item for item in response.output if item.type == "function_call"]
        asked = [Asked(call.call_id, call.name, json.loads(call.arguments)) for call in calls]
        return Heard("".join(parts), response.output_text, asked)

    def answer(self, answers: list[Answer]) -> None:
        self.input += [
            {"type": "function_call_output", "call_id": asked.id, "output": result} for asked, result, _ in answers
        ]


class StoredResponses(Responses):
    """Goes on from the response before."""

    stored = True


class Messages:
    def __init__(self, stream: bool) -> None:
        self.stream = stream
        self.messages: list[Any] = [{"role": "user", "content": QUESTION}]
        self.tools = [{"name": t.name, "description": t.description, "input_schema": t.schema} for t in TOOLS]

    async def ask(self) -> Heard:
        given: Json = {"model": MODEL, "max_tokens": LIMIT, "system": SYSTEM, "messages": self.messages}
        given |= {"tools": self.tools, "thinking": {"type": "enabled", "budget_tokens": BUDGET}}
        made = sdk("messages").messages
        if self.stream:
            async with made.stream(**given) as stream:
                message = await stream.get_final_message()
        else:
            message = await made.create(**given)
        self.messages.append({"role": "assistant", "content": message.content})
        blocks = message.content
        return Heard(
            "".join(block.thinking for block in blocks if block.type == "thinking"),
            "".join(block.text for block in blocks if block.type == "text"),
            [Asked(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"],
        )

    def answer(self, answers: list[Answer]) -> None:
        blocks = [
            {"type": "tool_result", "tool_use_id": asked.id, "content": result} | ({"is_error": True} if failed else {})
            for asked, result, failed in answers
        ]
        self.messages.append({"role": "user", "content": blocks})


class Generate:
    """Appends the model's content as it is, or the parts of a stream as one. With a stream it answers calls by name
    alone, as the SDK's own ``from_function_response`` does."""

    def __init__(self, stream: bool) -> None:
        self.stream = stream
        self.contents: list[Any] = [types.Content(role="user", parts=[types.Part(text=QUESTION)])]
        tools = [{"name": t.name, "description": t.description, "parameters_json_schema": t.schema} for t in TOOLS]
        self.config = types.GenerateContentConfig(
            system_instruction=SYSTEM,
            tools=[types.Tool(function_declarations=tools)],  # type: ignore[arg-type]
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=BUDGET),
        )

    async def ask(self) -> Heard:
        given: Json = {"model": MODEL, "contents": self.contents, "config": self.config}
        models = sdk("generate").models
        if self.stream:
            chunks = [chunk async for chunk in await models.generate_content_stream(**given)]
            found = [c.candidates[0].content for c in chunks if c.candidates and c.candidates[0].content]
            parts = [part for content in found for part in content.parts or ()]
            self.contents.append(types.Content(role="model", parts=parts))
        else:
            content = (await models.generate_content(**given)).candidates[0].content
            self.contents.append(content)
            parts = content.parts
        calls = [part.function_call for part in parts if part.function_call]
        return Heard(
            "".join(part.text for part in parts if part.text and part.thought),
            "".join(part.text for part in parts if part.text and not part.thought),
            [Asked(call.id or "", call.name, call.args or {}) for call in calls],
        )

    def answer(self, answers: list[Answer]) -> None:
        parts = []
        for asked, result, failed in answers:
            told = {"error" if failed else "result": result}
            if self.stream:
                parts.append(types.Part.from_function_response(name=asked.name, response=told))
            else:
                made = types.FunctionResponse(id=asked.id or None, name=asked.name, response=told)
                parts.append(types.Part(function_response=made))
        self.contents.append(types.Content(role="user", parts=parts))


AGENTS: dict[str, Callable[[bool], Agent]] = {
    "chat": Chat,
    "responses": Responses,
    "responses-stored": StoredResponses,
    "messages": Messages,
    "generate": Generate,
}
