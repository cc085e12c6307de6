"""``POST /api/v1/explain``: where a request would go and why, by what this process has seen; nothing is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from routing.gateway import Gateway
from routing.models import Alias, Hook
from tenants.models import ApiKey, Tenant, Usage
from tests.api_site import api, client_of, no_throttle_left_over
from tests.explain_site import Rows, add_key, gateway, made, open_breaker, rest

pytestmark = pytest.mark.django_db
assert api and no_throttle_left_over and made and gateway  # fixtures

URL = "/api/v1/explain"
TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}


def ask(client: APIClient, **body: Any) -> dict[str, Any]:
    reply = client.post(URL, json.dumps({"key": "prod", "model": "fast", **body}), content_type="application/json")
    assert reply.status_code == 200, reply.content
    found: dict[str, Any] = reply.json()
    return found


def order(found: dict[str, Any]) -> list[str]:
    return [each["provider"] for each in found["candidates"] if "order" in each]


def rejected(found: dict[str, Any]) -> dict[str, str]:
    return {each["provider"]: each["rejected"] for each in found["candidates"] if "rejected" in each}


def test_the_candidates_with_their_reasons(api: APIClient, made: Rows, gateway: Gateway) -> None:
    before = gateway.rng.getstate()
    found = ask(api)
    assert found["key"] == {"id": made["key"].pk, "name": "prod", "tenant": "acme"}
    assert (found["model"], found["route"], found["via"], found["strategy"]) == ("fast", "fast", "name", "priority")
    assert order(found) == ["first", "second"] and found["attempts"] == []
    assert rejected(found) == {"third": "stands in for requests that are too long for another target"}
    assert rejected(ask(api, body=TOOLS))["second"] == "takes requests without tools only"
    assert found["live"] and gateway.rng.getstate() == before and not Usage.objects.exists()


def test_what_this_process_has_seen_counts(api: APIClient, made: Rows, gateway: Gateway) -> None:
    first, second, third = made["providers"]
    open_breaker(gateway, first)
    found = ask(api)
    assert order(found) == ["second"]
    assert rejected(found)["first"] == "its circuit breaker is open for 5.0 s more"
    rest(gateway, second)
    rest(gateway, third)
    found = ask(api)
    assert not order(found) and rejected(found)["second"] == "its credentials rest for 30.0 s more"
    assert (found["error"]["kind"], found["error"]["status"]) == ("overloaded", 503)


def test_without_a_gateway_the_database_decides(api: APIClient, made: Rows) -> None:
    found = ask(api)
    assert (order(found), found["live"]) == (["first", "second"], False)
    Alias.objects.create(name="quick", model="fast")
    assert ask(api, model="quick")["via"] == "alias, name"


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ({"path": "/v1/messages", "body": {"max_tokens": 5}}, ["first", "second"]),
        ({"path": "/v1/responses", "stream": True}, ["first"]),
        ({"path": "/v1beta/models/fast:generateContent", "model": ""}, ["first", "second"]),
        ({"path": "/v1beta/models/fast:streamGenerateContent?alt=sse", "model": "fast"}, ["first"]),
        ({"path": "/v1beta/models/fast:generateContent", "model": "fast", "stream": True}, ["first"]),
        ({"path": "/v1/completions", "body": {"messages": []}}, ["first", "second"]),
        ({"body": {"model": "fast", "stream": True}}, ["first"]),
        ({"body": {"stream": True}, "stream": False}, ["first", "second"]),
        ({"headers": {"X-Provider": "second"}}, ["second"]),
        ({"headers": {"x-gateway-tags": "a, batch"}}, ["first", "second"]),
    ],
)
def test_other_paths_streams_and_headers(api: APIClient, made: Rows, asked: dict[str, Any], first: list[str]) -> None:
    second = made["targets"][1]
    second.conditions = {"stream": False}
    second.save()
    body = {"key": "prod", "model": "fast", **asked}
    found = ask(api, **{name: value for name, value in body.items() if value != ""} | ({"model": "fast"}))
    assert order(found) == first


def test_the_key_decides(api: APIClient, made: Rows) -> None:
    add_key("acme", "narrow", allowed_providers=["second"])
    found = ask(api, key="narrow")
    assert order(found) == ["second"] and rejected(found)["first"] == "the key may not use its provider"
    add_key("acme", "other", allowed_models=["slow"])
    assert ask(api, key="other")["error"]["code"] == "model_not_allowed"
    assert ask(api, model="nothing")["error"]["status"] == 404
    made["key"].enabled = False
    made["key"].save()
    assert ask(api)["error"] == {
        "kind": "auth",
        "status": 401,
        "message": "The API key is disabled.",
        "code": "invalid_api_key",
    }
    Tenant.objects.update(enabled=False)
    assert ask(api, key="narrow")["error"]["kind"] == "permission"
    assert ask(api, key=None)["error"]["kind"] == "auth"
    Tenant.objects.update(enabled=True, anonymous=True)
    found = ask(api, key=None)
    assert (found["key"], order(found)) == (None, ["first", "second"])


def test_a_key_by_name_by_id_and_by_itself(api: APIClient, made: Rows) -> None:
    row = made["key"]
    for said in (row.pk, str(row.pk), row.plain, "prod"):
        found = ask(api, key=said)
        assert found["key"]["id"] == row.pk and row.plain not in json.dumps(found)
    twin = add_key("rival", "prod")
    reply = api.post(URL, {"key": "prod", "model": "fast"})
    assert (reply.status_code, "acme, rival" in reply.json()["key"][0]) == (400, True)
    assert ask(api, tenant="rival")["key"]["id"] == twin.pk


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "fast", "key": "nobody's"}, "key"),
        ({"model": "fast", "key": 10**30}, "key"),
        ({"model": "fast", "key": -1}, "key"),
        ({"model": "fast", "key": True}, "key"),
        ({"model": "fast", "key": ""}, "key"),
        ({"model": "fast", "key": "a\x00b"}, "key"),
        ({"model": "fast", "key": "\ud800"}, "key"),
        ({"model": "fast", "key": "prod", "tenant": "rival"}, "key"),
        ({}, "model"),
        ({"model": 5.5, "body": {"model": "x"}}, "model"),
        ({"model": "fast", "body": {"model": "slow"}}, "model"),
        ({"model": "slow", "path": "/v1beta/models/fast:generateContent"}, "model"),
        ({"model": "fast", "path": "/v1/models"}, "path"),
        ({"model": "fast", "path": "/v1/responses/r1/cancel"}, "path"),
        ({"model": "fast", "path": "/v1/v1/chat/completions"}, "path"),
        ({"model": "fast", "body": []}, "body"),
        ({"model": "fast", "headers": ["x"]}, "headers"),
        ({"model": "fast", "headers": {"x y": "z"}}, "headers"),
        ({"model": "fast", "headers": {"x": "a\nb"}}, "headers"),
        ({"model": "fast", "stream": "perhaps"}, "stream"),
        ({"model": "fast", "modle": "x"}, "modle"),
    ],
)
def test_a_question_that_is_not_understood(api: APIClient, made: Rows, body: dict[str, Any], field: str) -> None:
    reply = api.post(URL, json.dumps(body), content_type="application/json")
    assert (reply.status_code, list(reply.json())) == (400, [field]), reply.content


@pytest.mark.parametrize(
    "body",
    [
        {"n": 10**400},
        {"messages": [{"role": "user", "content": "\ud800"}]},
        {"stream": "yes"},
        {"prompt": 1, "messages": 1},
    ],
)
def test_a_body_that_would_be_refused_is_refused_here(api: APIClient, made: Rows, body: dict[str, Any]) -> None:
    found = ask(api, body=body, path="/v1/completions")
    assert found["error"]["status"] == 400 and found["route"] == "" and "candidates" not in found


def test_hooks_that_would_run_are_named(api: APIClient, made: Rows) -> None:
    assert "hooks" not in ask(api)
    Hook.objects.create(name="Inject", options={"system": "Be brief."})
    assert ask(api)["hooks"] == ["Inject"]


VIEWS = ("routing.view_route", "providers.view_provider", "tenants.view_apikey")


@pytest.mark.parametrize("missing", [None, *VIEWS])
def test_who_may_view_routes_providers_and_keys_may_ask(made: Rows, missing: str | None) -> None:
    client = client_of(*(name for name in VIEWS if name != missing))
    reply = client.post(URL, {"key": ApiKey.objects.get().pk, "model": "fast"})
    assert reply.status_code == (403 if missing else 200)
