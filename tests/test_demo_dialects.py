"""The demo provider by every official SDK: whatever dialect somebody tries first, it answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as gemini
from pydantic import BaseModel

from providers.demo import DOT, MODELS
from tests.live import KEY, LIMIT, TENANT, Gateway, prepare, serve
from tests.recordings import Json

# google-genai's own use of aiohttp.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

SAID = "You said: What is up?"
WORDS = "one two three four five six seven eight nine ten"
PARAMETERS: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in ("weather", "time")
]
RESPONSES_TOOLS: Any = [{"type": "function", "name": name, "parameters": PARAMETERS} for name in ("weather", "time")]
ANTHROPIC_TOOLS: Any = [{"name": name, "input_schema": PARAMETERS} for name in ("weather", "time")]
GEMINI_TOOLS: Any = [{"function_declarations": [{"name": n, "parameters": PARAMETERS} for n in ("weather", "time")]}]


class Answer(BaseModel):
    city: str
    degrees: list[int]
    sunny: bool | None


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    data = tmp_path_factory.mktemp("demo") / "data"
    config: Json = {
        "version": 1,
        "providers": [{"name": "demo", "kind": "demo"}],
        "routes": [{"model": name, "targets": [{"provider": "demo"}]} for name in MODELS],
        "tenants": [{"name": TENANT, "keys": [{"name": "live", "key": KEY}]}],
    }
    prepare(data, config)
    with serve("uvicorn", data) as found:
        yield found


@pytest.fixture(scope="module")
def chat(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.origin}/v1", api_key=KEY, max_retries=0, timeout=LIMIT) as client:
        yield client


@pytest.fixture(scope="module")
def claude(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.origin, api_key=KEY, max_retries=0, timeout=LIMIT) as client:
        yield client


@pytest.fixture(scope="module")
def google(gateway: Gateway) -> Iterator[genai.Client]:
    client = genai.Client(api_key=KEY, http_options=gemini.HttpOptions(base_url=gateway.origin))
    yield client
    client.close()


def user(content: Any = "What is up?") -> Any:
    return [{"role": "user", "content": content}]


class TestChat:
    def test_text_whole_and_streamed(self, chat: openai.OpenAI) -> None:
        whole = chat.chat.completions.create(model="demo", messages=user([{"type": "text", "text": "What is up?"}]))
        text = whole.choices[0].message.content or ""
        assert SAID in text and whole.usage and whole.usage.completion_tokens
        chunks = list(
            chat.chat.completions.create(
                model="demo", messages=user(), stream=True, stream_options={"include_usage": True}
            )
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
        assert chunks[-1].usage == whole.usage

    def test_its_bounds(self, chat: openai.OpenAI) -> None:
        cut = chat.chat.completions.create(model="demo", messages=user(WORDS), max_completion_tokens=4)
        assert cut.choices[0].finish_reason == "length" and cut.usage and cut.usage.completion_tokens == 4
        stopped = chat.chat.completions.create(model="demo", messages=user(WORDS), stop=["four"])
        assert (stopped.choices[0].message.content or "").endswith("one two three ")

    def test_a_tool_and_its_result(self, chat: openai.OpenAI) -> None:
        asked = chat.chat.completions.create(model="demo", messages=user("Paris"), tools=CHAT_TOOLS)
        call = (asked.choices[0].message.tool_calls or [])[0]
        assert call.type == "function" and asked.choices[0].finish_reason == "tool_calls"
        assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})
        turns = [
            *user("Paris"),
            asked.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
        ]
        told = chat.chat.completions.create(model="demo", messages=turns, tools=CHAT_TOOLS)
        assert told.choices[0].message.content == "The tool answered: 21 degrees"

    @pytest.mark.parametrize(
        ("choice", "called"),
        [
            ("none", None),
            ("required", "weather"),
            ({"type": "function", "function": {"name": "time"}}, "time"),
            (
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "time"}}],
                    },
                },
                "time",
            ),
        ],
    )
    def test_tool_choice(self, chat: openai.OpenAI, choice: Any, called: str | None) -> None:
        reply = chat.chat.completions.create(model="demo", messages=user(), tools=CHAT_TOOLS, tool_choice=choice)
        calls: Any = reply.choices[0].message.tool_calls or []
        assert [call.function.name for call in calls] == ([called] if called else [])

    def test_a_custom_tool_streamed(self, chat: openai.OpenAI) -> None:
        tools: Any = [{"type": "custom", "custom": {"name": "run"}}]
        stream: Any = chat.chat.completions.create(model="demo", messages=user("ls -l"), tools=tools, stream=True)
        deltas = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
        found = [delta.model_dump()["custom"] for delta in deltas]
        assert found[0]["name"] == "run" and "".join(each["input"] for each in found) == "ls -l"

    def test_a_call_that_does_not_fit_is_not_made(self, chat: openai.OpenAI) -> None:
        reply = chat.chat.completions.create(model="demo", messages=user(WORDS), tools=CHAT_TOOLS, max_tokens=3)
        assert reply.choices[0].finish_reason == "length" and reply.choices[0].message.tool_calls is None

    def test_media(self, chat: openai.OpenAI) -> None:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DOT}"}}
        sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
        one = chat.chat.completions.create(model="demo", messages=user([{"type": "text", "text": "Look"}, image]))
        assert "I see an image. You said: Look" in (one.choices[0].message.content or "")
        more = chat.chat.completions.create(model="demo", messages=user([image, sound, image]))
        assert "I see 2 images. I hear a recording." in (more.choices[0].message.content or "")

    def test_a_schema_is_filled_in(self, chat: openai.OpenAI) -> None:
        reply = chat.chat.completions.parse(model="demo", messages=user("Paris"), response_format=Answer)
        assert reply.choices[0].message.parsed == Answer(city="Paris", degrees=[1], sunny=True)
        form: Any = {"type": "json_object"}
        loose = chat.chat.completions.create(model="demo", messages=user("Paris"), response_format=form)
        assert json.loads(loose.choices[0].message.content or "") == {"answer": "Paris"}

    def test_a_schema_without_end(self, chat: openai.OpenAI) -> None:
        node: Json = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
        many: Json = {"type": "string"}
        for _ in range(40):
            many = {"type": "array", "items": many, "minItems": 1000}
        for schema in ({**node, "$defs": {"node": node}}, {"type": "object", "properties": {"all": many}}):
            form: Any = {"type": "json_schema", "json_schema": {"name": "node", "schema": schema}}
            reply = chat.chat.completions.create(model="demo", messages=user(), response_format=form)
            assert len(reply.choices[0].message.content or "") < 500_000

    def test_thinking(self, chat: openai.OpenAI) -> None:
        reply = chat.chat.completions.create(model="demo", messages=user(), reasoning_effort="low")
        assert "Word count: 3" in reply.choices[0].message.model_dump()["reasoning_content"]
        details = reply.usage and reply.usage.completion_tokens_details
        assert reply.usage and details and 0 < (details.reasoning_tokens or 0) < reply.usage.completion_tokens
        none = chat.chat.completions.create(model="demo", messages=user(), reasoning_effort="none")
        assert "reasoning_content" not in none.choices[0].message.model_dump()

    def test_the_legacy_api(self, chat: openai.OpenAI) -> None:
        whole = chat.completions.create(model="demo", prompt="What is up?")
        stream = chat.completions.create(model="demo", prompt="What is up?", stream=True)
        assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text
        assert SAID in whole.choices[0].text

    def test_images(self, chat: openai.OpenAI) -> None:
        found = chat.images.generate(model="demo", prompt="a cat", n=2, response_format="b64_json").data or []
        assert [base64.b64decode(image.b64_json or "")[:4] for image in found] == [b"\x89PNG"] * 2

    @pytest.mark.parametrize(
        "body",
        [
            {"messages": []},
            {"messages": [5]},
            {"messages": user(), "stop": [1]},
            {"messages": user(), "tools": [{"type": "function"}]},
        ],
    )
    def test_what_it_cannot_read(self, chat: openai.OpenAI, body: Json) -> None:
        with pytest.raises(openai.BadRequestError):
            chat.post("/chat/completions", body={"model": "demo", **body}, cast_to=object)


class TestEmbeddings:
    def test_openai(self, chat: openai.OpenAI) -> None:
        found = chat.embeddings.create(model="demo-embedding", input=["a cat", "the cat", "a cat"])
        first, near, same = (item.embedding for item in found.data)
        assert len(first) == 256 and first == same != near and found.usage.prompt_tokens == 6
        assert len(chat.embeddings.create(model="demo-embedding", input="x", dimensions=9).data[0].embedding) == 9
        ids = chat.embeddings.create(model="demo-embedding", input=[[1, 2], [3]])
        assert [item.index for item in ids.data] == [0, 1]

    @pytest.mark.parametrize("dimensions", [-1, 10**9])
    def test_sizes_that_it_has_not(self, chat: openai.OpenAI, dimensions: int) -> None:
        with pytest.raises(openai.BadRequestError):
            chat.embeddings.create(model="demo-embedding", input="x", dimensions=dimensions)

    def test_gemini(self, google: genai.Client, chat: openai.OpenAI) -> None:
        found = google.models.embed_content(model="demo-embedding", contents=["a cat", "dogs"])
        assert found.embeddings is not None and len(found.embeddings) == 2
        own = chat.embeddings.create(model="demo-embedding", input="a cat").data[0].embedding
        assert found.embeddings[0].values == pytest.approx(own, abs=1e-6)


class TestResponses:
    def test_text_whole_and_streamed(self, chat: openai.OpenAI) -> None:
        whole = chat.responses.create(model="demo", input="What is up?")
        assert SAID in whole.output_text and whole.usage and whole.usage.output_tokens
        events: Any = list(chat.responses.create(model="demo", input="What is up?", stream=True))
        assert events[-1].type == "response.completed" and events[-1].response.output_text == whole.output_text

    def test_a_conversation_that_the_gateway_keeps(self, chat: openai.OpenAI) -> None:
        first = chat.responses.create(model="demo", input="What is up?")
        again = chat.responses.create(model="demo", input="And now?", previous_response_id=first.id)
        assert first.usage and again.usage and again.usage.input_tokens > first.usage.input_tokens
        assert chat.responses.retrieve(again.id).output_text == again.output_text

    def test_a_tool_and_its_result(self, chat: openai.OpenAI) -> None:
        asked: Any = chat.responses.create(model="demo", input="Paris", tools=RESPONSES_TOOLS)
        call = asked.output[-1]
        assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "weather", {"city": "Paris"})
        result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}]
        told = chat.responses.create(model="demo", input=result, previous_response_id=asked.id, tools=RESPONSES_TOOLS)
        assert told.output_text == "The tool answered: 21 degrees"

    def test_media_schema_and_thinking(self, chat: openai.OpenAI) -> None:
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{DOT}"}
        look = [{"type": "input_text", "text": "Look"}, image]
        seen = chat.responses.create(model="demo", input=user(look), reasoning={"effort": "low"})
        assert "I see an image. You said: Look" in seen.output_text and seen.output[0].type == "reasoning"
        assert chat.responses.parse(model="demo", input="Paris", text_format=Answer).output_parsed

    def test_its_bounds_and_count(self, chat: openai.OpenAI) -> None:
        cut = chat.responses.create(model="demo", input=WORDS, max_output_tokens=4)
        assert cut.status == "incomplete" and cut.incomplete_details
        assert cut.incomplete_details.reason == "max_output_tokens"
        counted = chat.responses.input_tokens.with_raw_response.count(model="demo", input=WORDS)
        assert counted.headers["x-gateway-estimated"] == "true" and counted.parse().input_tokens > 10


class TestAnthropic:
    def test_text_whole_and_streamed(self, claude: anthropic.Anthropic) -> None:
        whole: Any = claude.messages.create(model="demo", max_tokens=99, messages=user())
        assert SAID in whole.content[0].text and whole.stop_reason == "end_turn" and whole.usage.output_tokens
        with claude.messages.stream(model="demo", max_tokens=99, messages=user()) as stream:
            assert "".join(stream.text_stream) == whole.content[0].text
            told = stream.get_final_message().usage
        assert (told.input_tokens, told.output_tokens) == (whole.usage.input_tokens, whole.usage.output_tokens)

    def test_its_bounds(self, claude: anthropic.Anthropic) -> None:
        cut = claude.messages.create(model="demo", max_tokens=4, messages=user(WORDS))
        assert cut.stop_reason == "max_tokens" and cut.usage.output_tokens == 4
        stopped: Any = claude.messages.create(
            model="demo", max_tokens=99, messages=user(WORDS), stop_sequences=["four", "ten"]
        )
        assert stopped.content[0].text.endswith("one two three ")

    def test_a_tool_and_its_result(self, claude: anthropic.Anthropic) -> None:
        with claude.messages.stream(
            model="demo", max_tokens=99, messages=user("Paris"), tools=ANTHROPIC_TOOLS
        ) as stream:
            asked: Any = stream.get_final_message()
        call = asked.content[-1]
        assert (asked.stop_reason, call.name, call.input) == ("tool_use", "weather", {"city": "Paris"})
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DOT}}
        content = [{"type": "text", "text": "21 degrees"}, image]
        result = [{"type": "tool_result", "tool_use_id": call.id, "content": content}]
        turns: Any = [*user("Paris"), {"role": "assistant", "content": asked.content}, *user(result)]
        told: Any = claude.messages.create(model="demo", max_tokens=99, messages=turns, tools=ANTHROPIC_TOOLS)
        assert told.content[0].text == "I see an image. The tool answered: 21 degrees"

    @pytest.mark.parametrize(
        ("choice", "called"),
        [({"type": "none"}, None), ({"type": "any"}, "weather"), ({"type": "tool", "name": "time"}, "time")],
    )
    def test_tool_choice(self, claude: anthropic.Anthropic, choice: Any, called: str | None) -> None:
        reply = claude.messages.create(
            model="demo", max_tokens=99, messages=user(), tools=ANTHROPIC_TOOLS, tool_choice=choice
        )
        calls = [block.name for block in reply.content if block.type == "tool_use"]
        assert calls == ([called] if called else [])

    def test_media_and_thinking(self, claude: anthropic.Anthropic) -> None:
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DOT}}
        content = [image, {"type": "text", "text": "Look"}]
        reply: Any = claude.messages.create(
            model="demo", max_tokens=2000, messages=user(content), thinking={"type": "enabled", "budget_tokens": 1024}
        )
        assert [block.type for block in reply.content] == ["thinking", "text"]
        assert (
            "I see an image. You said: Look" in reply.content[1].text and "Word count: 1" in reply.content[0].thinking
        )

    def test_a_schema_is_filled_in(self, claude: anthropic.Anthropic) -> None:
        reply = claude.messages.parse(model="demo", max_tokens=99, messages=user("Paris"), output_format=Answer)
        assert reply.parsed_output == Answer(city="Paris", degrees=[1], sunny=True)

    def test_count(self, claude: anthropic.Anthropic) -> None:
        counted = claude.messages.with_raw_response.count_tokens(model="demo", messages=user(WORDS))
        assert counted.headers["x-gateway-estimated"] == "true" and counted.parse().input_tokens > 10


class TestGemini:
    def test_text_whole_and_streamed(self, google: genai.Client) -> None:
        whole = google.models.generate_content(model="demo", contents="What is up?")
        assert SAID in (whole.text or "") and whole.usage_metadata and whole.usage_metadata.candidates_token_count
        chunks = list(google.models.generate_content_stream(model="demo", contents="What is up?"))
        assert "".join(chunk.text or "" for chunk in chunks) == whole.text
        assert chunks[-1].candidates and chunks[-1].candidates[0].finish_reason == "STOP"

    def test_its_bounds(self, google: genai.Client) -> None:
        limits = gemini.GenerateContentConfig(max_output_tokens=4)
        cut = google.models.generate_content(model="demo", contents=WORDS, config=limits)
        assert cut.candidates and cut.candidates[0].finish_reason == "MAX_TOKENS"
        stops = gemini.GenerateContentConfig(stop_sequences=["four"])
        assert (google.models.generate_content(model="demo", contents=WORDS, config=stops).text or "").endswith(
            "three "
        )

    def test_a_tool_and_its_result(self, google: genai.Client) -> None:
        config = gemini.GenerateContentConfig(tools=GEMINI_TOOLS)
        asked: Any = google.models.generate_content(model="demo", contents="Paris", config=config)
        call = asked.function_calls[0]
        assert (call.name, call.args) == ("weather", {"city": "Paris"})
        result = gemini.Part.from_function_response(name="weather", response={"result": "21 degrees"})
        turns: Any = [
            gemini.Content(role="user", parts=[gemini.Part(text="Paris")]),
            asked.candidates[0].content,
            gemini.Content(role="user", parts=[result]),
        ]
        told = google.models.generate_content(model="demo", contents=turns, config=config)
        assert (told.text or "").startswith("The tool answered:") and "21 degrees" in (told.text or "")

    @pytest.mark.parametrize(
        ("mode", "names", "called"), [("NONE", None, None), ("ANY", None, "weather"), ("ANY", ["time"], "time")]
    )
    def test_tool_choice(self, google: genai.Client, mode: Any, names: Any, called: str | None) -> None:
        calling = gemini.FunctionCallingConfig(mode=mode, allowed_function_names=names)
        config = gemini.GenerateContentConfig(
            tools=GEMINI_TOOLS, tool_config=gemini.ToolConfig(function_calling_config=calling)
        )
        reply = google.models.generate_content(model="demo", contents="Paris", config=config)
        assert [call.name for call in reply.function_calls or []] == ([called] if called else [])

    def test_media_schema_and_thinking(self, google: genai.Client) -> None:
        image = gemini.Part.from_bytes(data=base64.b64decode(DOT), mime_type="image/png")
        thinking = gemini.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        config = gemini.GenerateContentConfig(thinking_config=thinking)
        reply: Any = google.models.generate_content(model="demo", contents=[image, "Look"], config=config)
        assert "I see an image. You said: Look" in reply.text
        assert reply.candidates[0].content.parts[0].thought and reply.usage_metadata.thoughts_token_count
        form = gemini.GenerateContentConfig(response_mime_type="application/json", response_schema=Answer)
        filled = google.models.generate_content(model="demo", contents="Paris", config=form)
        assert isinstance(filled.parsed, Answer) and filled.parsed.city == "Paris"

    def test_count(self, google: genai.Client) -> None:
        counted = google.models.count_tokens(model="demo", contents=WORDS)
        assert (counted.total_tokens or 0) > 10 and counted.sdk_http_response
        assert (counted.sdk_http_response.headers or {})["x-gateway-estimated"] == "true"


def test_each_sdk_lists_it(chat: openai.OpenAI, claude: anthropic.Anthropic, google: genai.Client) -> None:
    assert [model.id for model in chat.models.list()] == list(MODELS)
    assert [model.id for model in claude.models.list()] == list(MODELS)
    assert [model.name for model in google.models.list()] == [f"models/{name}" for name in MODELS]
