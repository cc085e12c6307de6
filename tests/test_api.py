"""The REST API: who may do what, by walking every URL; what goes in, what comes out, and what never does."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.urls import URLPattern, reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from pytest_django.fixtures import Settings as SettingsWrapper
from rest_framework.test import APIClient
from rest_framework.throttling import UserRateThrottle

import providers.serializers
import tenants.serializers
from gateway_project.rest import rest_framework
from providers.models import Credential, Provider
from routing import api_urls
from routing.models import Alias, Defaults, Revision, Rewrite, Route, Target
from routing.serializers import RewriteSerializer
from tenants import histogram, keys
from tenants.models import ApiKey, OperatorToken, Tenant, Usage, UsageDay, UsageHour
from tests.admin_site import add_usage

pytestmark = pytest.mark.django_db
SECRET = "sk-live-0123456789abcdefghijklmnop"
READ, WRITE = ("get", "head", "options"), ("post", "put", "patch", "delete")


@pytest.fixture(autouse=True)
def _no_throttle_left_over() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def client_of(*permissions: str, superuser: bool = False) -> APIClient:
    """A client with a token whose user has just these permissions."""
    user = User.objects.create(username=f"user{User.objects.count()}", is_superuser=superuser)
    for name in permissions:
        label, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))
    token = OperatorToken(user=user, name="test")
    plain = token.issue()
    token.save()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    return client


@pytest.fixture
def api() -> APIClient:
    return client_of(superuser=True)


@pytest.fixture
def rows() -> dict[str, dict[str, Any]]:
    """One object behind every URL with a parameter: the parameters, by the URL's name."""
    provider = Provider.objects.create(name="main", kind="openai")
    provider.set_api_key(SECRET)
    tenant = Tenant.objects.create(name="acme")
    key = ApiKey(tenant=tenant, name="prod")
    key.issue()
    key.save()
    route = Route.objects.create(name="gpt-*")
    target = Target.objects.create(route=route, provider=provider, model="gpt-4o")
    alias = Alias.objects.create(name="fast", model="gpt-4o-mini")
    rewrite = Rewrite.objects.create(place="body", action="set", name="user", value="us", route=route)
    Defaults.objects.create(provider=provider)
    found: dict[str, dict[str, Any]] = {
        "provider-detail": {"name": provider.name},
        "tenant-detail": {"name": tenant.name},
    }
    for name, row in {
        "credential": provider.credentials.get(),
        "key": key,
        "route": route,
        "target": target,
        "alias": alias,
    }.items():
        found[f"{name}-detail"] = {"pk": row.pk}
    found |= {
        "rewrite-detail": {"pk": rewrite.pk},
        "key-rotate": {"pk": key.pk},
        "request-detail": {"pk": add_usage().pk},
    }
    return found


def every_url(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Every URL of the API by name, from the URL table itself."""
    names = [pattern.name for pattern in api_urls.urlpatterns if isinstance(pattern, URLPattern) and pattern.name]
    assert len(names) == len(api_urls.urlpatterns)
    return {name: reverse(f"api:{name}", kwargs=rows.get(name, {})) for name in names}


def everything() -> list[Any]:
    """All that the API could change, as values."""
    models = (Provider, Credential, Tenant, ApiKey, Route, Target, Alias, Rewrite, Defaults, Usage, OperatorToken)
    return [list(model._base_manager.order_by("pk").values()) for model in models]


# Who may do what


def test_every_url_refuses_the_anonymous_and_the_unentitled(rows: dict[str, dict[str, Any]]) -> None:
    urls = every_url(rows)
    assert len(urls) == 21
    nobody, unentitled = APIClient(), client_of()
    before = everything()
    for name, url in urls.items():
        for method in (*READ, *WRITE):
            for slash in ("", "/"):
                assert getattr(nobody, method)(url + slash).status_code == 401, (method, name)
                assert getattr(unentitled, method)(url + slash).status_code == 403, (method, name)
    assert everything() == before


def test_who_may_only_view_changes_nothing(rows: dict[str, dict[str, Any]]) -> None:
    models = [Provider, Credential, Tenant, ApiKey, Route, Target, Alias, Rewrite, Defaults, Usage]
    viewer = client_of(*(f"{model._meta.app_label}.view_{model._meta.model_name}" for model in models))
    before = everything()
    for name, url in every_url(rows).items():
        for method in READ:
            allowed = 405 if name == "key-rotate" and method != "options" else 200
            assert getattr(viewer, method)(url).status_code == allowed, (method, name)
        for method in WRITE:
            assert getattr(viewer, method)(url, {"enabled": False}).status_code == 403, (method, name)
    assert everything() == before


@pytest.mark.parametrize(
    ("permission", "method", "name"),
    [
        ("providers.add_provider", "get", "provider-detail"),
        ("providers.change_provider", "delete", "provider-detail"),
        ("tenants.add_apikey", "post", "key-rotate"),
        ("tenants.view_tenant", "get", "key-list"),
        ("providers.change_provider", "patch", "credential-detail"),
    ],
)
def test_a_permission_opens_its_own_door_only(
    rows: dict[str, dict[str, Any]], permission: str, method: str, name: str
) -> None:
    assert getattr(client_of(permission), method)(every_url(rows)[name]).status_code == 403


def _disable(token: OperatorToken) -> None:
    token.enabled = False


def _expire(token: OperatorToken) -> None:
    token.expires_at = timezone.now()


def _leave(token: OperatorToken) -> None:
    token.user.is_active = False
    token.user.save()


@pytest.mark.parametrize("spoil", [_disable, _expire, _leave])
def test_a_token_that_ended_is_refused(spoil: Callable[[OperatorToken], None]) -> None:
    api, url = client_of(superuser=True), reverse("api:provider-list")
    token = OperatorToken.objects.get()
    token.expires_at = timezone.now() + timedelta(hours=1)
    token.save()
    assert api.get(url).status_code == 200
    spoil(token)
    token.save()
    response = api.get(url)
    assert response.status_code == 401
    assert response["www-authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer gwop-wrong", "bearer \xff\x00", "Token {}", "Bearer {} x", "{}"]
)
def test_a_wrong_authorization_header_is_refused(header: str) -> None:
    plain = _plain(client_of(superuser=True))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header.format(plain))
    assert client.get(reverse("api:provider-list")).status_code == 401


def test_a_clients_key_and_a_digest_are_no_tokens(rows: dict[str, dict[str, Any]]) -> None:
    client_of(superuser=True)
    key = ApiKey.objects.get()
    plain = key.issue()
    key.save()
    for text in (plain, OperatorToken.objects.get().digest, key.digest):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        assert client.get(reverse("api:provider-list")).status_code == 401


def test_a_token_under_an_older_pepper_is_accepted(settings: SettingsWrapper) -> None:
    api = client_of(superuser=True)
    settings.GATEWAY_KEY_PEPPERS = [b"a new pepper", *settings.GATEWAY_KEY_PEPPERS]
    assert api.get(reverse("api:provider-list")).status_code == 200
    settings.GATEWAY_KEY_PEPPERS = settings.GATEWAY_KEY_PEPPERS[:1]
    assert api.get(reverse("api:provider-list")).status_code == 401


def test_a_session_needs_its_csrf_token() -> None:
    user = User.objects.create(username="root", is_superuser=True)
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    body = {"name": "acme"}
    assert client.get(reverse("api:tenant-list")).status_code == 200
    assert client.post(reverse("api:tenant-list"), body).status_code == 403
    client.cookies["csrftoken"] = "a" * 32
    assert client.post(reverse("api:tenant-list"), body, HTTP_X_CSRFTOKEN="a" * 32).status_code == 201


def test_too_many_requests_of_one_user(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": "2/min", "anon": "2/min"})
    codes = [api.get(reverse("api:tenant-list")).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


# Objects come, change and go


def _bodies() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    return {
        "provider": ({"name": "groq", "kind": "groq"}, {"title": "Groq", "max_retries": 1}),
        "credential": ({"provider": "main", "name": "spare", "secret": SECRET}, {"weight": 3}),
        "tenant": ({"name": "globex"}, {"title": "Globex", "enabled": False}),
        "key": (
            {"tenant": "acme", "name": "test"},
            {"allowed_models": ["gpt-*"], "expires_at": "2030-01-01T00:00:00Z"},
        ),
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


# Wrong input


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("provider", {"kind": "openai"}, "name"),
    ("provider", {"name": "A b", "kind": "openai"}, "name"),
    ("provider", {"name": "main", "kind": "openai"}, "name"),
    ("provider", {"name": "x", "kind": "nothing"}, "kind"),
    ("provider", {"name": "x", "kind": "openai-compatible"}, "base_url"),
    ("provider", {"name": "x", "kind": "openai", "base_url": "http://169.254.169.254/"}, "base_url"),
    ("provider", {"name": "x", "kind": "openai", "apis": ["nothing"]}, "apis"),
    ("provider", {"name": "x", "kind": "openai", "extra_headers": {"Authorization": "x"}}, "extra_headers"),
    ("provider", {"name": "x", "kind": "openai", "extra_headers": []}, "extra_headers"),
    ("provider", {"name": "x", "kind": "openai", "idle_timeout": "nan"}, "idle_timeout"),
    ("provider", {"name": "x", "kind": "openai", "max_retries": 10**30}, "max_retries"),
    ("provider", {"name": "x", "kind": "openai", "api_key": "two\nlines"}, "api_key"),
    ("provider", {"name": "x", "kind": "openai", "api_key": "env:OPENAI_API_KEY"}, "api_key"),
    ("provider", {"name": "x", "kind": "openai", "enbaled": False}, "enbaled"),
    ("provider", {"name": "x", "kind": "openai", "title": "nul \x00"}, "title"),
    ("provider", {"name": "x", "kind": "openai", "title": "lone \ud800"}, "title"),
    ("credential", {"provider": "main", "name": "spare"}, "secret"),
    ("credential", {"provider": "main", "name": "spare", "secret": ""}, "secret"),
    ("credential", {"provider": "main", "secret": SECRET}, "non_field_errors"),
    ("credential", {"provider": "gone", "name": "spare", "secret": SECRET}, "provider"),
    ("tenant", {"name": "acme"}, "name"),
    ("tenant", {"name": "x", "enabled": "perhaps"}, "enabled"),
    ("key", {"name": "x"}, "tenant"),
    ("key", {"tenant": "acme", "name": "prod"}, "non_field_errors"),
    ("key", {"tenant": "acme", "name": "x", "key": "gw-short"}, "key"),
    ("key", {"tenant": "acme", "name": "x", "key": "gw-with a space in its middle"}, "key"),
    ("key", {"tenant": "acme", "name": "x", "allowed_models": ["g*t"]}, "allowed_models"),
    ("key", {"tenant": "acme", "name": "x", "allowed_models": "gpt-*"}, "allowed_models"),
    ("key", {"tenant": "acme", "name": "x", "allowed_providers": {}}, "allowed_providers"),
    ("key", {"tenant": "acme", "name": "x", "expires_at": "tomorrow"}, "expires_at"),
    ("route", {"name": "g*t"}, "name"),
    ("route", {"name": "x", "allowed_fields": {"a": 1}}, "allowed_fields"),
    ("target", {"route": "gpt-*", "provider": "main", "model": "gpt-4o"}, "non_field_errors"),
    ("target", {"route": "gpt-*", "provider": "main", "api": "messages"}, "api"),
    ("target", {"route": "gpt-*", "provider": "main", "weight": -1}, "weight"),
    ("alias", {"name": "g*", "model": "x"}, "non_field_errors"),
    ("alias", {"name": "fast", "model": "x"}, "non_field_errors"),
    ("rewrite", {"place": "header", "action": "set", "name": "Host", "value": "x"}, "name"),
    ("rewrite", {"place": "body", "action": "set", "name": "model", "value": "x"}, "name"),
    ("rewrite", {"place": "body", "action": "turn", "name": "user"}, "action"),
]


@pytest.mark.parametrize(("name", "body", "field"), WRONG)
def test_wrong_input_names_its_field(
    api: APIClient, rows: dict[str, dict[str, Any]], name: str, body: dict[str, Any], field: str
) -> None:
    before = everything()
    response = api.post(reverse(f"api:{name}-list"), json.dumps(body), content_type="application/json")
    assert response.status_code == 400, response.content
    assert list(response.json()) == [field]
    assert everything() == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("provider", {"name": "other"}),
        ("tenant", {"name": "other"}),
        ("route", {"name": "other"}),
        ("key", {"tenant": "other"}),
        ("credential", {"provider": "other"}),
    ],
)
def test_what_others_refer_to_cannot_be_changed(
    api: APIClient, rows: dict[str, dict[str, Any]], name: str, change: dict[str, Any]
) -> None:
    Provider.objects.create(name="other", kind="openai")
    Tenant.objects.create(name="other")
    before = everything()
    response = api.patch(every_url(rows)[f"{name}-detail"], change)
    assert (response.status_code, list(response.json())) == (400, list(change))
    assert "cannot" in response.content.decode()
    assert everything() == before


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("NaN", "application/json", 400),
        ('{"name": 1e999}', "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        ('{"name": "x"}' + " " * 3_000_000, "application/json", 413),
        ("name=x", "application/x-www-form-urlencoded", 415),
        ("<name>x</name>", "application/xml", 415),
    ],
)
def test_a_body_that_is_no_small_json_object(api: APIClient, body: Any, content_type: str, status: int) -> None:
    response = api.post(reverse("api:tenant-list"), body, content_type=content_type)
    assert response.status_code == status
    assert response["content-type"] == "application/json"
    assert not Tenant.objects.exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = {
    "provider": providers.serializers.ProviderSerializer,
    "key": tenants.serializers.ApiKeySerializer,
    "rewrite": RewriteSerializer,
}


class AnyJson(TestCase):
    """Whatever JSON is sent, the answer is a 201 or a 400 with words, never a 500."""

    @settings(max_examples=150, deadline=None)
    @given(name=st.sampled_from(sorted(FIELDS)), data=st.data())
    def test_is_answered(self, name: str, data: st.DataObject) -> None:
        cache.clear()
        tenant = Tenant.objects.create(name="acme")
        api = client_of(superuser=True)
        fields = st.sampled_from(sorted(FIELDS[name]().fields))
        body = data.draw(st.dictionaries(fields, JSON, max_size=6))
        body |= (
            {
                "provider": {"kind": "openai"},
                "key": {"tenant": tenant.name},
                "rewrite": {"place": "body", "action": "set"},
            }[name]
            if data.draw(st.booleans())
            else {}
        )
        response = api.post(reverse(f"api:{name}-list"), json.dumps(body), content_type="application/json")
        assert response.status_code in (201, 400), response.content
        assert response.json()


# Secrets


def test_a_providers_secret_goes_in_and_never_comes_out(api: APIClient) -> None:
    body = {"name": "main", "kind": "openai", "api_key": SECRET}
    seen = [api.post(reverse("api:provider-list"), body)]
    assert seen[0].status_code == 201
    credential = Credential.objects.get()
    assert credential.secret == SECRET
    urls = [
        reverse("api:provider-detail", kwargs={"name": "main"}),
        reverse("api:credential-detail", kwargs={"pk": credential.pk}),
    ]
    for url in [*urls, reverse("api:provider-list"), reverse("api:credential-list")]:
        seen += [api.get(url), api.options(url)]
    seen += [api.patch(urls[0], {"api_key": SECRET}), api.patch(urls[1], {"secret": SECRET})]
    for response in seen:
        assert response.status_code in (200, 201)
        text = response.content.decode()
        assert SECRET not in text
        assert credential.sealed not in text


def test_the_same_api_key_again_and_none_at_all(api: APIClient) -> None:
    api.post(reverse("api:provider-list"), {"name": "main", "kind": "openai", "api_key": SECRET})
    url = reverse("api:provider-detail", kwargs={"name": "main"})
    sealed = Credential.objects.get().sealed
    api.patch(url, {"api_key": SECRET, "title": "Main"})
    assert Credential.objects.get().sealed == sealed
    api.patch(url, {"title": "Other"})
    assert Credential.objects.get().secret == SECRET
    api.patch(url, {"api_key": ""})
    assert not Credential.objects.exists()


def test_an_api_key_that_no_encryption_key_opens_is_replaced(api: APIClient) -> None:
    api.post(reverse("api:provider-list"), {"name": "main", "kind": "openai", "api_key": SECRET})
    credential = Credential.objects.get()
    credential.sealed = "gAAAAunreadable"
    credential.save()
    url = reverse("api:provider-detail", kwargs={"name": "main"})
    assert api.patch(url, {"api_key": SECRET}).status_code == 200
    assert Credential.objects.get().secret == SECRET


def test_a_new_address_drops_the_secret_unless_one_comes_along(api: APIClient) -> None:
    api.post(reverse("api:provider-list"), {"name": "main", "kind": "openai", "api_key": SECRET})
    url = reverse("api:provider-detail", kwargs={"name": "main"})
    api.patch(url, {"base_url": "https://proxy.example/v1", "api_key": SECRET})
    assert Credential.objects.get().secret == SECRET
    api.patch(url, {"base_url": "https://evil.example/v1"})
    assert not Credential.objects.exists()


def test_a_new_key_is_told_once(api: APIClient, rows: dict[str, dict[str, Any]], settings: SettingsWrapper) -> None:
    created = api.post(reverse("api:key-list"), {"tenant": "acme", "name": "new"}).json()
    key = ApiKey.objects.get(name="new")
    assert key.digest == keys.digest(created["key"], settings.GATEWAY_KEY_PEPPERS[0]).hex()
    assert created["key"].startswith(key.prefix)
    url = reverse("api:key-detail", kwargs={"pk": key.pk})
    for response in (
        api.get(url),
        api.get(reverse("api:key-list")),
        api.patch(url, {"enabled": False}),
        api.options(url),
    ):
        assert created["key"] not in response.content.decode()
        assert key.digest not in response.content.decode()
    assert "key" not in api.get(url).json()


def test_a_key_that_is_brought_along_is_taken_and_not_told(api: APIClient, rows: dict[str, dict[str, Any]]) -> None:
    body = {"tenant": "acme", "name": "brought", "key": "gw-brought-along-0123456789"}
    created = api.post(reverse("api:key-list"), body)
    assert created.status_code == 201
    assert "key" not in created.json()
    assert ApiKey.objects.get(name="brought").digest != ApiKey.objects.get(name="prod").digest
    again = api.post(reverse("api:key-list"), {**body, "name": "twice"})
    assert (again.status_code, list(again.json())) == (400, ["key"])


def test_rotating_replaces_the_key(api: APIClient, rows: dict[str, dict[str, Any]], settings: SettingsWrapper) -> None:
    before = ApiKey.objects.get()
    response = api.post(every_url(rows)["key-rotate"])
    after = ApiKey.objects.get()
    assert response.status_code == 200
    assert after.digest == keys.digest(response.json()["key"], settings.GATEWAY_KEY_PEPPERS[0]).hex() != before.digest
    assert client_of("tenants.change_apikey").post(every_url(rows)["key-rotate"]).status_code == 200


# The rest


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


def add_rollup(start: datetime, tenant: str, cost: int) -> None:
    values = {"tenant_id": len(tenant), "tenant": tenant, "key_id": 1, "key": "k", "route": "gpt-*", "provider_id": 1}
    latency = histogram.pack(histogram.one(250_000) * 4)
    sums = {"requests": 4, "errors": 1, "input_tokens": 40, "output_tokens": 20, "cost": cost, "latency": latency}
    UsageHour.objects.create(start=start.replace(minute=0), provider="main", **values, **sums)
    UsageDay.objects.create(start=start.replace(hour=0, minute=0), provider="main", **values, **sums)


def test_the_usage_report(api: APIClient) -> None:
    add_rollup(datetime(2026, 5, 1, 10, tzinfo=UTC), "acme", 700)
    add_rollup(datetime(2026, 5, 2, 11, tzinfo=UTC), "globex", 900)
    url = reverse("api:usage")
    found = api.get(url, {"start": "2026-05-01T00:30", "end": "2026-05-03T00:00:00Z", "by": "tenant"}).json()
    assert (found["start"], found["end"], found["by"]) == ("2026-05-01T00:00:00Z", "2026-05-03T00:00:00Z", "tenant")
    assert [row["name"] for row in found["rows"]] == ["globex", "acme"]
    row = found["rows"][1]
    assert {name: row[name] for name in ("requests", "errors", "input_tokens", "output_tokens", "cost")} == {
        "requests": 4,
        "errors": 1,
        "input_tokens": 40,
        "output_tokens": 20,
        "cost": 700,
    }
    assert abs(row["p50_us"] - 250_000) < 0.05 * 250_000
    asked = {"start": "2026-05-02T00:00", "end": "2026-05-03T00:00", "by": "day", "tenant": "acme"}
    assert api.get(url, asked).json()["rows"] == []
    assert api.get(url, {**asked, "tenant": "globex"}).json()["rows"][0]["name"] == "2026-05-02"
    assert api.get(url).json()["by"] == "day"
    assert client_of("tenants.view_tenant").get(url).status_code == 403


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?by=colour", "by"),
        ("?period=never", "period"),
        ("?start=soon&end=later", "start"),
        ("?start=2026-05-02T00:00&end=2026-05-01T00:00", "end"),
        ("?tennant=acme", "tennant"),
        ("?tenant=%00", "tenant"),
    ],
)
def test_a_usage_report_that_is_not_understood(api: APIClient, query: str, field: str) -> None:
    response = api.get(reverse("api:usage") + query)
    assert response.status_code == 400
    assert field in response.json()


def test_usage_rows_page_by_page(api: APIClient) -> None:
    ids = [str(add_usage(tenant="acme", status=200 + n).pk) for n in range(5)]
    page = api.get(reverse("api:request-list") + "?page_size=2&tenant=acme").json()
    seen = [row["id"] for row in page["results"]]
    while page["next"]:
        page = api.get(page["next"]).json()
        seen += [row["id"] for row in page["results"]]
    assert seen == sorted(ids, reverse=True)
    assert api.get(reverse("api:request-detail", kwargs={"pk": ids[0]})).json()["status"] == 200
    assert api.get(reverse("api:request-list") + "?cursor=nonsense").status_code == 404
    for method in WRITE:
        assert getattr(api, method)(reverse("api:request-detail", kwargs={"pk": ids[0]})).status_code == 405


@pytest.mark.parametrize(
    "path", ["routes/999999", "routes/" + "9" * 40, "providers/none", "keys/1/rotate/x", "requests/" + "-" * 36]
)
def test_what_is_not_there_is_404(api: APIClient, path: str) -> None:
    assert api.get(f"/api/v1/{path}").status_code == 404


def test_json_only_unless_debugging(api: APIClient) -> None:
    assert api.get(reverse("api:tenant-list"), HTTP_ACCEPT="text/html").status_code == 406
    assert api.get(reverse("api:tenant-list"))["content-type"] == "application/json"
    assert [name for name in rest_framework(debug=False)["DEFAULT_RENDERER_CLASSES"] if "Browsable" in name] == []
    assert [name for name in rest_framework(debug=True)["DEFAULT_RENDERER_CLASSES"] if "Browsable" in name]


def test_the_two_copies_of_cleaned_are_one() -> None:
    assert inspect.getsource(providers.serializers.Cleaned) == inspect.getsource(tenants.serializers.Cleaned)


def _plain(client: APIClient) -> str:
    """The token that a client of ``client_of`` sends."""
    header = client._credentials["HTTP_AUTHORIZATION"]  # type: ignore[attr-defined]
    return str(header).removeprefix("Bearer ")
