"""OpenAI's legacy completions by Ollama's ``/api/generate``: one prompt in, one text out, with no chat between them.

The request is written from the client's body; the reply is written from Ollama's lines, or from its whole reply.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from providers.chat import Chat, Json
from providers.dialects import openai_chat
from providers.dialects.ids import made
from providers.dialects.loss import Loss
from providers.dialects.ollama_read_reply import created, read_error
from providers.dialects.ollama_write_request import DIALECT
from providers.dialects.reader import GARBAGE, not_understood
from providers.events import Failed, cut_short
from providers.fields import Fields, present
from providers.usage import Usage, read_usage

PATH = "/api/generate"
NUMBERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repetition_penalty": "repeat_penalty",
}
INTEGERS = {"max_tokens": "num_predict", "seed": "seed"}


def write_completion(doc: Any, lenient: bool = False) -> tuple[Json, list[str]]:
    """The body for a client's completions request and the names of what it leaves out. Raises BadRequest, Unsupported."""
    fields = Fields(doc)
    model = fields.need_text("model")
    loss = Loss(Chat("openai_completions", model, []), DIALECT, lenient)
    found: Json = {"model": model, "prompt": _prompt(fields, loss)} | present(suffix=fields.text("suffix"))
    options: Json = {}
    for name, own in NUMBERS.items():
        options |= present(**{own: fields.number(name)})
    for name, own in INTEGERS.items():
        options |= present(**{own: fields.integer(name)})
    found |= present(options=options | present(stop=_stop(fields))) | _logprobs(fields)
    found["stream"] = bool(fields.flag("stream"))
    fields.object("stream_options")
    _unsayable(fields, loss)
    loss.own("", fields.left)
    return found, loss.dropped


def _prompt(fields: Fields, loss: Loss) -> str:
    """Several prompts, tokens, and none (which would only load the model) have no place in the API."""
    given = fields.left.pop("prompt", None)
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if given is None or isinstance(given, list) or given == "":
        loss.refuse("prompt")
        return ""
    if not isinstance(given, str):
        raise fields.wrong("prompt", "a string or a list of strings")
    return given


def _stop(fields: Fields) -> list[str]:
    return [fields.text("stop")] if isinstance(fields.left.get("stop"), str) else fields.texts("stop")


def _logprobs(fields: Fields) -> Json:
    """The number of rivals that each token is told with; 0 asks for the chosen tokens alone."""
    count = fields.integer("logprobs")
    return {} if count is None else {"logprobs": True, "top_logprobs": count}


def _unsayable(fields: Fields, loss: Loss) -> None:
    for name in ("n", "best_of"):
        if (fields.integer(name) or 1) > 1:
            loss.refuse(name)
    if fields.flag("echo"):
        loss.refuse("echo")
    if fields.object("logit_bias"):
        loss.refuse("logit_bias")


# ---------------------------------------------------------------- the reply


def write_text_completion(doc: Any, request: Json) -> Json | Failed:
    """The whole reply to the client's ``request``, from Ollama's."""
    try:
        if doc.get("error"):
            return read_error(0, doc)
        if not doc.get("done"):
            return cut_short()
        reply = _Reply(request)
        found = reply.chunk(doc) | {"choices": [reply.choice(doc)]}
        usage = read_usage(DIALECT, doc)
        return found if usage is None else found | {"usage": _usage(usage)}
    except GARBAGE:
        return not_understood()


def _usage(usage: Usage) -> Json:
    total = usage.input_tokens + usage.output_tokens
    return {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens, "total_tokens": total}


class _Reply:
    """What stands alike in every chunk of one reply."""

    def __init__(self, request: Json) -> None:
        self.model = str(request.get("model") or "")
        prompt = request.get("prompt")
        self.offset = len(prompt) if isinstance(prompt, str) else 0
        self.id = made("cmpl-")
        self.created = 0

    def chunk(self, doc: Json) -> Json:
        self.created = self.created or created(doc) or int(time.time())
        model = doc.get("model") or self.model
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": model}

    def choice(self, doc: Json) -> Json:
        """The text of one line; thoughts have no place in this API."""
        text = doc.get("response") or ""
        if not isinstance(text, str):
            raise TypeError("response")
        reason = ("length" if doc.get("done_reason") == "length" else "stop") if doc.get("done") else None
        logprobs = self._logprobs(doc["logprobs"]) if doc.get("logprobs") else None
        return {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": reason}

    def _logprobs(self, tokens: list[Json]) -> Json:
        """``text_offset`` counts characters from the beginning of the prompt."""
        offsets = []
        for token in tokens:
            offsets.append(self.offset)
            self.offset += len(token["token"])
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [
                {rival["token"]: rival["logprob"] for rival in token.get("top_logprobs") or ()} for token in tokens
            ],
            "text_offset": offsets,
        }


class CompletionWriter:
    """Writes the stream for the client's ``request``: ``feed`` takes each line of Ollama's, as JSON, and gives the bytes
    of an event; ``flush`` ends it, with an error where ``done`` never came. ``usage`` and ``failed`` are as far as known.
    """

    def __init__(self, request: Json) -> None:
        options = request.get("stream_options")
        self.tells_usage = isinstance(options, dict) and options.get("include_usage") is True
        self.usage: Usage | None = None
        self.failed: Failed | None = None
        self.done = False
        self._reply = _Reply(request)

    def feed(self, doc: Any) -> bytes:
        if self.done or self.failed is not None:
            return b""
        try:
            return self.fail(read_error(0, doc)) if doc.get("error") else self._line(doc)
        except GARBAGE:
            return self.fail(not_understood())

    def flush(self) -> bytes:
        return b"" if self.done or self.failed is not None else self.fail(cut_short())

    def _line(self, doc: Json) -> bytes:
        chunk = self._reply.chunk(doc)
        extra: Json = {"usage": None} if self.tells_usage else {}
        choice = self._reply.choice(doc)
        if not doc.get("done"):
            return _event(chunk | {"choices": [choice]} | extra) if choice["text"] or choice["logprobs"] else b""
        self.done = True
        self.usage = read_usage(DIALECT, doc)
        found = _event(chunk | {"choices": [choice]} | extra)
        if self.tells_usage:
            found += _event(chunk | {"choices": [], "usage": _usage(self.usage or Usage())})
        return found + b"data: [DONE]\n\n"

    def fail(self, failed: Failed) -> bytes:
        """The event that ends the stream in an error."""
        self.failed = failed
        return _event(openai_chat.write_error(failed)[1])


def _event(doc: Json) -> bytes:
    return b"data: " + orjson.dumps(doc) + b"\n\n"
