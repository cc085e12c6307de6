"""The REST API: objects come, change and go; what is in use stays; filters."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.test import APIClient

import providers.serializers
import tenants.serializers
from providers.models import Credential, Provider
from routing.api_guard import Guarded, renderers
from routing.api_urls import urlpatterns
from routing.models import Defaults, Revision, Target
from tenants.models import Tenant
from tests.api_site import (
    SECRET,
    api,
    every_url,
    no_throttle_left_over,
    rows,
)

pytestmark = pytest.mark.django_db
assert api and rows and no_throttle_left_over  # fixtures


def _bodies() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    return {
        "provider": ({"name": "groq", "kind": "groq"}, {"title": "Groq", "max_retries": 1}),
        "credential": ({"provider": "main", "name": "spare", "secret": SECRET}, {"weight": 3}),
        "model": ({"provider": "main", "name": "gpt-5"}, {"abilities": {"tools": False}}),
        "tenant": ({"name": "globex"}, {"title": "Globex", "enabled": False}),
        "key": (
            {"tenant": "acme", "name": "test"},
            {"allowed_models": ["gpt-*"], "expires_at": "2030-01-01T00:00:00Z"},
        ),
        "price": ({"model": "own-*", "rates": {"input_tokens": "2.5"}}, {"beyond": True, "note": "by contract"}),
        "project": ({"tenant": "acme", "name": "batch"}, {"title": "Batch", "requests_per_day": 5}),
        "route": ({"name": "claude-*"}, {"title": "Claude", "reply_model": "asked"}),
        "target": (
            {"route": "gpt-*", "provider": "main", "model": "gpt-5"},
            {"weight": 3, "priority": -1, "api": "chat"},
        ),
        "alias": ({"name": "slow", "model": "o3", "tenant": "acme"}, {"model": "o4", "tenant": None}),
        "rewrite": (
            {"place": "body", "action": "set", "name": "user", "value": {"a": [1]}},
            {"value": None, "provider": "main"},
        ),
    }


@pytest.mark.parametrize("name", list(_bodies()))
def test_an_object_comes_changes_and_goes(api: APIClient, rows: dict[str, dict[str, Any]], name: str) -> None:
    body, change = _bodies()[name]
    created = api.post(reverse(f"api:{name}-list"), body)
    assert created.status_code == 201, created.content
    shown = {field: value for field, value in body.items() if field != "secret"}
    assert created.json().items() >= shown.items()

    url = reverse(f"api:{name}-detail", kwargs=_kwargs(name, created.json()))
    changed = api.patch(url, change)
    assert changed.status_code == 200, changed.content
    assert changed.json().items() >= {**shown, **change}.items()

    whole = api.get(url).json()
    assert whole == changed.json()
    again = api.put(url, {**whole, **({"secret": SECRET} if name == "credential" else {})})
    assert (again.status_code, again.json()) == (200, whole)
    assert whole in api.get(reverse(f"api:{name}-list")).json()["results"]

    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404


def _kwargs(name: str, shown: dict[str, Any]) -> dict[str, Any]:
    return {"name": shown["name"]} if name in ("provider", "tenant") else {"pk": shown["id"]}


def test_defaults_are_there_before_anyone_sets_them(api: APIClient) -> None:
    url = reverse("api:defaults")
    assert api.get(url).json() == {"provider": None, "model": ""}
    assert not Defaults.objects.exists()
    Provider.objects.create(name="main", kind="openai")
    assert api.patch(url, {"provider": "main"}).json() == {"provider": "main", "model": ""}
    assert api.put(url, {"provider": None}).json() == {"provider": None, "model": ""}
    assert Defaults.objects.count() == 1
    assert api.delete(url).status_code == 405


def test_a_change_names_its_user_in_the_revision(api: APIClient) -> None:
    api.post(reverse("api:tenant-list"), {"name": "acme"})
    revision = Revision.objects.get()
    assert revision.actor == User.objects.get().username
    assert revision.changes[0]["model"] == "tenants.tenant"


def test_what_is_in_use_cannot_be_deleted(api: APIClient, rows: dict[str, dict[str, Any]]) -> None:
    url = every_url(rows)["provider-detail"]
    response = api.delete(url)
    assert response.status_code == 409
    assert "main/gpt-4o of gpt-*" in response.json()["detail"]
    assert Credential.objects.exists()
    Target.objects.get().delete()
    Defaults.objects.get().delete()
    assert api.delete(url).status_code == 204


def test_filters(api: APIClient, rows: dict[str, dict[str, Any]]) -> None:
    Tenant.objects.create(name="globex", enabled=False)

    def names(query: str) -> list[str]:
        return [row["name"] for row in api.get(reverse("api:tenant-list") + query).json()["results"]]

    assert names("") == ["acme", "globex"]
    assert names("?enabled=false") == ["globex"]
    assert names("?page_size=1&page=2") == ["globex"]
    assert len(api.get(reverse("api:key-list") + "?tenant=acme").json()["results"]) == 1
    assert api.get(reverse("api:key-list") + "?tenant=globex").json()["results"] == []


@pytest.mark.parametrize(
    ("name", "query", "field"),
    [
        ("tenant", "?enbaled=false", "enbaled"),
        ("tenant", "?enabled=perhaps", "enabled"),
        ("request", "?tenant_id=x", "tenant_id"),
        ("request", "?since=yesterday", "since"),
        ("key", "?tenant=%00", "tenant"),
    ],
)
def test_a_filter_that_is_not_understood(api: APIClient, name: str, query: str, field: str) -> None:
    response = api.get(reverse(f"api:{name}-list") + query)
    assert (response.status_code, list(response.json())) == (400, [field])


@pytest.mark.parametrize(
    "path", ["routes/999999", "routes/" + "9" * 40, "providers/none", "keys/1/rotate/x", "requests/" + "-" * 36]
)
def test_what_is_not_there_is_404(api: APIClient, path: str) -> None:
    assert api.get(f"/api/v1/{path}").status_code == 404


def test_every_url_is_guarded_whatever_the_project_has_set() -> None:
    views = [pattern.callback for pattern in urlpatterns]
    assert [view for view in views if not issubclass(getattr(view, "cls", None) or view.view_class, Guarded)] == []


def test_json_only_unless_debugging(api: APIClient) -> None:
    assert api.get(reverse("api:tenant-list"), HTTP_ACCEPT="text/html").status_code == 406
    assert api.get(reverse("api:tenant-list"))["content-type"] == "application/json"
    assert renderers(debug=False) == (JSONRenderer,)
    assert renderers(debug=True) == (JSONRenderer, BrowsableAPIRenderer)


def test_the_two_copies_of_cleaned_are_one() -> None:
    assert inspect.getsource(providers.serializers.Cleaned) == inspect.getsource(tenants.serializers.Cleaned)
