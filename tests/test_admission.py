"""What a key's terms refuse and add: addresses, scopes, sizes, tags, end users, bodies that are not to be stored."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from routing.allowance import check_sizes, scope_of
from routing.explain import explained, imagined
from routing.hook_words import Identity
from routing.hooks import Hooks, Means
from routing.paths import CHAT as CHAT_ENDPOINT
from routing.paths import TABLE
from routing.shipped.request_log import RequestLog
from routing.table import Table, Target
from tenants.keys import Key, Project, Tenant, digest
from tenants.terms import SCOPES, Level, Names
from tests.inprocess import KEY, PEPPER, plane, route, table, upstream
from tests.test_gateway import CHAT, ok
from tests.websocket_site import Socket, chat_only, connected

pytestmark = pytest.mark.asyncio
LOCAL = "127.0.0.1"  # where httpx's transport comes from


def terms_of(
    tenant: Level | None = None, project: Level | None = None, key: Level | None = None, **changes: Any
) -> Table:
    """The model gpt for a key with these levels; ``scopes`` and ``declared`` are of the key and its tenant."""
    scopes, declared = changes.pop("scopes", ()), changes.pop("declared", ())
    made = Key(11, "main", 1, project_id=5, scopes=scopes, level=key or Level())
    return table(
        route("gpt", Target(1, upstream(), model="gpt-real")),
        keys={digest(KEY, PEPPER): made},
        tenants={1: Tenant(1, "acme", level=tenant or Level(), declared=declared)},
        projects={5: Project(5, "web", 1, level=project or Level())},
        **changes,
    )


def networks(*texts: str) -> Level:
    return Level(networks=tuple(ip_network(text) for text in texts))


async def asked(made: Table, path: str = "/v1/chat/completions", **more: Any) -> tuple[httpx.Response, Any, int]:
    """The reply, the row, and how many requests an upstream has got."""
    body = more.pop("json", CHAT)
    async with plane(made, ok) as p:
        reply = await p.client.post(path, json=body, **more)
        return reply, p.rows[0], len(p.requests)


async def test_every_endpoint_has_a_scope() -> None:
    names = {
        endpoint.name
        for paths in TABLE.values()
        for resource in paths.values()
        for _, endpoint in resource.methods.values()
    }
    assert {scope_of(name) for name in names} == set(SCOPES)
    assert scope_of("unified") == "completions" and scope_of("generate.embed") == "embeddings"


@pytest.mark.parametrize(("level", "at"), [("tenant", 0), ("project", 1), ("key", 2)])
async def test_an_address_must_be_in_the_networks_of_every_level(level: str, at: int) -> None:
    inside, outside = networks("10.0.0.0/8", LOCAL), networks("10.1.2.0/24", "2001:db8::/32")
    assert (await asked(terms_of(**{level: inside})))[0].status_code == 200
    reply, row, sent = await asked(terms_of(**{level: outside}))
    assert (reply.status_code, row.error_kind, sent) == (403, "permission", 0)
    assert "address" in reply.text and "10.1.2" not in reply.text and "2001" not in reply.text


async def test_scopes_name_what_is_lacking() -> None:
    made = terms_of(scopes=("chat", "models"))
    assert (await asked(made))[0].status_code == 200
    async with plane(made, ok) as p:
        assert (await p.client.get("/v1/models")).status_code == 200
        for path, scope in (
            ("/v1/responses", "responses"),
            ("/v1/messages", "messages"),
            ("/v1/embeddings", "embeddings"),
            ("/v1/completions", "completions"),
            ("/v1beta/models/gpt:embedContent", "embeddings"),
            ("/v1beta/models/gpt:generateContent", "generate"),
        ):
            reply = await p.client.post(path, json=CHAT)
            assert reply.status_code == 403 and f"scope {scope}" in reply.text, path
        reply = await p.client.get("/v1/responses/resp_1")
        assert reply.status_code == 403
        assert not p.requests


async def test_denied_models_win_over_allowed_ones() -> None:
    made = terms_of(tenant=Level(models=Names(["gpt*"])), key=Level(denied=Names(["gp*"])))
    reply, row, sent = await asked(made)
    assert (reply.status_code, row.error_kind, sent) == (403, "permission", 0)
    assert reply.json()["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, ""),
        ({"max_tokens": 100}, ""),
        ({"max_tokens": 101}, "max_tokens"),
        ({"max_completion_tokens": 10**9}, "max_completion_tokens"),
        ({"max_completion_tokens": 50, "n": 2}, ""),
        ({"max_completion_tokens": 51, "n": 2}, "max_completion_tokens"),
        ({"n": 101}, "n"),
    ],
)
async def test_the_longest_output(fields: dict[str, Any], param: str) -> None:
    made = terms_of(tenant=Level(max_output_tokens=500), key=Level(max_output_tokens=100))
    [key] = made.keys.values()
    call = imagined(CHAT_ENDPOINT, {}, {}, json.dumps({**CHAT, **fields}).encode(), key, made)
    if not param:
        check_sizes(call)
        return
    reply, _, sent = await asked(made, json={**CHAT, **fields})
    assert (reply.status_code, sent) == (400, 0)
    assert reply.json()["error"]["param"] == param and "100" in reply.json()["error"]["message"]


async def test_the_longest_output_in_other_dialects() -> None:
    made = terms_of(key=Level(max_output_tokens=100))
    contents = {"contents": [{"parts": [{"text": "hi"}]}]}
    for path, body, param in (
        ("/v1/messages", {**CHAT, "max_tokens": 101}, "max_tokens"),
        ("/v1/responses", {"model": "gpt", "input": "hi", "max_output_tokens": 101}, "max_output_tokens"),
        ("/v1/completions", {"model": "gpt", "prompt": "hi", "max_tokens": 101}, "max_tokens"),
        (
            "/v1beta/models/gpt:generateContent",
            {**contents, "generationConfig": {"maxOutputTokens": 101}},
            "generationConfig.maxOutputTokens",
        ),
    ):
        reply, _, sent = await asked(made, path, json=body)
        assert (reply.status_code, sent) == (400, 0), path
        assert "100 output tokens" in reply.text
        if "v1/chat" in path:
            assert param in reply.text


async def test_the_longest_input_counts_a_token_for_each_byte() -> None:
    made = terms_of(project=Level(max_input_tokens=400))
    assert (await asked(made, json={**CHAT, "messages": [{"role": "user", "content": "a" * 300}]}))[2] == 1
    reply, _, sent = await asked(made, json={**CHAT, "messages": [{"role": "user", "content": "é" * 200}]})
    assert (reply.status_code, sent, reply.json()["error"]["param"]) == (400, 0, "messages")
    hidden = {"model": "gpt", "input": "hi", "previous_response_id": "resp_elsewhere"}
    reply, _, sent = await asked(made, "/v1/responses", json=hidden)
    assert (reply.status_code, sent) == (400, 0)
    # Counting tokens uses none.
    reply, _, _ = await asked(made, "/v1/messages/count_tokens", json={**CHAT, "system": "a" * 500})
    assert "input" not in reply.text or reply.status_code == 200


async def test_default_tags_come_first_and_only_declared_ones_are_told_apart() -> None:
    made = terms_of(
        tenant=Level(tags=("team-a",)), project=Level(tags=("web", "team-a")), declared=("team-a", "red", "other")
    )
    _, row, _ = await asked(made)
    assert row.tags == ["team-a", "web"] and row.declared == ["team-a", "other"]
    _, row, _ = await asked(made, headers={"x-gateway-tags": " red,blue,, red ,web"})
    assert row.tags == ["team-a", "web", "red", "blue"] and row.declared == ["team-a", "red", "other"]
    _, row, _ = await asked(terms_of(declared=("red",)), headers={"x-gateway-tags": "red"})
    assert row.declared == ["red"]
    _, row, _ = await asked(terms_of())
    assert row.tags == row.declared == []


@pytest.mark.parametrize("given", ["t" * 65, ",".join(f"t{n}" for n in range(8)), "a,b,c,d,e,f,g,h,i"])
async def test_more_tags_than_may_be(given: str) -> None:
    reply, row, sent = await asked(terms_of(key=Level(tags=("own",))), headers={"x-gateway-tags": given})
    assert (reply.status_code, sent, row.tags) == (400, 0, ["own"])
    assert reply.json()["error"]["param"] == "x-gateway-tags"


async def test_levels_with_too_many_tags_of_their_own_refuse_nothing() -> None:
    tenant, key = (Level(tags=tuple(f"{word}{n}" for n in range(8))) for word in "tk")
    reply, row, _ = await asked(terms_of(tenant=tenant, key=key))
    assert reply.status_code == 200 and row.tags == [f"t{n}" for n in range(8)]


async def test_the_end_user_of_the_header_comes_before_the_bodys() -> None:
    for fields, headers, user in (
        ({"user": "in body"}, {}, "in body"),
        ({"user": "in body"}, {"x-gateway-user": "in header"}, "in header"),
        ({"metadata": {"user_id": "anthropic's"}}, {}, "anthropic's"),
        ({"user": 7}, {}, ""),
        ({"user": "u" * 5000}, {}, "u" * 255),
    ):
        _, row, _ = await asked(terms_of(), json={**CHAT, **fields}, headers=headers)
        assert row.end_user == user
    async with plane(terms_of(), ok) as p:
        files: Any = {"model": (None, "gpt"), "user": (None, "in a form"), "image": ("a.png", b"x", "image/png")}
        await p.client.post("/v1/images/edits", files=files)
        assert p.rows[0].end_user == "in a form"


class Doorkeeper:
    def authenticate(self, headers: Any) -> Identity | None:
        return Identity("acme", "by a hook", "hook's user", tags=("hooked", "x" * 70))


async def test_identities_of_hooks_are_under_their_tenants_terms() -> None:
    hooks = Hooks(made=[Doorkeeper()])
    made = replace(terms_of(tenant=Level(tags=("t",), max_input_tokens=100)), keys={}, hooks=hooks)
    made = replace(made, named={"acme": made.tenants[1]})
    reply, row, _ = await asked(made, headers={"authorization": "Bearer other", "x-gateway-tags": "mine"})
    assert reply.status_code == 200 and row.tags == ["t", "hooked", "x" * 64, "mine"]
    assert (row.end_user, row.key, row.key_id) == ("hook's user", "by a hook", 0)
    assert (await asked(made, json={**CHAT, "user": "u" * 99}))[0].status_code == 400
    refused = replace(made, tenants={1: Tenant(1, "acme", level=networks("10.0.0.0/8"))})
    assert (await asked(refused))[0].status_code == 403


class Marks:
    def before_request(self, call: Any) -> None:
        call.tags.append("marked")


async def test_tags_that_hooks_add_are_told_apart_too() -> None:
    _, row, _ = await asked(terms_of(declared=("marked",), hooks=Hooks(made=[Marks()])))
    assert row.tags == row.declared == ["marked"]


@pytest.mark.parametrize("level", ["tenant", "project", "key"])
async def test_bodies_are_not_logged_where_a_level_says_so(level: str) -> None:
    kept: list[Any] = []
    hooks = Hooks(made=[RequestLog(RequestLog.Options(), Means(keep=kept.append))])
    assert (await asked(terms_of(hooks=hooks)))[0].status_code == 200
    assert len(kept) == 1
    quiet = terms_of(hooks=hooks, **{level: Level(log_bodies=False)})
    assert (await asked(quiet))[0].status_code == 200
    assert (await asked(quiet, json={**CHAT, "model": "none"}))[0].status_code == 404
    assert len(kept) == 1


async def test_sockets_are_under_the_same_terms() -> None:
    async with plane(terms_of(key=networks("10.0.0.0/8")), ok) as p:
        socket = Socket(p)
        accepted, _ = await socket.wire.connect(60)
        assert not accepted and p.rows[0].error_kind == "permission"
    async with plane(terms_of(scopes=("chat",)), ok) as p:
        accepted, _ = await Socket(p).wire.connect(60)
        assert not accepted
    made = chat_only(keys={digest(KEY, PEPPER): Key(11, "main", 1, level=Level(max_output_tokens=9, tags=("ws",)))})
    async with plane(made, ok) as p, connected(p) as socket:
        told = await socket.turn(max_output_tokens=10)
        assert told["error"]["param"] == "max_output_tokens"
        assert p.rows[0].tags == ["ws"] and not p.requests


async def test_explain_says_why_a_key_would_be_refused() -> None:
    made = terms_of(key=replace(networks("10.0.0.0/8"), max_output_tokens=9), scopes=("chat",))
    [key] = made.keys.values()
    body = json.dumps({**CHAT, "max_tokens": 10}).encode()
    async with plane(made, ok) as p:
        with pytest.raises(Exception, match="from this address"):
            imagined(CHAT_ENDPOINT, {}, {}, body, key, made, "192.0.2.1")
        call = imagined(CHAT_ENDPOINT, {}, {}, body, key, made, "10.0.0.1")
        assert explained(p.gateway, call)["error"]["message"].startswith("This API key may ask for at most 9")
        embeddings = TABLE["v1/"]["embeddings"].methods["POST"][1]
        with pytest.raises(Exception, match="scope embeddings"):
            imagined(embeddings, {}, {}, b'{"model":"gpt","input":"hi"}', key, made)
