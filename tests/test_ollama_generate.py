"""Legacy completions by Ollama's generate API: requests by hand and recorded, replies whole and line by line."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import BadRequest, Unsupported
from providers.dialects.ollama_generate import CompletionWriter, write_completion, write_text_completion
from providers.events import Failed
from providers.usage import Usage
from tests import recordings
from tests.dialect_shapes import split
from tests.test_dialects_streams import JSON, MANY, spoiled

ASKED: dict[str, Any] = {"model": "codellama", "prompt": "def f("}
LINES: list[dict[str, Any]] = [
    {"model": "codellama:7b", "created_at": "2026-01-01T00:00:00Z", "response": "x", "done": False},
    {"model": "codellama:7b", "created_at": "2026-01-01T00:00:01Z", "response": "", "thinking": "hm", "done": False},
    {"model": "codellama:7b", "created_at": "2026-01-01T00:00:01Z", "response": "):", "done": False},
    {
        "model": "codellama:7b", "created_at": "2026-01-01T00:00:02Z", "response": "", "done": True,
        "done_reason": "stop", "prompt_eval_count": 4, "eval_count": 2,
    },
]  # fmt: skip
WHOLE = LINES[-1] | {"response": "x):"}
USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


def streamed(lines: list[Any], **more: Any) -> list[Any]:
    """The JSON of each event, ``[DONE]`` as text."""
    writer = CompletionWriter(ASKED | more)
    found = split(b"".join(writer.feed(line) for line in lines) + writer.flush())
    return [json.loads(each.data) if each.data != b"[DONE]" else "[DONE]" for each in found]


def test_a_request_in_full() -> None:
    doc, dropped = write_completion(
        ASKED
        | {
            "suffix": "return 1",
            "max_tokens": 9,
            "temperature": 0,
            "top_p": 0.5,
            "seed": 3,
            "stop": "\n",
            "stream": True,
        }
        | {"presence_penalty": 0.1, "frequency_penalty": 0.2, "top_k": 4, "min_p": 0.1, "repetition_penalty": 1.1}
        | {"logprobs": 0, "n": 1, "best_of": 1, "echo": False, "user": "u", "stream_options": {"include_usage": True}}
    )
    assert dropped == ["user"]
    assert doc == {
        "model": "codellama",
        "prompt": "def f(",
        "suffix": "return 1",
        "stream": True,
        "logprobs": True,
        "top_logprobs": 0,
        "options": {
            "num_predict": 9, "temperature": 0, "top_p": 0.5, "seed": 3, "stop": ["\n"], "presence_penalty": 0.1,
            "frequency_penalty": 0.2, "top_k": 4, "min_p": 0.1, "repeat_penalty": 1.1,
        },
    }  # fmt: skip


def test_the_least_request_is_not_streamed() -> None:
    for prompt in ("def f(", ["def f("]):
        assert write_completion(ASKED | {"prompt": prompt, "stop": None}) == (ASKED | {"stream": False}, [])


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"n": 2}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True}, "echo"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"grammar": "root ::= x"}, "grammar"),
    ],
)
def test_what_would_mean_something_else_is_refused(more: dict[str, Any], field: str) -> None:
    with pytest.raises(Unsupported) as caught:
        write_completion(ASKED | more)
    assert caught.value.field == field
    assert field in write_completion(ASKED | more, lenient=True)[1]


@pytest.mark.parametrize(
    ("doc", "field"),
    [
        ([], "body"),
        ({"prompt": "x"}, "model"),
        (ASKED | {"prompt": 5}, "prompt"),
        (ASKED | {"prompt": [{}]}, "prompt"),
        (ASKED | {"temperature": "hot"}, "temperature"),
        (ASKED | {"max_tokens": 1.5}, "max_tokens"),
        (ASKED | {"stop": [1]}, "stop"),
        (ASKED | {"stream": 1}, "stream"),
        (ASKED | {"stream_options": True}, "stream_options"),
    ],
)
def test_what_is_no_request(doc: Any, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        write_completion(doc)
    assert caught.value.field == field


def test_recorded_requests() -> None:
    """Each that asks for one completion of one text can be written, and says all it said."""
    written = 0
    for recording in recordings.require():
        if recording.api != "openai.completions":
            continue
        asked = recording.request_body
        plain = isinstance(asked["prompt"], str) and asked["prompt"] and asked.get("n", 1) == 1
        if not plain:
            with pytest.raises(Unsupported):
                write_completion(asked)
            continue
        doc, dropped = write_completion(asked)
        written += 1
        assert dropped == []
        assert doc["prompt"] == asked["prompt"]
        assert doc.get("options", {}).get("num_predict") == asked.get("max_tokens")
        assert doc["stream"] is asked.get("stream", False)
    if not written:
        pytest.skip("no recordings of completions")


def test_a_whole_reply() -> None:
    found = write_text_completion(WHOLE, ASKED)
    assert isinstance(found, dict)
    assert found.pop("id").startswith("cmpl-")
    choice = {"text": "x):", "index": 0, "logprobs": None, "finish_reason": "stop"}
    created = 1767225602
    head = {"object": "text_completion", "created": created, "model": "codellama:7b"}
    assert found == head | {"choices": [choice], "usage": USAGE}


@pytest.mark.parametrize(("told", "reason"), [("stop", "stop"), ("length", "length"), ("load", "stop"), (None, "stop")])
def test_why_it_ended(told: str | None, reason: str) -> None:
    found = write_text_completion(WHOLE | {"done_reason": told}, ASKED)
    assert isinstance(found, dict)
    assert found["choices"][0]["finish_reason"] == reason
    assert streamed([WHOLE | {"done_reason": told}])[0]["choices"][0]["finish_reason"] == reason


def test_a_stream_has_a_chunk_for_each_text_and_one_end() -> None:
    *chunks, done = streamed(LINES)
    assert done == "[DONE]"
    assert [(each["choices"][0]["text"], each["choices"][0]["finish_reason"]) for each in chunks] == [
        ("x", None),
        ("):", None),
        ("", "stop"),
    ]
    assert len({each["id"] for each in chunks}) == 1
    assert {(each["object"], each["created"], each["model"]) for each in chunks} == {
        ("text_completion", 1767225600, "codellama:7b")
    }
    assert not any("usage" in each for each in chunks)


def test_usage_comes_last_where_it_is_asked_for() -> None:
    *chunks, last, done = streamed(LINES, stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert [each["usage"] for each in chunks] == [None] * 3


def test_what_is_known_of_usage_and_failure() -> None:
    writer = CompletionWriter(ASKED)
    writer.feed(LINES[0])
    assert (writer.usage, writer.failed) == (None, None)
    writer.feed(LINES[-1])
    assert (writer.usage, writer.failed) == (Usage(4, 2), None)
    assert writer.feed(LINES[0]) == writer.flush() == b""


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_stream_that_is_cut_ends_in_an_error(count: int) -> None:
    found = streamed(LINES[:count])
    assert "[DONE]" not in found
    assert [each for each in found if "error" in each] == found[-1:]
    assert found[-1]["error"]["code"] == "stream_incomplete"


def test_an_error_in_a_stream_ends_it() -> None:
    found = streamed([LINES[0], {"error": "the runner died"}, *LINES])
    assert [each.get("error", {}).get("message") for each in found] == [None, "the runner died"]
    assert write_text_completion({"error": "no"}, ASKED) == Failed("server_error", "no", 502)
    cut = write_text_completion(LINES[0], ASKED)
    assert isinstance(cut, Failed) and cut.code == "stream_incomplete"


def test_logprobs_count_their_offsets_from_the_prompt() -> None:
    rivals = [{"token": "x", "logprob": -0.1}, {"token": "y", "logprob": -2.0}]
    first = LINES[0] | {"logprobs": [{"token": "x", "logprob": -0.1, "top_logprobs": rivals}]}
    second = LINES[2] | {"logprobs": [{"token": ")", "logprob": -0.2}, {"token": ":", "logprob": -0.3}]}
    told = [each["choices"][0]["logprobs"] for each in streamed([first, second, LINES[-1]])[:3]]
    assert told == [
        {"tokens": ["x"], "token_logprobs": [-0.1], "top_logprobs": [{"x": -0.1, "y": -2.0}], "text_offset": [6]},
        {"tokens": [")", ":"], "token_logprobs": [-0.2, -0.3], "top_logprobs": [{}, {}], "text_offset": [7, 8]},
        None,
    ]


@MANY
@given(data=st.data())
def test_garbage_raises_nothing(data: st.DataObject) -> None:
    lines: list[Any] = [*LINES]
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = data.draw(JSON | st.builds(lambda: spoiled(LINES[at], data.draw)))
    ends = Counter(
        "[DONE]" if each == "[DONE]" else "error" for each in streamed(lines) if each == "[DONE]" or "error" in each
    )
    assert ends.total() == 1
    assert isinstance(write_text_completion(lines[at], ASKED), dict | Failed)


@MANY
@given(data=st.data())
def test_spoiled_requests_raise_only_what_they_may(data: st.DataObject) -> None:
    whole = ASKED | {"stop": ["x"], "n": 1, "suffix": "y", "logprobs": 2, "stream_options": {}, "seed": 1, "top_p": 0.5}
    try:
        json.dumps(write_completion(spoiled(whole, data.draw)))
    except (BadRequest, Unsupported):
        return
