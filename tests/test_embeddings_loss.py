"""Embeddings: what an upstream cannot say is told or refused, and bad requests and garbage are named as such."""

from __future__ import annotations

import copy
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.chat import BadRequest, Unsupported
from providers.embeddings import CLIENTS, KINDS, UPSTREAMS, Embed, base64_of, vector
from tests.recordings import Json
from tests.test_embeddings import DOCUMENTED, PATHS, normal
from tests.test_recordings import differs


def first(upstream: str, embed: Embed, lenient: bool = False) -> tuple[Json, list[str]]:
    calls, dropped = UPSTREAMS[upstream].write_requests(embed, lenient)
    return calls[0][1], dropped


def gemini_request(**given: Any) -> Embed:
    content = {"parts": [{"text": "a"}]}
    return CLIENTS["gemini"].read_request({"content": content, **given}, PATHS["gemini", False])


RICH: Json = {"taskType": "CODE_RETRIEVAL_QUERY", "title": "t", "outputDimensionality": 256}
SAID: dict[str, tuple[Json, list[str]]] = {
    "openai": ({"model": "m", "input": "a", "dimensions": 256}, ["taskType", "title"]),
    "gemini": ({"model": "models/m", "content": {"parts": [{"text": "a"}]}, **RICH}, []),
    "ollama": ({"model": "m", "input": "a", "dimensions": 256}, ["taskType", "title"]),
    "cohere": ({"model": "m", "texts": ["a"], "output_dimension": 256, "input_type": "search_query",
                "embedding_types": ["float"]}, ["taskType", "title"]),
    "titan": ({"inputText": "a", "dimensions": 256}, ["taskType", "title"]),
}  # fmt: skip


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_losses_are_told_by_the_clients_own_names(upstream: str) -> None:
    assert first(upstream, gemini_request(**RICH)) == SAID[upstream]


def test_kinds_reach_those_who_know_them() -> None:
    for kind in KINDS:
        embed = CLIENTS["openai"].read_request({"model": "m", "input": "a", "input_type": kind})
        task, dropped = first("gemini", embed)
        assert gemini_request(taskType=task["taskType"]).kind == kind and dropped == []
        near = kind in ("search_query", "search_document", "classification", "clustering")
        assert first("cohere", embed)[1] == ([] if near else ["input_type"])
    plain = CLIENTS["openai"].read_request({"model": "m", "input": "a"})
    assert first("cohere", plain)[0]["input_type"] == "search_document" and first("cohere", plain)[1] == []
    voyage = CLIENTS["openai"].read_request({"model": "m", "input": "a", "input_type": "query"})
    assert first("cohere", voyage)[0]["input_type"] == "search_query"
    assert first("openai", voyage)[0]["input_type"] == "query"


def test_truncation_is_said_in_every_way() -> None:
    def body(upstream: str, truncation: bool) -> tuple[Json, list[str]]:
        return first(upstream, CLIENTS["openai"].read_request({"model": "m", "input": "a", "truncation": truncation}))

    assert [body("cohere", each)[0]["truncate"] for each in (True, False)] == ["END", "NONE"]
    assert [body("ollama", each)[0]["truncate"] for each in (True, False)] == [True, False]
    assert body("gemini", False)[0]["embedContentConfig"] == {"autoTruncate": False}
    assert "embedContentConfig" not in body("gemini", True)[0]
    assert body("titan", True)[1] == ["truncation"] and body("titan", False)[1] == []
    assert first("openai", gemini_request(embedContentConfig={"autoTruncate": True}))[1] == [
        "embedContentConfig.autoTruncate"
    ]


REFUSED: list[tuple[str, Json, str, tuple[str, ...]]] = [
    ("openai", {"input": [1, 2]}, "input", ("gemini", "ollama", "cohere", "titan")),
    ("openai", {"input": [[1, 2]]}, "input", ("gemini", "ollama", "cohere", "titan")),
    ("gemini", {"content": {"parts": [{"text": "a"}, {"text": "b"}]}}, "content.parts", ("openai", "ollama", "cohere", "titan")),
    ("gemini", {"content": {"parts": [{"inlineData": {"data": "AA=="}}]}}, "content.parts", ("openai", "cohere")),
]  # fmt: skip


@pytest.mark.parametrize(("client", "doc", "field", "upstreams"), REFUSED)
def test_what_cannot_be_embedded_is_refused_even_by_a_lenient_route(
    client: str, doc: Json, field: str, upstreams: tuple[str, ...]
) -> None:
    embed = CLIENTS[client].read_request({"model": "m", **doc}, PATHS[client, False])
    for upstream in upstreams:
        with pytest.raises(Unsupported) as caught:
            UPSTREAMS[upstream].write_requests(embed, lenient=True)
        assert caught.value.field == field
    own, dropped = first(client, embed)
    assert {name: own[name] for name in doc} == doc and dropped == []


@pytest.mark.parametrize(
    ("upstream", "doc", "field"),
    [
        ("titan", {"model": "amazon.titan-embed-text-v2:0", "dimensions": 300}, "dimensions"),
        ("titan", {"model": "amazon.titan-embed-text-v1", "output_dimension": 256}, "output_dimension"),
        ("ollama", {"model": "m", "output_dtype": "int8"}, "output_dtype"),
    ],
)
def test_other_vectors_than_asked_for_are_refused(upstream: str, doc: Json, field: str) -> None:
    embed = CLIENTS["openai"].read_request({"input": "a", **doc})
    with pytest.raises(Unsupported) as caught:
        UPSTREAMS[upstream].write_requests(embed)
    assert caught.value.field == field
    assert first(upstream, embed, lenient=True)[1] == [field]
    assert len(UPSTREAMS[upstream].read_responses([DOCUMENTED[upstream][3](["a"])], embed).vectors) == 1


def test_an_upstream_that_ignores_the_dimensions_is_an_error() -> None:
    embed = CLIENTS["openai"].read_request({"model": "m", "input": "a", "dimensions": 256})
    for upstream in UPSTREAMS:
        with pytest.raises(ValueError, match="256 dimensions"):
            UPSTREAMS[upstream].read_responses([DOCUMENTED[upstream][3](["a"])], embed)


BATCH = [{"content": {"parts": [{"text": text}]}, "title": text} for text in ("a", "b")]
ROUND: list[Json] = [
    {"requests": BATCH},
    {"requests": [{**each, "newSetting": 1} for each in BATCH]},
    {"requests": [BATCH[0], {**BATCH[1], "taskType": "CLUSTERING"}]},
    {"requests": [{**each, "embedContentConfig": {"title": "x", "autoTruncate": False, "documentOcr": True}} for each in BATCH]},
    {"content": {"role": "model", "parts": [{"text": "a"}]}, "taskType": "SOMETHING_NEW"},
    {"content": {"parts": [{"text": "a", "thought": False}]}, "embedContentConfig": {"outputDimensionality": 5}, "title": "t"},
]  # fmt: skip


@pytest.mark.parametrize("doc", ROUND)
def test_documented_gemini_requests_come_out_as_they_went_in(doc: Json) -> None:
    embed = CLIENTS["gemini"].read_request(copy.deepcopy(doc), PATHS["gemini", "requests" in doc])
    written, dropped = first("gemini", embed)
    assert differs(normal("gemini", doc), normal("gemini", written)) == "" and dropped == []


def test_requests_of_a_batch_that_differ_are_refused_elsewhere() -> None:
    embed = CLIENTS["gemini"].read_request(ROUND[2], PATHS["gemini", True])
    with pytest.raises(Unsupported) as caught:
        UPSTREAMS["cohere"].write_requests(embed)
    assert caught.value.field == "requests.taskType"


# ---------------------------------------------------------------- bad input and garbage


def _batch_of(*requests: Any) -> Json:
    return {"requests": list(requests)}


#: Path of the field at fault -> values of ``input``, or of the field itself.
BAD_INPUTS: dict[str, tuple[Any, ...]] = {
    "input": (None, "", [], 5, {}, True, ["a"] * 2049),
    "input[0]": ([None], [5.5], [""]),
    "input[1]": (["a", ""], ["a", 1], ["a", [1]], [[1], "a"], [1, "a"], [1, -1], [1, True], [[1], []]),
    "input[1][0]": ([[1], ["a"]],),
}
BAD_MEMBERS: dict[str, tuple[Any, ...]] = {
    "model": (None, 1),
    "dimensions": (0, -1, 1.5, "1", True),
    "output_dimension": (0,),
    "encoding_format": ("int8", 1, []),
    "user": (5,),
    "input_type": (5,),
    "truncation": (5,),
}
OPENAI_BAD: list[tuple[Any, str]] = [
    ([], "body"),
    *(({"model": "m", "input": value}, field) for field, values in BAD_INPUTS.items() for value in values),
    *(({"model": "m", "input": "a", field: value}, field) for field, values in BAD_MEMBERS.items() for value in values),
]
ONE: Json = {"content": {"parts": [{"text": "a"}]}}
GEMINI_BAD: list[tuple[Any, str]] = [
    ("x", "body"), ({}, "content"), ({"content": "a"}, "content"), ({"content": {}}, "content.parts"),
    ({"content": {"parts": [{"text": ""}]}}, "content.parts[0].text"), ({"content": {"parts": [5]}}, "content.parts[0]"),
    ({**ONE, "outputDimensionality": -1}, "outputDimensionality"), ({**ONE, "task_type": 1}, "taskType"),
    ({**ONE, "embedContentConfig": {"outputDimensionality": 0}}, "embedContentConfig.outputDimensionality"),
    ({**ONE, "model": "models/other"}, "model"), (_batch_of(), "requests"), (_batch_of(5), "requests[0]"),
    (_batch_of(ONE, {}), "requests[1].content"), (_batch_of(*[ONE] * 2049), "requests"),
    (_batch_of(ONE, {**ONE, "model": "models/other"}), "requests[1].model"), (_batch_of(ONE, {**ONE, "title": 1}), "requests[1].title"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("client", "doc", "field"),
    [("openai", *each) for each in OPENAI_BAD] + [("gemini", *each) for each in GEMINI_BAD],
)
def test_bad_requests_name_the_field(client: str, doc: Any, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        CLIENTS[client].read_request(doc, PATHS[client, "requests" in doc])
    assert caught.value.field == field


LARGEST = 3.4028234663852886e38  # what 32 bits can hold
NAMES = ["input", "model", "dimensions", "requests", "content", "parts", "text", "title", "embedContentConfig", "taskType",
         "data", "index", "embedding", "embeddings", "values", "float", "usage", "meta", "billed_units", "usageMetadata",
         "error", "message", "embeddingsByType", "truncation", "role", "prompt_tokens_details"]  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
GARBAGE = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip
SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)


@st.composite
def spoiled(draw: st.DrawFn, docs: list[tuple[str, Any]]) -> tuple[str, Any]:
    """One of the named documents with garbage somewhere in it, or in its place."""
    name, whole = copy.deepcopy(draw(st.sampled_from(docs)))
    top: list[Any] = [whole]
    holder: Any = top
    key: Any = 0
    while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 4)):
        holder = holder[key]
        key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else list(range(len(holder)))))
    holder[key] = draw(GARBAGE)
    return name, top[0]


REQUESTS: list[tuple[str, Any]] = [
    ("openai", {"model": "m", "input": ["a", "b"], "dimensions": 5, "encoding_format": "float", "input_type": "query"}),
    ("openai", {"model": "m", "input": [[1, 2], [3]], "output_dimension": 5, "truncation": True, "user": "u"}),
    *(("gemini", each) for each in ROUND),
]
REPLIES: list[tuple[str, Any]] = [(name, DOCUMENTED[name][3](["a"])) for name in sorted(UPSTREAMS)]


@SETTINGS
@given(spoiled(REQUESTS))
def test_garbage_from_a_client_is_a_bad_request(spoilt: tuple[str, Any]) -> None:
    client, doc = spoilt
    try:
        embed = CLIENTS[client].read_request(doc, PATHS[client, isinstance(doc, dict) and "requests" in doc])
    except BadRequest as error:
        assert error.field and error.message
        return
    assert embed.inputs and UPSTREAMS[client].write_requests(embed)[0]


@SETTINGS
@given(spoiled(REPLIES), st.sampled_from([400, 429, 500]))
def test_garbage_from_an_upstream_is_words(spoilt: tuple[str, Any], status: int) -> None:
    name, doc = spoilt
    assert UPSTREAMS[name].read_error(status, doc).message
    embed = Embed("openai", "m", ["a"], encoding="base64")
    try:
        found = UPSTREAMS[name].read_responses([doc], embed)
    except ValueError as error:
        assert str(error).startswith("The upstream")
        return
    assert len(found.vectors) == 1 and found.vectors[0] and type(found.usage.input_tokens) is int
    assert CLIENTS["openai"].write_response(found, embed)["model"]


@pytest.mark.parametrize(
    "value", [[], [1e39], [float("nan")], ["1"], [True], [None], "AAAA", "AADAfw==", "not base64", {}, 5, None]
)
def test_what_is_no_vector_is_an_error(value: Any) -> None:
    for name, doc in (("titan", {"embedding": value}), ("ollama", {"embeddings": [value]})):
        with pytest.raises(ValueError, match="was not understood"):
            UPSTREAMS[name].read_responses([doc], Embed("openai", "m", ["a"]))
    assert vector([1, -LARGEST]) == vector(base64_of([1.0, -LARGEST])) == [1.0, -LARGEST]


def test_paths_hold_any_model_name() -> None:
    embed = Embed("openai", "arn:aws:bedrock:us-east-1:1:p/x y", ["a"])
    for upstream in ("gemini", "titan"):
        assert quote(embed.model, safe="") in UPSTREAMS[upstream].write_requests(embed)[0][0][0]


@pytest.mark.parametrize(
    ("upstream", "doc", "message"),
    [
        ("openai", {"error": {"message": "no", "type": "invalid_request_error"}}, "no"),
        ("gemini", {"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}}, "no"),
        ("ollama", {"error": 'model "m" not found'}, 'model "m" not found'),
        ("cohere", {"id": "1", "message": "no"}, "no"),
        ("titan", {"message": "no"}, "no"),
    ],
)
def test_errors_are_read(upstream: str, doc: Json, message: str) -> None:
    found = UPSTREAMS[upstream].read_error(404, doc)
    assert (found.message, found.status) == (message, 404)
    assert found.kind in ("unknown_model", "invalid_request")
