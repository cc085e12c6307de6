"""Recorded exchanges with real providers, read from outside the project (``GATEWAY_RECORDINGS``).

Nothing here imports the gateway: what a test expects must not come from the code that it tests.
"""

from __future__ import annotations

import base64
import json
import os
import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Json = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parent.parent
OPENAI = ("openai.chat", "openai.responses", "openai.completions", "openai.embeddings")
ANTHROPIC = ("anthropic.messages", "anthropic.count_tokens")
GEMINI = ("gemini.generateContent", "gemini.streamGenerateContent", "gemini.countTokens", "gemini.embedContent")
CLIENT_APIS = OPENAI + ANTHROPIC + GEMINI

#: Which of the tests' providers stands for whoever answered; the rest goes to the compatible one of its dialect.
KINDS = {
    "huggingface": "huggingface",
    "azure": "azure-openai",
    "llamacpp": "llama.cpp",
    "api.voyageai.com": "voyage",
    **{name: name for name in ("openai", "anthropic", "gemini", "groq", "mistral", "deepseek", "openrouter", "xai")},
    **{name: name for name in ("cerebras", "perplexity", "ollama")},
}
COMPATIBLE = {"openai": "openai-compatible", "anthropic": "anthropic-compatible", "gemini": "gemini-compatible"}
NATIVE_DIALECTS = {"anthropic": ("anthropic",), "gemini": ("gemini",), "openrouter": ("openai", "anthropic")}
PATHS = {
    "openai.chat": "/v1/chat/completions",
    "openai.responses": "/v1/responses",
    "openai.completions": "/v1/completions",
    "openai.embeddings": "/v1/embeddings",
    "anthropic.messages": "/v1/messages",
    "anthropic.count_tokens": "/v1/messages/count_tokens",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """One request and its reply. ``model`` is the name under which tests ask for it, and so choose it."""

    id: str
    api: str
    provider: str
    kind: str
    path: str
    query: str
    status: int
    stream: bool
    features: tuple[str, ...]
    request_headers: dict[str, str]
    request_body: Json = field(repr=False)
    response_headers: dict[str, str] = field(repr=False)
    reply: bytes = field(repr=False)

    @property
    def dialect(self) -> str:
        return self.api.partition(".")[0]

    @property
    def model(self) -> str:
        return f"rec-{self.kind}-{self.id}"

    def client_path(self, model: str) -> str:
        """Where a client asks the gateway for this exchange, query included."""
        path = PATHS.get(self.api) or f"/v1beta/models/{model}:{self.path.rpartition(':')[2]}"
        return f"{path}?{self.query}" if self.query else path

    def body(self, model: str) -> Json:
        """The request with ``model`` wherever its body names one."""
        if self.api == "gemini.embedContent":
            requests = [{**one, "model": f"models/{model}"} for one in self.request_body["requests"]]
            return {**self.request_body, "requests": requests}
        return self.request_body if self.dialect == "gemini" else {**self.request_body, "model": model}

    def request_bytes(self, model: str) -> bytes:
        """The request as a client may write it: white space and escapes differ from recording to recording."""
        body = self.body(model)
        style = random.Random(self.id)
        separators = style.choice([(",", ":"), (", ", ": "), (" ,", " :\t"), (",\r\n", ":")])
        return json.dumps(body, separators=separators, ensure_ascii=style.random() < 0.5).encode()

    def events(self) -> list[Json]:
        """The JSON of every ``data:`` line of the reply."""
        lines = self.reply.decode().replace("\r\n", "\n").split("\n")
        data = (line.removeprefix("data:").strip() for line in lines if line.startswith("data:"))
        return [json.loads(text) for text in data if text and text != "[DONE]"]


def folder() -> Path:
    return REPOSITORY / os.environ.get("GATEWAY_RECORDINGS", "../shared/recordings")


def _kind(provider: str, dialect: str) -> str:
    kind = KINDS.get(provider, "")
    return kind if dialect in NATIVE_DIALECTS.get(kind, ("openai",)) and kind else COMPATIBLE[dialect]


def _reply(row: Json) -> bytes:
    if row.get("response_base64"):
        return base64.b64decode(row["response_base64"])
    if row.get("response_text") is not None:
        return str(row["response_text"]).encode()
    return json.dumps(row["response_body"], separators=(",", ":"), ensure_ascii=False).encode()


def _recording(row: Json) -> Recording:
    url = urlsplit(row["path"])
    # Recorded keys are redacted; the test's own key goes in a header.
    query = urlencode([pair for pair in parse_qsl(url.query) if pair[0] not in ("key", "api-version")])
    return Recording(
        id=row["id"],
        api=row["api"],
        provider=row["provider"],
        kind=_kind(row["provider"], row["api"].partition(".")[0]),
        path=url.path,
        query=query,
        status=row["status"],
        stream=row["stream"],
        features=tuple(row["features"]),
        request_headers=row["request_headers"] or {},
        request_body=row["request_body"],
        response_headers=row["response_headers"] or {},
        reply=_reply(row),
    )


@cache
def load() -> tuple[Recording, ...]:
    """All recordings of the dialects that clients may speak; none where the folder is absent."""
    files = [folder() / f"{api}.jsonl" for api in CLIENT_APIS]
    lines = (line for file in files if file.exists() for line in file.read_text("utf-8").split("\n") if line)
    return tuple(_recording(json.loads(line)) for line in lines)


def require() -> tuple[Recording, ...]:
    """The recordings, or a skip that says why; a failure where nothing may be skipped."""
    import pytest  # the replay upstream loads this module without it

    if not load():
        reason = f"no recordings in {folder()} (GATEWAY_RECORDINGS)"
        (pytest.fail if os.environ.get("GATEWAY_REQUIRE_ALL") == "1" else pytest.skip)(reason)
    return load()


def of_dialect(dialect: str) -> list[Recording]:
    return [recording for recording in require() if recording.dialect == dialect]
