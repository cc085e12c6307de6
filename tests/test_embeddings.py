"""Embeddings: recordings come out as they went in, every client reaches every upstream, and nothing is lost silently."""

from __future__ import annotations

import base64
import copy
import json
import os
import struct
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from providers.chat import BadRequest
from providers.embeddings import CLIENTS, UPSTREAMS, Embed, Embedded, base64_of
from providers.usage import Usage
from tests import recordings
from tests.dialect_shapes import _camel, without_null
from tests.recorded_usage import expected
from tests.recordings import Json, Recording
from tests.test_recordings import differs

APIS = {"openai": "openai.embeddings", "gemini": "gemini.embedContent"}
PATHS = {
    ("openai", False): "/v1/embeddings",
    ("openai", True): "/v1/embeddings",
    ("gemini", False): "/v1beta/models/m:embedContent",
    ("gemini", True): "/v1beta/models/m:batchEmbedContents",
}


def recorded(dialect: str) -> list[Recording]:
    found = [each for each in recordings.require() if each.api == APIS[dialect]]
    if not found:
        (pytest.fail if os.environ.get("GATEWAY_REQUIRE_ALL") == "1" else pytest.skip)(f"no recordings of {dialect}")
    return found


# ---------------------------------------------------------------- recordings


def normal(dialect: str, doc: Json) -> Json:
    """A null member is an absent one; Gemini's names may be in snake_case and repeat the model of the path."""
    doc = without_null(copy.deepcopy(doc), ())
    if dialect == "gemini":
        doc = _camel(doc)
        for request in doc.get("requests", [doc]):
            request.pop("model", None)
    return doc


@pytest.mark.parametrize("dialect", APIS)
def test_recorded_requests_come_out_as_they_went_in(dialect: str) -> None:
    held = refused = 0
    for each in recorded(dialect):
        try:
            embed = CLIENTS[dialect].read_request(copy.deepcopy(each.request_body), each.path)
        except BadRequest:
            assert each.status >= 400, each.id  # its upstream refused it, too
            refused += 1
            continue
        calls, dropped = UPSTREAMS[dialect].write_requests(embed)
        paths = {path for path, _ in calls}
        assert len(paths) == 1 and each.path.endswith(paths.pop()), each.id
        docs = [doc for _, doc in calls]
        whole = docs[0] if len(docs) == 1 else {"requests": [one for doc in docs for one in doc["requests"]]}
        assert differs(normal(dialect, each.request_body), normal(dialect, whole)) == "" and dropped == [], each.id
        held += 1
    print(f"\n{dialect}: {held} hold, {refused} refused by their upstream and by us")
    assert held > refused


def replies(dialect: str) -> list[tuple[Recording, Embed, Json]]:
    good = [each for each in recorded(dialect) if each.status < 300]
    assert good
    return [
        (each, CLIENTS[dialect].read_request(each.request_body, each.path), json.loads(each.reply)) for each in good
    ]


@pytest.mark.parametrize("dialect", APIS)
def test_recorded_replies_come_out_as_they_went_in(dialect: str) -> None:
    for recording, embed, doc in replies(dialect):
        embedded = UPSTREAMS[dialect].read_responses([doc], embed)
        used = expected(recording)
        assert embedded.usage == (Usage(used.input_tokens, used.output_tokens) if used else Usage()), recording.id
        again = CLIENTS[dialect].write_response(embedded, embed)
        kept = {name: value for name, value in doc.items() if not name.startswith("usage")}
        assert differs(kept, {name: again[name] for name in kept}) == "", recording.id


@pytest.mark.parametrize("dialect", APIS)
def test_a_missing_or_added_vector_is_an_error(dialect: str) -> None:
    member = {"openai": "data", "gemini": "embeddings"}[dialect]
    for recording, embed, doc in replies(dialect):
        vectors = doc[member]
        for wrong in (vectors[:-1], [*vectors, {**vectors[-1], "index": len(vectors)}]):
            with pytest.raises(ValueError, match=f"made {len(wrong)} embeddings of {len(vectors)} inputs"):
                UPSTREAMS[dialect].read_responses([{**doc, member: wrong}], embed)
        assert recording.status == 200


def test_base64_and_floats_are_the_same_numbers() -> None:
    """Each recorded reply in the other encoding: exactly the same 32-bit floats."""
    for recording, embed, doc in replies("openai"):
        floats = UPSTREAMS["openai"].read_responses([doc], embed).vectors
        for asked in ("base64", "float"):
            embed.encoding = asked
            written = CLIENTS["openai"].write_response(Embedded(floats), embed)
            again = UPSTREAMS["openai"].read_responses([written], embed).vectors
            assert [base64_of(each) for each in again] == [base64_of(each) for each in floats], recording.id
            assert {type(each["embedding"]) for each in written["data"]} == {str if asked == "base64" else list}


# ---------------------------------------------------------------- every client, every upstream


def made(text: str) -> list[float]:
    """Stands for an embedding: other texts, other numbers."""
    return [float(len(text)), *(ord(sign) / 128 for sign in text.rjust(3)[-3:])]


#: Fixtures of the documented shapes, not recordings: path's end, most inputs, the texts of a body, the reply to texts.
OPENAI_DATA: Callable[[str], Json] = lambda text: {"object": "embedding", "embedding": made(text)}  # noqa: E731
DOCUMENTED: dict[str, tuple[str, int, Callable[[Json], Any], Callable[[list[str]], Json]]] = {
    "openai": (
        "v1/embeddings",
        2048,
        lambda body: body["input"],
        lambda texts: {
            "object": "list",
            "data": [{**OPENAI_DATA(text), "index": at} for at, text in enumerate(texts)][::-1],
            "model": "m-1",
            "usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)},
        },
    ),
    "gemini": (
        "v1beta/models/org%2Fm:",
        100,
        lambda body: [each["content"]["parts"][0]["text"] for each in body.get("requests", [body])],
        lambda texts: {
            **({"embeddings": [{"values": made(each)} for each in texts]} if len(texts) > 1 else {}),
            **({"embedding": {"values": made(texts[0])}} if len(texts) == 1 else {}),
            "usageMetadata": {"promptTokenCount": len(texts)},
        },
    ),
    "ollama": (
        "api/embed",
        2048,
        lambda body: body["input"],
        lambda texts: {"model": "m-1", "embeddings": [made(each) for each in texts], "total_duration": 14143917,
                       "load_duration": 1019500, "prompt_eval_count": len(texts)},
    ),
    "cohere": (
        "v2/embed",
        96,
        lambda body: body["texts"],
        lambda texts: {"id": "da6e531f", "embeddings": {"float": [made(each) for each in texts]}, "texts": texts,
                       "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": len(texts)}},
                       "response_type": "embeddings_by_type"},
    ),
    "titan": (
        "model/org%2Fm/invoke",
        1,
        lambda body: body["inputText"],
        lambda texts: {"embedding": made(texts[0]), "inputTextTokenCount": 1, "embeddingsByType": {"float": made(texts[0])}},
    ),
}  # fmt: skip


def asked(client: str, texts: list[str], many: bool) -> Json:
    if client == "openai":
        return {"model": "m", "input": texts if many else texts[0], "encoding_format": "base64"}
    requests = [{"model": "models/m", "content": {"parts": [{"text": text}]}} for text in texts]
    return {"requests": requests} if many else requests[0]


def served(upstream: str, embed: Embed) -> Embedded:
    """The documented reply to each call, having checked the call."""
    end, most, texts_of, reply = DOCUMENTED[upstream]
    calls, _ = UPSTREAMS[upstream].write_requests(embed)
    assert len(calls) == -(-len(embed.inputs) // most) and all(path.startswith(end) for path, _ in calls)
    told = [texts_of(json.loads(json.dumps(body))) for _, body in calls]
    texts = [[each] if isinstance(each, str) else each for each in told]
    assert [text for each in texts for text in each] == embed.inputs
    return UPSTREAMS[upstream].read_responses([reply(each) for each in texts], embed)


@pytest.mark.parametrize("count", [1, 2, 250])
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_reaches_every_upstream(client: str, upstream: str, count: int) -> None:
    texts = [f"text {number}" for number in range(count)]
    embed = CLIENTS[client].read_request(asked(client, texts, count > 1), PATHS[client, count > 1])
    embed.model = "org/m"
    written = CLIENTS[client].write_response(served(upstream, embed), embed)
    if client == "openai":
        raw = [base64.b64decode(each["embedding"]) for each in sorted(written["data"], key=lambda each: each["index"])]
        found = [list(struct.unpack(f"<{len(each) // 4}f", each)) for each in raw]
        assert written["usage"] == {"prompt_tokens": count, "total_tokens": count}
    else:
        found = [each["values"] for each in (written["embeddings"] if count > 1 else [written["embedding"]])]
        assert written["usageMetadata"] == {"promptTokenCount": count}
    assert found == [made(text) for text in texts]


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_official_sdks_read_what_is_written(upstream: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        client = "gemini" if "/models/" in request.url.path else "openai"
        embed = CLIENTS[client].read_request(json.loads(request.content), request.url.path)
        embed.model = "org/m"
        return httpx2.Response(200, json=CLIENTS[client].write_response(served(upstream, embed), embed))

    transport = httpx2.MockTransport(answer)
    with openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=httpx2.Client(transport=transport)) as client:
        created = client.embeddings.create(model="m", input=["a", "bc"])  # asks for base64 by itself
    assert [each.embedding for each in created.data] == [made("a"), made("bc")] and created.usage.prompt_tokens == 2
    options = types.HttpOptions(base_url="http://x", httpx_client=httpx2.Client(transport=transport))
    config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", title="t")
    with genai.Client(api_key="k", http_options=options) as google:
        reply = google.models.embed_content(model="m", contents=["a", "bc"], config=config)
    assert reply.embeddings and [each.values for each in reply.embeddings] == [made("a"), made("bc")]
    assert reply.usage_metadata and reply.usage_metadata.prompt_token_count == 2
