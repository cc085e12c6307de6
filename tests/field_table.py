"""Every field of the requests that clients may send, and what it can do to the bound of what they cost.

bounded: a bound is made of it · priced: it decides which price holds · refused: no bound holds with it · harmless: none of
these. A row has a reason of one word; those that do something also have a value that shows it.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Row(NamedTuple):
    kind: str
    reason: str
    value: Any = None


def bounded(reason: str, value: Any) -> Row:
    return Row("bounded", reason, value)


def priced(reason: str, value: Any) -> Row:
    return Row("priced", reason, value)


def refused(reason: str, value: Any) -> Row:
    return Row("refused", reason, value)


LONG = "A long text. " * 100
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}

#: The least request of each endpoint.
BASE: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 100},
    "completions": {"model": "m", "prompt": "Hi", "max_tokens": 100},
    "responses": {"model": "m", "input": "Hi", "max_output_tokens": 100},
    "responses.compact": {"model": "m", "input": "Hi"},
    "embeddings": {"model": "m", "input": "Hi"},
    "images.generations": {"model": "m", "prompt": "Hi"},
    "images.edits": {"model": "m", "prompt": "Hi", "images": [{"image_url": "https://a.example/1.png"}]},
    "images.variations": {"model": "m"},
    "audio.speech": {"model": "m", "input": "Hi", "voice": "alloy"},
    "audio.transcriptions": {"model": "m"},
    "audio.translations": {"model": "m"},
    "moderations": {"model": "m", "input": "Hi"},
    "messages": {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100},
    "generate": {"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 100}},
    "generate.embed": {"content": {"parts": [{"text": "Hi"}]}},
    "rerank": {"model": "m", "query": "Hi", "documents": ["a"]},
}

_REFERENCES = {
    "previous_response_id": bounded("unseen", "resp_1"),
    "input": bounded("text", LONG),
    "instructions": bounded("text", LONG),
    "service_tier": priced("tier", "flex"),
}
#: Endpoint -> field of its specification -> what it does.
ACTIVE: dict[str, dict[str, Row]] = {
    "chat": {
        "messages": bounded("pictures", PICTURE),
        "tools": bounded("text", [TOOL] * 20),
        "max_tokens": bounded("output", 5_000),
        "max_completion_tokens": bounded("output", 5_000),
        "n": bounded("choices", 4),
        "prediction": bounded("rejected", {"type": "content", "content": "x"}),
        "modalities": priced("sound", ["text", "audio"]),
        "audio": priced("sound", {"voice": "alloy", "format": "mp3"}),
        "service_tier": priced("tier", "flex"),
        "web_search_options": refused("searches", {"search_context_size": "low"}),
    },
    "completions": {
        "prompt": bounded("choices", ["a", "b"]),
        "max_tokens": bounded("output", 5_000),
        "n": bounded("choices", 4),
        "best_of": bounded("choices", 4),
        "echo": bounded("output", True),
    },
    "responses": {
        **_REFERENCES,
        "conversation": bounded("unseen", "conv_1"),
        "prompt": bounded("unseen", {"id": "pmpt_1"}),
        "tools": bounded("rereading", [{"type": "web_search"}]),
        "max_output_tokens": bounded("output", 5_000),
        "max_tool_calls": bounded("rereading", 3),
        "context_management": refused("rereading", [{"type": "compaction"}]),
        "reasoning": refused("rereading", {"mode": "pro"}),
        "multi_agent": refused("rereading", {"enabled": True}),
    },
    "responses.compact": _REFERENCES,
    "embeddings": {"input": bounded("text", LONG)},
    "images.generations": {
        "prompt": bounded("text", LONG),
        "n": bounded("pictures", 4),
        "size": bounded("output", "3840x2160"),
        "partial_images": bounded("output", 3),
    },
    "images.edits": {
        "prompt": bounded("text", LONG),
        "n": bounded("pictures", 4),
        "size": bounded("output", "3840x2160"),
        "partial_images": bounded("output", 3),
        "image": bounded("pictures", b"\x89PNG"),
        "images": bounded("pictures", [{"file_id": "file-1"}] * 3),
        "mask": bounded("pictures", {"file_id": "file-2"}),
    },
    "images.variations": {
        "image": bounded("pictures", b"\x89PNG"),
        "n": bounded("pictures", 4),
        "size": bounded("output", "3840x2160"),
    },
    "audio.speech": {
        "input": bounded("letters", LONG),
        "instructions": bounded("text", LONG),
        "speed": bounded("length", 0.5),
    },
    "audio.transcriptions": {
        "file": bounded("length", b"ID3" + b"\x00" * 90_000),
        "prompt": bounded("text", LONG),
        "keywords": bounded("text", LONG),
        "known_speaker_references": refused("sound", "data:audio/wav;base64,AA"),
    },
    "audio.translations": {
        "file": bounded("length", b"ID3" + b"\x00" * 90_000),
        "prompt": bounded("text", LONG),
    },
    "moderations": {"input": bounded("pictures", [PICTURE[0]["content"][0]])},
}

_OPENAI = {
    "sampling": "temperature top_p seed stop logit_bias frequency_penalty presence_penalty",
    "label": "metadata user safety_identifier store",
    "shape": "stream stream_options logprobs top_logprobs",
    "cheaper": "prompt_cache_key prompt_cache_options prompt_cache_retention",
    "name": "model",
}
_PICTURE_LOOK = "background output_compression output_format quality response_format stream moderation"
#: Endpoint -> reason -> fields of its specification that are harmless.
HARMLESS: dict[str, dict[str, str]] = {
    "chat": {
        **_OPENAI,
        "capped": "reasoning_effort verbosity",
        "text": "functions response_format",
        "choice": "function_call tool_choice parallel_tool_calls",
        "free": "moderation",
    },
    "completions": {
        "sampling": "temperature top_p seed stop logit_bias frequency_penalty presence_penalty",
        "shape": "stream stream_options logprobs",
        "text": "suffix",
        "label": "user",
        "name": "model",
    },
    "responses": {
        "sampling": "temperature top_p frequency_penalty presence_penalty",
        "label": "metadata user safety_identifier store",
        "shape": "stream stream_options top_logprobs include background",
        "cheaper": "prompt_cache_key prompt_cache_options prompt_cache_retention truncation",
        "text": "text",
        "choice": "tool_choice parallel_tool_calls",
        "free": "moderation",
        "name": "model",
    },
    "responses.compact": {
        "cheaper": "prompt_cache_key prompt_cache_options prompt_cache_retention",
        "name": "model",
    },
    "embeddings": {"name": "model", "shape": "dimensions encoding_format", "label": "user"},
    "images.generations": {"name": "model", "look": f"{_PICTURE_LOOK} style", "label": "user"},
    "images.edits": {"name": "model", "look": f"{_PICTURE_LOOK} input_fidelity", "label": "user"},
    "images.variations": {"name": "model", "look": "response_format", "label": "user"},
    "audio.speech": {"name": "model", "shape": "response_format stream_format", "look": "voice"},
    "audio.transcriptions": {
        "name": "model",
        "shape": "response_format stream timestamp_granularities include chunking_strategy known_speaker_names",
        "sampling": "temperature language languages",
    },
    "audio.translations": {"name": "model", "shape": "response_format", "sampling": "temperature"},
    "moderations": {"name": "model"},
}
