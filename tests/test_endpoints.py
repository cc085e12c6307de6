"""Every client endpoint, enumerated from the URL table: the same funnel before all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from routing import urls
from routing.endpoint import Endpoint
from routing.held import ANSWER
from routing.table import Target
from tenants.objects import StoredObject
from tenants.terms import Level, Names
from tests.inprocess import KEY, OTHER_KEY, Plane, plane, route, table, upstream

pytestmark = pytest.mark.asyncio
KIND = {"openai": "openai-compatible", "anthropic": "anthropic", "gemini": "gemini", "any": "openai"}
#: Every body field through which a client can name an upstream object, by API.
NAMED: dict[str, list[dict[str, Any]]] = {
    "chat": [
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "obj-1"}}]}]},
        {"messages": [{"role": "assistant", "audio": {"id": "obj-1"}}]},
    ],
    "responses": [
        {"previous_response_id": "obj-1"},
        {"conversation": "obj-1"},
        {"conversation": {"id": "obj-1"}},
        {"input": [{"type": "item_reference", "id": "obj-1"}]},
        {"input": [{"id": "obj-1"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "obj-1"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "obj-1"}]}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["obj-1"]}]},
        {"tools": [{"type": "image_generation", "input_image_mask": {"file_id": "obj-1"}}]},
        {"tools": [{"type": "shell", "environment": {"type": "container_reference", "container_id": "obj-1"}}]},
        {"prompt": {"id": "pmpt_1", "variables": {"x": {"type": "input_file", "file_id": "obj-1"}}}},
        {"tools": [{"type": "code_interpreter", "container": "obj-1"}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["obj-1"]}}]},
        {"input": [{"type": "code_interpreter_call", "id": "ci", "container_id": "obj-1"}]},
    ],
    "messages": [
        {"container": "obj-1", "messages": []},
        {"container": {"id": "obj-1"}, "messages": []},
        {"container": {"skills": [{"type": "custom", "skill_id": "obj-1", "version": "1"}]}, "messages": []},
        {
            "messages": [
                {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "obj-1"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "obj-1"}]}]},
    ],
    "generate": [
        {"cachedContent": "obj-1"},
        {"tools": [{"fileSearch": {"fileSearchStoreNames": ["obj-1"]}}]},
        {"tools": [{"retrieval": {"vertexRagStore": {"ragResources": [{"ragCorpus": "obj-1"}]}}}]},
        {"systemInstruction": {"parts": [{"fileData": {"fileUri": "files/obj-1"}}]}},
        {"contents": {"parts": [{"functionResponse": {"parts": [{"fileData": {"fileUri": "files/obj-1"}}]}}]}},
        {
            "contents": [
                {"parts": [{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/obj-1"}}]}
            ]
        },
    ],
}


def rows() -> Iterator[tuple[str, str, Endpoint]]:
    """(method, path, endpoint) of every row; ``model`` and ``id`` filled in."""
    for prefix, paths in urls.TABLE.items():
        for pattern, resource in paths.items():
            path = re.sub(r"\(\?P<action>(\w+)\)", r"\1", pattern)
            path = re.sub(r"\(\?P<id>[^)]*\)", "resp_1", path)
            path = re.sub(r"\(\?P<model>[^)]*\)", "gpt", path)
            for method, (_, endpoint) in resource.methods.items():
                yield method, f"/{prefix}{path}", endpoint


ROWS = list(rows())
IDS = [f"{method} {path}" for method, path, _ in ROWS]


def answer(request: httpx.Request) -> httpx.Response:
    """Whatever is asked for is there: a reply without it counts as none."""
    return httpx.Response(200, json={"id": "x", "usage": {}, **{name: [{}] for name in ANSWER.values()}})


def everything(endpoint: Endpoint | None = None, **changes: Any) -> Any:
    """One route to a provider of each dialect; that of ``endpoint`` comes first, so that nothing is translated."""
    providers = {
        "openai": ("open", "openai-compatible"),
        "anthropic": ("ant", "anthropic"),
        "gemini": ("gem", "gemini"),
    }
    targets = [
        Target(n, upstream(n, *kind), priority=int(endpoint is not None and endpoint.dialect != dialect))
        for n, (dialect, kind) in enumerate(providers.items(), 1)
    ]
    return table(route("gpt", *targets), **changes)


async def call(
    p: Plane,
    method: str,
    path: str,
    endpoint: Endpoint,
    model: str = "gpt",
    extra: dict[str, Any] | None = None,
    **kwargs: Any,
) -> httpx.Response:
    if method != "POST" or endpoint.body == "none":
        return await p.client.request(method, path, **kwargs)
    if endpoint.body == "multipart":
        return await p.client.post(path, data={"model": model}, files={"file": ("a.wav", b"RIFF")}, **kwargs)
    body = dict(extra or {})
    if endpoint.dialect != "gemini":
        body["model"] = model
    return await p.client.post(path, json=body, **kwargs)


async def test_the_table_is_whole() -> None:
    assert len(ROWS) > 60
    assert {endpoint.dialect for _, _, endpoint in ROWS} == {"openai", "anthropic", "gemini", "any"}


@pytest.mark.parametrize(("method", "path", "endpoint"), ROWS, ids=IDS)
async def test_without_a_key_it_is_401(method: str, path: str, endpoint: Endpoint) -> None:
    async with plane(everything(endpoint), answer) as p:
        p.client.headers.pop("authorization")
        for headers in ({}, {"x-api-key": "gw-not-a-key-of-ours-but-long-enough"}):
            reply = await call(p, method, path, endpoint, headers=headers)
            assert reply.status_code == 401, reply.text
            assert reply.headers["x-request-id"]
            assert reply.headers["x-gateway-error"] == "auth"
        assert p.requests == []
        assert len(p.rows) == 2


@pytest.mark.parametrize(("method", "path", "endpoint"), ROWS, ids=IDS)
async def test_a_model_that_the_key_may_not_use_is_403_or_404(method: str, path: str, endpoint: Endpoint) -> None:
    made = everything()
    keys = {digest: replace(key, level=Level("key", models=Names(["other"]))) for digest, key in made.keys.items()}
    async with plane(replace(made, keys=keys), answer) as p:
        reply = await call(p, method, path, endpoint)
        if path.endswith("/models"):
            assert "gpt" not in reply.text
        else:
            assert reply.status_code in (403, 404), reply.text
        unknown = await call(p, method, path.replace("gpt", "nope"), endpoint, model="nope")
        assert unknown.status_code in (200 if path.endswith("/models") else 404, 404)
        assert p.requests == []


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [row for row in ROWS if row[2].api in NAMED or "{id}" in row[2].path],
    ids=[i for i, row in zip(IDS, ROWS, strict=True) if row[2].api in NAMED or "{id}" in row[2].path],
)
async def test_another_tenants_objects_are_404(method: str, path: str, endpoint: Endpoint) -> None:
    provider = {"openai": 1, "anthropic": 2, "gemini": 3}[endpoint.dialect]
    bodies: list[dict[str, Any] | None] = [None] if "{id}" in endpoint.path else list(NAMED[endpoint.api])
    async with plane(everything(endpoint), answer) as p:
        await p.gateway.objects.remember(
            [
                StoredObject(object_id, 1, "response", provider, provider, provider, "gpt", "gpt")
                for object_id in ("resp_1", "obj-1", "files/obj-1")
            ]
        )
        for body in bodies:
            foreign = await call(
                p, method, path, endpoint, extra=body, headers={"authorization": f"Bearer {OTHER_KEY}"}
            )
            # OpenAI's own word for an unknown previous response is a 400.
            assert foreign.status_code == (400 if "previous_response_id" in (body or {}) else 404), (body, foreign.text)
            assert p.requests == []
        for body in bodies:
            own = await call(p, method, path, endpoint, extra=body, headers={"authorization": f"Bearer {KEY}"})
            assert own.status_code == 200, (body, own.text)
        assert len(p.requests) == len(bodies)


@pytest.mark.parametrize(("method", "path", "endpoint"), ROWS, ids=IDS)
async def test_a_good_request_leaves_one_row(method: str, path: str, endpoint: Endpoint) -> None:
    async with plane(everything(endpoint), answer) as p:
        await p.gateway.objects.remember([StoredObject("resp_1", 1, "response", 1, 1, 1, "gpt", "gpt")])
        reply = await call(p, method, path, endpoint)
        assert reply.status_code == (404 if endpoint.name == "models" and method == "POST" else 200), reply.text
        [row] = p.rows
        assert (row.endpoint, row.status) == (endpoint.name, reply.status_code)
        assert row.tenant == "acme"
        for name in ("x-request-id", "x-content-type-options", "content-security-policy"):
            assert name in reply.headers


async def test_the_clients_own_data_may_hold_any_field() -> None:
    """A tool's schema, arguments and results are not references, whatever their fields are called."""
    schema = {"type": "object", "properties": {"file_id": {"type": "string"}}, "default": {"file_id": "mine"}}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}),
        (
            "/v1/messages",
            {
                "tools": [{"name": "f", "input_schema": schema}],
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"file_id": "mine"}}],
                    }
                ],
            },
        ),
    ]
    for path, body in bodies:
        dialect = "anthropic" if "messages" in path else "gemini" if "models" in path else "openai"
        async with plane(everything(Endpoint("", dialect, "", "")), answer) as p:
            assert (await p.client.post(path, json={"model": "gpt", **body})).status_code == 200
