"""The conformance tests: every dialect of ours passes them, and each of their checks finds what it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from providers.chat import BadRequest, Chat, Message, Unsupported
from providers.conformance import Sample, faults
from providers.conformance_cases import REPLIES, REQUESTS
from providers.dialects import CLIENTS, UPSTREAMS, openai_chat
from providers.events import Failed, Finished, Started, TextDelta
from tests.hook_upstream import MESSAGE, PIECES, RESPONSE, WHOLE
from tests.inprocess import sse

Change = Callable[[Any], Any]


def stream(name: str) -> bytes:
    return sse(*(each if isinstance(each, str) else orjson.dumps(each).decode() for each in PIECES[name])).content


CHUNK = {"id": "c", "created": 1, "model": "x", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
CHAT_STREAM = stream("chat/completions").replace(b"data: [DONE]", b"data: " + orjson.dumps(CHUNK) + b"\n\ndata: [DONE]")
SAMPLES = {
    "openai_chat": Sample("said", whole=WHOLE["chat/completions"], stream=CHAT_STREAM),
    "openai_responses": Sample("said", whole=RESPONSE, stream=stream("responses")),
    "anthropic": Sample("said", whole=MESSAGE, stream=stream("messages")),
    "gemini": Sample("said", whole=WHOLE["generateContent"]),
    "bedrock": Sample("said", whole=WHOLE["converse"]),
}


@pytest.mark.parametrize("name", UPSTREAMS)
def test_our_dialects_conform(name: str) -> None:
    assert faults(UPSTREAMS[name], [SAMPLES[name]] if name in SAMPLES else []) == []


def test_dialects_of_both_sides_are_tried_both_ways() -> None:
    both = [dialect for name, dialect in UPSTREAMS.items() if name in CLIENTS]
    assert len(both) == 4 and all(hasattr(dialect, "write_response") for dialect in both)


# ---------------------------------------------------------------- each check finds what it is for


def changed(**names: Any) -> Any:
    """OpenAI's chat with other names; those whose value is None are gone."""
    own = {name: getattr(openai_chat, name) for name in openai_chat.__all__}
    return SimpleNamespace(**{name: value for name, value in {**own, **names}.items() if value is not None})


def writing(edit: Callable[[dict[str, Any], list[str], Chat], Any]) -> Any:
    """As it is, with what it writes edited."""

    def write_request(chat: Chat, lenient: bool = False) -> Any:
        doc, dropped = openai_chat.write_request(chat, lenient)
        return edit(doc, dropped, chat) or (doc, dropped)

    return changed(write_request=write_request)


def raising(error: Exception) -> Any:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def reading(change: Callable[[list[Any]], list[Any]]) -> Any:
    """As it is, with what it reads of streams changed."""

    class Reader(openai_chat.StreamReader):
        def feed(self, event: Any) -> list[Any]:
            return change(super().feed(event))

    return changed(StreamReader=Reader)


class Eager(openai_chat.StreamReader):
    """Takes the end of the bytes for the end of the stream."""

    def flush(self) -> list[Any]:
        self.over = True
        return []


def count(box: list[int] = [0]) -> int:  # noqa: B006  state is what is wanted
    box[0] += 1
    return box[0]


def forget(doc: dict[str, Any], dropped: list[str], chat: Chat) -> Any:
    return {**doc, "messages": [m for m in doc["messages"] if m["role"] != "system"]}, dropped


def swallow(doc: dict[str, Any], dropped: list[str], chat: Chat) -> Any:
    return {name: value for name, value in doc.items() if name != "tools"}, dropped


WRONG: dict[str, tuple[Any, str]] = {
    "a name is missing": (changed(url=None), "it has no url"),
    "too few arguments": (changed(write_request=lambda chat: ({}, [])), "its write_request must take 2 arguments"),
    "a text is lost": (writing(forget), "a system prompt: wordsystem is lost, and not said to be"),
    "tools are lost": (writing(swallow), "tools: wordcity, worddescription, wordtool is lost, and not said to be"),
    "no list of losses": (writing(lambda doc, dropped, chat: (doc, None)), "must give an object and a list"),
    "not the same twice": (writing(lambda doc, dropped, chat: ({**doc, "seed": count()}, dropped)), "written twice"),
    "the chat is changed": (writing(lambda doc, dropped, chat: chat.messages.append(Message("user", []))), "changes the chat"),
    "plain text is refused": (changed(write_request=raising(Unsupported("messages", "x"))), "a text cannot be written"),
    "or is said to be wrong": (changed(write_request=raising(BadRequest("a", "b"))), "a text cannot be written"),
    "writing fails": (changed(write_request=raising(KeyError("x"))), "write_request raised KeyError"),
    "no path": (changed(url=lambda chat: "v1/chat"), "must give a path"),
    "a path with a space": (changed(url=lambda chat: "/v1/my model"), "must give a path"),
    "a credential": (changed(headers=lambda chat: [("authorization", "Bearer x")]), "the header 'authorization'"),
    "a header in upper case": (changed(headers=lambda chat: [("X-A", "b")]), "the header 'X-A'"),
    "garbage raises": (changed(read_response=raising(IndexError("x"))), "read_response of None: it raised IndexError"),
    "no events": (changed(read_response=lambda doc, chat=None: [{}]), "must give a list of events"),
    "an odd kind": (changed(read_response=lambda doc, chat=None: [Failed("odd", "x")]), "there is no kind of error 'odd'"),
    "a cut stream is well": (changed(StreamReader=Eager), "a stream that ends before its end must be a Failed"),
    "errors raise": (changed(read_error=raising(TypeError("x"))), "read_error of 400"),
    "the stream says something else": (
        reading(lambda events: [replace(e, text="x") if isinstance(e, TextDelta) else e for e in events]),
        "sample 1: stream: it says 'x'",
    ),
    "it begins with no Started": (
        reading(lambda events: [e for e in events if not isinstance(e, Started)]),
        "sample 1: stream: Started must come once, and first",
    ),
    "it ends twice": (
        reading(lambda events: [*events, *(e for e in events if isinstance(e, Finished))]),
        "sample 1: stream: Finished must come once",
    ),
    "no usage": (
        changed(read_response=lambda doc, chat=None: openai_chat.read_response(
            {n: v for n, v in doc.items() if n != "usage"} if isinstance(doc, dict) else doc, chat
        )),
        "sample 1: whole: it tells no usage",
    ),
    "its own request is read as another": (
        changed(read_request=lambda doc, path_info="": REQUESTS["tools"]),
        "a conversation: read_request of what write_request gives is not the same",
    ),
    "its own reply is read as another": (
        changed(write_response=lambda events, chat: openai_chat.write_response(REPLIES["a text"], chat)),
        "a call: read_response of what write_response gives is not the same",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_every_check_finds_what_it_is_for(case: str) -> None:
    dialect, words = WRONG[case]
    assert any(words in fault for fault in faults(dialect, [SAMPLES["openai_chat"]])), faults(
        dialect, [SAMPLES["openai_chat"]]
    )


def test_frames_that_depend_on_where_they_are_cut() -> None:
    class Deaf(openai_chat.FRAMES):
        def feed(self, chunk: bytes) -> Any:
            return super().feed(chunk) if len(chunk) > 40 else []

    assert any("cut after byte" in fault for fault in faults(changed(FRAMES=Deaf), [SAMPLES["openai_chat"]]))


def test_a_sample_that_is_an_error() -> None:
    refused = Sample("x", whole={"error": {"message": "no", "type": "invalid_request_error"}})
    assert any("it is read as an error" in fault for fault in faults(openai_chat, [refused]))
