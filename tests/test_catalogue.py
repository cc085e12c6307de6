"""Asking providers for their models: three dialects, pages, failures; and what is stored of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from providers import catalogue
from providers.models import Provider, UpstreamModel
from providers.upstream import Connections, Credential, Upstream
from routing.models import Revision
from tests.admin_site import EVIL

SECRET = "sk-0123456789abcdefghijklmnop"
Answer = Callable[[httpx.Request], httpx.Response]


def upstream(kind: str = "openai", base_url: str = "https://api.example/v1") -> Upstream:
    return Upstream(
        1,
        "main",
        kind,
        base_url,
        frozenset(),
        (Credential(1, (b"authorization", f"Bearer {SECRET}".encode()), SECRET),),
    )


def ask(answer: Answer, kind: str = "openai", base_url: str = "https://api.example/v1") -> catalogue.Probe:
    pool = Connections(transports={"*": httpx.MockTransport(answer)})
    return async_to_sync(catalogue.probe)(upstream(kind, base_url), pool)


def listing(*names: str, **more: Any) -> httpx.Response:
    return httpx.Response(
        200, json={"object": "list", "data": [{"id": name, "object": "model", **more} for name in names]}
    )


def test_openai() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return listing("gpt-5", "gpt-5-mini", owned_by="openai")

    probe = ask(answer)
    assert (probe.ok, probe.status, list(probe.models)) == (True, 200, ["gpt-5", "gpt-5-mini"])
    assert probe.models["gpt-5"]["owned_by"] == "openai"
    assert [str(request.url) for request in asked] == ["https://api.example/v1/models"]
    assert asked[0].headers["authorization"] == f"Bearer {SECRET}"


def test_anthropic_pages() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["anthropic-version"] == "2023-06-01"
        asked.append(str(request.url))
        last = "after_id" in asked[-1]
        row = {"type": "model", "id": "b" if last else "a", "display_name": "A"}
        return httpx.Response(200, json={"data": [row], "has_more": not last, "last_id": "a&b"})

    probe = ask(answer, "anthropic", "https://api.anthropic.com")
    assert list(probe.models) == ["a", "b"]
    assert asked == [
        "https://api.anthropic.com/v1/models?limit=1000",
        "https://api.anthropic.com/v1/models?limit=1000&after_id=a%26b",
    ]


def test_gemini_pages() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        last = len(asked) == 2
        return httpx.Response(
            200, json={"models": [{"name": f"models/g{len(asked)}"}]} | ({} if last else {"nextPageToken": "t/1"})
        )

    probe = ask(answer, "gemini", "https://g.example")
    assert list(probe.models) == ["g1", "g2"]
    assert asked == [
        "https://g.example/v1beta/models?pageSize=1000",
        "https://g.example/v1beta/models?pageSize=1000&pageToken=t%2F1",
    ]


def test_endless_pages_end() -> None:
    asked = iter(range(10_000))
    probe = ask(
        lambda request: httpx.Response(200, json={"data": [], "has_more": True, "last_id": f"x{next(asked)}"}),
        "anthropic",
    )
    assert probe.ok and next(asked) == catalogue.MAX_PAGES
    same = iter(range(10_000))
    ask(
        lambda request: httpx.Response(200, json={"data": [{"id": str(next(same))}], "has_more": True, "last_id": "x"}),
        "anthropic",
    )
    assert next(same) == 2


def test_a_bare_list() -> None:
    assert list(ask(lambda request: httpx.Response(200, json=[{"id": "m"}])).models) == ["m"]


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1, 2", b'{"data": 1}', b'"x"', b"\xff\xfe", b"null"])
def test_garbage_is_no_list(body: bytes) -> None:
    probe = ask(lambda request: httpx.Response(200, content=body))
    assert (probe.ok, probe.status, dict(probe.models)) == (False, 200, {})


def test_odd_rows_are_passed_over() -> None:
    rows = [
        1,
        None,
        {},
        {"id": 5},
        {"id": ""},
        {"id": "x" * 256},
        {"id": "a\nb"},
        {"id": "\u0000"},
        {"id": "good", "note": "\u0000", "permission": [1]},
        {"id": "long", "text": "x" * 5000},
        {"id": "fine", "permission": [1], "created": 1},
    ]
    probe = ask(lambda request: httpx.Response(200, json={"data": rows}))
    assert probe.models == {"good": {}, "long": {}, "fine": {"id": "fine", "created": 1}}


def test_what_it_said_is_short_and_holds_no_secret() -> None:
    probe = ask(lambda request: httpx.Response(401, text=f"bad key {SECRET}! \x00" + "x" * 10_000))
    assert (probe.ok, probe.status) == (False, 401)
    assert probe.text.startswith("bad key [secret]! \ufffd") and len(probe.text) == 500


def test_a_secret_across_the_cut_is_taken_out_too() -> None:
    probe = ask(lambda request: httpx.Response(401, text="x" * 490 + SECRET))
    assert probe.text == "x" * 490 + "[secret]"


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": "https://elsewhere.example/"})

    assert ask(answer).status == 302 and len(asked) == 1


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), OSError("x")]
)
def test_no_answer(error: Exception) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    probe = ask(answer)
    assert (probe.ok, probe.status) == (False, 0) and "provider" in probe.text


# -- what is stored


@pytest.fixture
def provider(db: None) -> Provider:
    provider = Provider.objects.create(name="main", title=EVIL, kind="openai")
    provider.set_api_key(SECRET)
    return provider


def stored(provider: Provider) -> list[str]:
    return list(provider.models.values_list("name", flat=True))


def test_what_the_operator_says_of_a_model_outlives_its_listing(provider: Provider) -> None:
    UpstreamModel.objects.create(provider=provider, name="never-listed", abilities={"images": False})
    catalogue.store(provider, {"a": {"n": 1}, "b": {}})
    kept = provider.models.get(name="a")
    kept.abilities = {"tools": False}
    kept.save()
    catalogue.store(provider, {})
    rows = list(provider.models.values_list("name", "abilities", "details", "seen_at"))
    assert rows == [("a", {"tools": False}, {}, None), ("never-listed", {"images": False}, {}, None)]
    catalogue.store(provider, {"a": {"n": 2}})
    row = provider.models.get(name="a")
    assert (row.abilities, row.details, row.seen_at) == ({"tools": False}, {"n": 2}, provider.models_refreshed_at)


@pytest.mark.django_db(transaction=True)
def test_only_a_difference_makes_a_revision(provider: Provider) -> None:
    def revisions_of(found: dict[str, dict[str, Any]]) -> int:
        before = Revision.objects.count()
        catalogue.store(provider, found)
        return Revision.objects.count() - before

    assert revisions_of({"a": {"n": 1, "created": 1}, "b": {}}) == 1
    assert revisions_of({"b": {}, "a": {"n": 1, "created": 2}}) == 0
    assert provider.models.filter(name="a").values_list("details", flat=True).get() == {"n": 1, "created": 1}
    assert revisions_of({"b": {}, "a": {"n": 2}}) == 1
    assert revisions_of({"c": {}, "a": {"n": 2}}) == 1
    assert stored(provider) == ["a", "c"]
    seen = provider.models.get(name="a").seen_at
    assert revisions_of({"c": {}, "a": {"n": 2}}) == 0
    assert provider.models.filter(name="a", seen_at__gt=seen).exists()
    assert Provider.objects.get().models_refreshed_at is not None


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[httpx.Response]]:
    """What the upstream answers next, for the views."""
    queue: list[httpx.Response] = []
    transport = httpx.MockTransport(lambda request: queue.pop(0))
    monkeypatch.setattr(catalogue, "connections", lambda: Connections(transports={"*": transport}))
    yield queue
    assert queue == []


def url(provider: Provider) -> str:
    return reverse("admin:providers_provider_test", args=[provider.pk])


def test_test_connection(admin_client: Client, provider: Provider, replies: list[httpx.Response]) -> None:
    replies.append(listing("gpt-5", EVIL))
    text = admin_client.post(url(provider)).content.decode()
    assert "It works." in text and "gpt-5" in text
    assert EVIL not in text and "<script>alert" not in text and SECRET not in text
    assert stored(provider) == sorted([EVIL, "gpt-5"])


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refused the credential"),
        (404, "no list of models"),
        (500, "not a list of models"),
        (200, "not a list of models"),
    ],
)
def test_test_connection_fails(
    admin_client: Client, provider: Provider, replies: list[httpx.Response], status: int, says: str
) -> None:
    catalogue.store(provider, {"kept": {}})
    replies.append(httpx.Response(status, text=EVIL + "y" * 1000))
    text = admin_client.post(url(provider)).content.decode()
    assert says in text and "&lt;script&gt;alert" in text
    assert EVIL not in text and "<script>alert" not in text and text.count("y" * 400) == 1 and "y" * 500 not in text
    assert stored(provider) == ["kept"]


def test_test_connection_needs_post_a_token_and_the_permission(
    client: Client, admin_user: User, provider: Provider, replies: list[httpx.Response]
) -> None:
    assert client.post(url(provider))["location"].startswith(reverse("admin:login"))
    clerk = User.objects.create(username="clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_provider"))
    client.force_login(clerk)
    assert client.post(url(provider)).status_code == 403
    assert (
        "Test connection"
        not in client.get(reverse("admin:providers_provider_change", args=[provider.pk])).content.decode()
    )
    clerk.user_permissions.add(Permission.objects.get(codename="change_provider"))
    assert client.get(url(provider)).status_code == 405
    assert client.post(reverse("admin:providers_provider_test", args=[999])).status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(clerk)
    assert strict.post(url(provider)).status_code == 403
    page = strict.get(reverse("admin:providers_provider_change", args=[provider.pk])).content.decode()
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    replies.append(listing("gpt-5"))
    assert strict.post(url(provider), {"csrfmiddlewaretoken": token}).status_code == 200


def test_the_demo_provider_answers(admin_client: Client, db: None) -> None:
    demo = Provider.objects.create(name="demo", kind="demo")
    assert "It works." in admin_client.post(url(demo)).content.decode()
    assert stored(demo) == ["demo", "demo-embedding"]
    assert json.loads(json.dumps(demo.models.get(name="demo").details))["id"] == "demo"


@pytest.mark.parametrize(
    ("kind", "base_url", "pages", "asked", "names"),
    [
        (
            "bedrock",
            "https://bedrock-runtime.eu-west-1.amazonaws.com",
            [{"modelSummaries": [{"modelId": "amazon.nova-lite-v1:0"}]}],
            ["https://bedrock.eu-west-1.amazonaws.com/foundation-models"],
            ["amazon.nova-lite-v1:0"],
        ),
        (
            "cohere",
            "https://api.cohere.com",
            [
                {"models": [{"name": "command-a"}], "next_page_token": "p2"},
                {"models": [{"name": "embed-v4"}], "next_page_token": ""},
            ],
            [
                "https://api.cohere.com/v1/models?page_size=1000",
                "https://api.cohere.com/v1/models?page_size=1000&page_token=p2",
            ],
            ["command-a", "embed-v4"],
        ),
        (
            "vertex",
            "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu",
            [{"publisherModels": [{"name": "publishers/google/models/gemini-x"}]}],
            ["https://eu-aiplatform.googleapis.com/v1beta1/publishers/google/models"],
            ["gemini-x"],
        ),
    ],
)
def test_vendors_with_lists_of_their_own(
    kind: str, base_url: str, pages: list[Any], asked: list[str], names: list[str]
) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json=pages[len(seen) - 1])

    probe = ask(answer, kind, base_url)
    assert seen == asked and list(probe.models) == names and probe.ok


def test_azures_dated_list() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return listing("gpt-5")

    pool = Connections(transports={"*": httpx.MockTransport(answer)})
    dated = replace(upstream("azure-openai", "https://r.openai.azure.com"), api_version="2024-10-21")
    assert async_to_sync(catalogue.probe)(dated, pool).ok
    assert seen == ["https://r.openai.azure.com/openai/models?api-version=2024-10-21"]
