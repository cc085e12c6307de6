"""Redaction: what is found, and that it is found alike however a stream is cut."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.events import Event, Finished, Started, TextDelta, ToolDelta, ToolStarted
from providers.sse import Event as SseEvent
from providers.sse import Parser, write
from routing.call import Call
from routing.endpoint import Endpoint
from routing.hooks import HookCall, HookReply, Hooks, Means, OptionError, read_options
from routing.shipped.custom import PatternError, custom
from routing.shipped.finders import FINDERS, Known
from routing.shipped.redact import Redact
from routing.shipped.scanner import Finder, Redactor, redacted
from tenants.ledger import Entry
from tenants.objects import MemoryStore
from tests import recordings

OWN = custom("employee", r"\bE-\d{3,6}\b")
ALL: list[Finder] = [
    OWN,
    Known(["[EMAIL_1]", "[EMAIL_11]", "[CARD_1]"]),
    *(each for found in FINDERS.values() for each in found),
]


def named(name: str, value: str) -> str:
    return f"<{name}>"


def whole(text: str) -> str:
    return redacted(text, ALL, named)


def streamed(pieces: Iterable[str]) -> str:
    redactor = Redactor(ALL, named)
    return "".join([redactor.feed(piece) for piece in pieces]) + redactor.flush()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("write to ann.lee+x@mail.example.co.uk.", "write to <EMAIL>."),
        ("(ann@example.org)", "(<EMAIL>)"),
        ("联系ann@example.com谢谢", "联系<EMAIL>谢谢"),
        ("jörg@müller.de", "<EMAIL>"),
        ("." * 80 + "ann@example.com", "." * 19 + "<EMAIL>"),
        ("a@b, @here, x@localhost", "a@b, @here, x@localhost"),
        ("4111 1111 1111 1111", "<CARD>"),
        ("4111-1111-1111-1111!", "<CARD>!"),
        ("card 378282246310005, exp 12/27", "card <CARD>, exp 12/27"),
        ("12 4111 1111 1111 1111 123", "12 <CARD> 123"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("0000 0000 0000 0000", "0000 0000 0000 0000"),
        ("order 41111111111111111111", "order 41111111111111111111"),
        ("at 1732190000000 ms", "at 1732190000000 ms"),
        ("DE89 3704 0044 0532 0130 00 EUR", "<IBAN> EUR"),
        ("gb82west12345698765432", "<IBAN>"),
        ("DE89370400440532013001", "DE89370400440532013001"),
        ("XDE89370400440532013000", "XDE89370400440532013000"),
        ("call +49 (0)30 123-456 78 now", "call <PHONE> now"),
        ("(555) 010-9999, 555.010.9999", "<PHONE>, <PHONE>"),
        ("in 2024, 12.5 + 3 = 15.5", "in 2024, 12.5 + 3 = 15.5"),
        ("E-1234 and XE-1234 and E-12345678", "<EMPLOYEE> and XE-1234 and E-12345678"),
        ("[EMAIL_1] [EMAIL_11] [EMAIL_2]", "<KNOWN> <KNOWN> [EMAIL_2]"),
    ],
)
def test_what_is_found(text: str, told: str) -> None:
    assert whole(text) == told
    assert streamed(text) == told


SAMPLE = (
    "Ann (ann.lee@example.com) paid with 4111 1111 1111 1111 123, from DE89 3704 0044 0532 0130 00 EUR; call "
    "+49 30 1234567 or (555) 010-9999. E-1234, [EMAIL_1], a@b@c.de, 12 5500005555555559. jörg@müller.de"
)


def test_every_cut_gives_the_same() -> None:
    told = whole(SAMPLE)
    assert told.count("<") == 10
    for at in range(len(SAMPLE) + 1):
        assert streamed((SAMPLE[:at], SAMPLE[at:])) == told
        for also in range(at, min(len(SAMPLE), at + 40)):
            assert streamed((SAMPLE[:at], SAMPLE[at:also], SAMPLE[also:])) == told


TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            "ann@example.com|@|.|4111 1111 1111 1111|4111|1| |-|+49|(555) 010-9999|DE89|3704 0044 0532 0130 00|E-123"
            f"|[EMAIL_1]|[EMAIL_1|[|a|de|5500005555555559|é|\n|{'x' * 70}".split("|")
        ),
        st.text(alphabet="abAZ019@.-+ ()[]_E", max_size=8),
    ),
    max_size=14,
).map("".join)


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 200), max_size=12))
@example("4111 1111 1111 1111 12", [19, 20, 21])
@example("a@b.co" + "m" * 30, [6])
def test_a_stream_gives_what_the_whole_gives(text: str, cuts: list[int]) -> None:
    places = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert streamed(pieces) == whole(text)
    assert streamed(text) == whole(text)


@settings(deadline=None)
@given(st.text(alphabet="aZ09@.-+ (E[", max_size=3000))
def test_little_is_held(text: str) -> None:
    redactor = Redactor(ALL, named)
    for character in text:
        redactor.feed(character)
        assert len(redactor._held) <= 620
    calm = Redactor(ALL, named)
    assert calm.feed("Nothing to hide here, ") == "Nothing to hide here, "


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([r"\d{2,4}", "x", "[ab]{1,3}", r"\.", r"\w{0,5}", "-?", r"\s"]), min_size=1, max_size=5),
    st.text(alphabet="abx019.- ", max_size=60),
    st.booleans(),
)
def test_own_patterns_are_found_alike_in_streams(atoms: list[str], text: str, edges: bool) -> None:
    pattern = rf"\b{''.join(atoms)}\b" if edges else "".join(atoms)
    try:
        finder = custom("own", pattern)
    except PatternError:
        return
    told = redacted(text, [finder], named)
    redactor = Redactor([finder], named)
    assert "".join(map(redactor.feed, text)) + redactor.flush() == told
    found = [match for match in re.finditer(pattern, text) if match[0]]
    assert bool(found) == (told != text) or "{0," in pattern or "?" in pattern


@pytest.mark.parametrize(
    "pattern", ["a*", "a+", "(a)", "a|b", "a{1,}", "a{300}", "", "a?", "a{3,1}", "^a", "a$", r"\1", "[z-a]"]
)
def test_patterns_without_an_end_are_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        custom("own", pattern)
    with pytest.raises(OptionError) as error:
        read_options(Redact.Options, {"patterns": {"own": pattern}})
    assert error.value.field == "patterns.own"


# ---------------------------------------------------------------- requests and replies

ENDPOINTS = {
    "chat": Endpoint("chat", "openai", "chat", "v1/chat/completions"),
    "responses": Endpoint("responses", "openai", "responses", "v1/responses"),
    "messages": Endpoint("messages", "anthropic", "messages", "v1/messages"),
    "generate": Endpoint("generate", "gemini", "generate", "{version}/models/{model}:{action}"),
}


def hook_call(api: str, doc: dict[str, Any] | None = None) -> HookCall:
    call = Call(ENDPOINTS[api], Entry(), "id", {"method": "POST", "headers": []}, MemoryStore())
    call.doc = doc or {"model": "m", "messages": []}
    call.body, call.form, call.model = orjson.dumps(call.doc), "json", str(call.doc.get("model", "m"))
    return HookCall(call)


def redact(**options: Any) -> Redact:
    return Redact(read_options(Redact.Options, options), Means())


REQUESTS: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "ann@example.com",
        "messages": [
            {"role": "user", "content": "I am ann@example.com"},
            {"role": "user", "content": [{"type": "text", "text": "ann@example.com"}]},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"to":"ann@example.com"}'}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "bob@example.com"},
        ],
    },
    "responses": {
        "model": "m",
        "instructions": "ann@example.com",
        "input": [{"content": [{"type": "input_text", "text": "bob@example.com"}]}],
    },
    "messages": {
        "model": "m",
        "system": [{"type": "text", "text": "ann@example.com"}],
        "messages": [
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"name": "bob@example.com"}}],
            }
        ],
    },
    "generate": {
        "contents": [
            {"parts": [{"text": "ann@example.com"}, {"functionCall": {"name": "f", "args": {"id": "bob@example.com"}}}]}
        ]
    },
}


@pytest.mark.parametrize("api", REQUESTS)
def test_requests_are_redacted_and_no_other_byte_changes(api: str) -> None:
    call = hook_call(api, REQUESTS[api])
    redact().before_request(call)
    call.take()
    body = call._call.body
    texts = {name: value for name, value in REQUESTS[api].items() if name != "model"}
    expected = orjson.dumps(texts).replace(b"ann@example.com", b"[EMAIL]").replace(b"bob@example.com", b"[EMAIL]")
    assert {k: v for k, v in orjson.loads(body).items() if k != "model"} == orjson.loads(expected)
    assert call._call.doc == orjson.loads(body) and call._call.model == REQUESTS[api].get("model", "m")

    calm = hook_call(api, {"model": "m", "messages": [{"role": "user", "content": "nothing"}]})
    before = calm._call.body
    redact().before_request(calm)
    calm.take()
    assert calm._call.body is before


TEXT = "Mail ann@example.com, card 4111 1111 1111 1111, done."
TOLD = "Mail [EMAIL], card [CARD], done."


def chat_events(pieces: Iterable[str]) -> Iterator[bytes]:
    yield write(b'{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}')
    for piece in pieces:
        yield write(orjson.dumps({"id": "c", "choices": [{"index": 0, "delta": {"content": piece}}]}))
    yield write(b'{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
    yield write(b'{"id":"c","choices":[],"usage":{"total_tokens":3}}')
    yield write(b"[DONE]")


def messages_events(pieces: Iterable[str]) -> Iterator[bytes]:
    def event(kind: str, **more: Any) -> bytes:
        return write(orjson.dumps({"type": kind, **more}), kind)

    yield event("message_start", message={"id": "m", "content": []})
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for piece in pieces:
        yield event("ping")
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield event("content_block_stop", index=0)
    yield event("message_delta", delta={"stop_reason": "end_turn"})
    yield event("message_stop")


def responses_events(pieces: Iterable[str]) -> Iterator[bytes]:
    found = list(pieces)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    text = "".join(found)
    item = {"id": "msg_1", "type": "message", "content": [{"type": "output_text", "text": text}]}
    docs: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": "resp_1"}}]
    docs += [{"type": "response.output_text.delta", **place, "delta": piece} for piece in found]
    docs += [{"type": "response.output_text.done", **place, "text": text}]
    docs += [{"type": "response.output_item.done", "output_index": 0, "item": item}]
    docs += [{"type": "response.completed", "response": {"id": "resp_1", "output": [item]}}]
    for number, doc in enumerate(docs):
        yield write(orjson.dumps({**doc, "sequence_number": number}), doc["type"])


def generate_events(pieces: Iterable[str]) -> Iterator[bytes]:
    *most, last = list(pieces) or [""]
    for piece in most:
        yield write(orjson.dumps({"candidates": [{"content": {"parts": [{"text": piece}]}}]}))
    end = {"content": {"parts": [{"text": last}]}, "finishReason": "STOP"}
    yield write(orjson.dumps({"candidates": [end], "usageMetadata": {"totalTokenCount": 3}}))


STREAMS = {"chat": chat_events, "messages": messages_events, "responses": responses_events, "generate": generate_events}


def texts_of(api: str, data: bytes) -> tuple[str, list[str]]:
    """The running text, by a look-up of the test's own, and whole texts told again at the end."""
    running, again = "", []
    for event in Parser().feed(data):
        doc = orjson.loads(event.data) if event.data.startswith(b"{") else {}
        if api == "chat":
            running += "".join(choice["delta"].get("content") or "" for choice in doc.get("choices", ()))
        elif api == "messages":
            running += doc.get("delta", {}).get("text", "")
        elif api == "responses":
            running += doc.get("delta", "")
            again += [doc["text"]] if "text" in doc else []
            items = [doc["item"]] if "item" in doc else doc.get("response", {}).get("output", [])
            again += [item["content"][0]["text"] for item in items]
        else:
            running += "".join(part["text"] for each in doc["candidates"] for part in each["content"]["parts"])
    return running, again


async def through(hooks: Hooks, call: HookCall, data: bytes) -> bytes:
    stream = hooks.stream(call, raw=True)
    assert stream is not None
    found: list[SseEvent] = []
    for event in Parser().feed(data):
        found += await stream.feed([event])
    return b"".join([event.raw for event in [*found, *await stream.end()]])


@pytest.mark.parametrize("api", STREAMS)
def test_a_stream_cut_anywhere_is_redacted(api: str) -> None:
    hooks = Hooks(made=[redact()])

    async def story() -> None:
        for at in range(len(TEXT) + 1):
            data = b"".join(STREAMS[api]([TEXT[:at], TEXT[at:]]))
            running, again = texts_of(api, await through(hooks, hook_call(api), data))
            assert running == TOLD and set(again) <= {TOLD}
        data = b"".join(STREAMS[api](TEXT))
        told = await through(hooks, hook_call(api), data)
        assert texts_of(api, told)[0] == TOLD
        kept = [event.data for event in Parser().feed(data)], [event.data for event in Parser().feed(told)]
        assert len(kept[0]) == len(kept[1])
        if api == "responses":
            assert [orjson.loads(each)["sequence_number"] for each in kept[1]] == list(range(len(kept[1])))

    asyncio.run(story())


@pytest.mark.parametrize("api", STREAMS)
def test_a_stream_with_nothing_to_hide_keeps_every_byte(api: str) -> None:
    data = b"".join(STREAMS[api]("Nothing 12 to (hide) at all".split(" ")))
    told = asyncio.run(through(Hooks(made=[redact()]), hook_call(api), data))
    pings = write(b'{"type":"ping"}', "ping")
    assert told.replace(pings, b"") == data.replace(pings, b"")


def test_events_are_held_one_by_one_at_the_most() -> None:
    """A reader sees each piece when the next has come, not at the end."""

    async def story() -> None:
        stream = Hooks(made=[redact()]).stream(hook_call("chat"), raw=True)
        assert stream is not None
        told = 0
        for sent, event in enumerate(Parser().feed(b"".join(chat_events("some quite usual words to say".split(" "))))):
            told += len(await stream.feed([event]))
            assert told >= sent - 5

    asyncio.run(story())


@pytest.mark.parametrize("cut", range(1, 20))
def test_placeholders_are_restored_across_pieces(cut: int) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "ann@example.com, bob@example.com, [EMAIL_1]"}]}
    call, hook = hook_call("chat", request), redact(restore=True)
    hook.before_request(call)
    call.take()
    assert call._call.doc["messages"][0]["content"] == "[EMAIL_2], [EMAIL_3], [EMAIL_1]"
    reply = "To [EMAIL_3] and eve@example.com [EMAIL_1]"
    data = b"".join(chat_events([reply[:cut], reply[cut:]]))
    told = asyncio.run(through(Hooks(made=[hook]), call, data))
    assert texts_of("chat", told)[0] == "To bob@example.com and [EMAIL] [EMAIL_1]"


def test_whole_replies_are_redacted_without_their_log_probabilities() -> None:
    doc = {
        "id": "ann@example.com",
        "choices": [{"message": {"content": TEXT}, "logprobs": {"content": [{"token": "ann"}]}}],
    }
    reply = HookReply(200, False, orjson.dumps(doc))
    redact().after_response(hook_call("chat"), reply, Entry())
    reply.take()
    assert orjson.loads(reply.body or b"") == {
        "id": doc["id"],
        "choices": [{"message": {"content": TOLD}, "logprobs": None}],
    }


def test_events_of_the_vocabulary_are_redacted() -> None:
    async def story() -> None:
        stream = Hooks(made=[redact()]).stream(hook_call("messages"), raw=False)
        assert stream is not None
        arguments = '{"to":"ann@example.com"}'
        events: list[Event] = [Started("x", "m"), *map(TextDelta, TEXT), ToolStarted(0, "t", "f")]
        events += [ToolDelta(0, piece) for piece in arguments] + [Finished("tool_calls")]
        found = [each for event in events for each in await stream.feed([event])] + await stream.end()
        assert "".join(each.text for each in found if isinstance(each, TextDelta)) == TOLD
        assert "".join(each.arguments for each in found if isinstance(each, ToolDelta)) == '{"to":"[EMAIL]"}'
        assert [type(each) for each in found] == [type(each) for each in events]
        assert all(each.text for each in events if isinstance(each, TextDelta)), "the given events are not changed"

    asyncio.run(story())


# ---------------------------------------------------------------- recorded streams

RECORDED = {
    "openai.chat": "chat",
    "anthropic.messages": "messages",
    "openai.responses": "responses",
    "gemini.streamGenerateContent": "generate",
}


def recorded_streams() -> Iterator[tuple[str, bytes]]:
    for recording in recordings.require():
        if (
            recording.stream
            and recording.status == 200
            and recording.api in RECORDED
            and b"data:" in recording.reply[:200]
        ):
            yield RECORDED[recording.api], recording.reply


def test_recorded_streams_without_anything_to_hide_keep_every_byte() -> None:
    hooks, seen = Hooks(made=[redact(kinds=[], patterns={"none": "\u2603{9}"})]), set()
    for api, data in recorded_streams():
        if b'"logprobs"' not in data:  # which are taken out
            events = [event.raw for event in Parser().feed(data + b"\n\n")]
            told = asyncio.run(through(hooks, hook_call(api), data + b"\n\n"))
            # Pings and comments wait for nobody.
            assert sorted(events) == sorted(event.raw for event in Parser().feed(told))
            seen.add(api)
    assert seen == set(RECORDED.values())


def texts_in(data: bytes) -> Iterator[str]:
    """Every run of pieces that stand at the same place of events with the same place, by a look-up of the test's own."""
    runs: dict[str, str] = {}
    for event in Parser().feed(data):
        if event.data.startswith(b"{"):
            doc = orjson.loads(event.data)
            place = orjson.dumps(
                [doc.get(name) for name in ("index", "output_index", "content_index", "summary_index", "type")]
            )
            stack: list[tuple[str, Any]] = [(place.decode(), doc)]
            while stack:
                path, node = stack.pop()
                if isinstance(node, dict):
                    stack += [(f"{path}.{name}", value) for name, value in node.items() if name not in HIDDEN]
                elif isinstance(node, list):
                    stack += [(f"{path}[{n}]", value) for n, value in enumerate(node)]
                elif isinstance(node, str):
                    runs[path] = runs.get(path, "") + node
    yield from runs.values()


#: Members whose texts are no words, or another vendor's place for settings.
HIDDEN = frozenset(
    "instructions tools text.format id name type obfuscation logprobs url encrypted_content signature".split()
)


def test_recorded_streams_lose_every_word_that_is_to_be_hidden() -> None:
    word = re.compile(r"\b[Tt]he [a-z]{2}")
    hooks, hidden = Hooks(made=[redact(kinds=[], patterns={"word": r"\b[Tt]he [a-z]{2}"})]), 0
    for api, data in recorded_streams():
        told = asyncio.run(through(hooks, hook_call(api), data + b"\n\n"))
        before, after = list(texts_in(data + b"\n\n")), list(texts_in(told))
        hidden += sum(len(word.findall(text)) for text in before)
        assert [word.findall(text) for text in after] == [[]] * len(after)
    assert hidden > 100
