"""Who may use the REST API for what, by walking every URL and every method."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings as SettingsWrapper
from rest_framework.test import APIClient
from rest_framework.throttling import UserRateThrottle

from providers.models import Credential, Provider, UpstreamModel
from routing.models import Alias, Defaults, Hook, Rewrite, Route, Target
from tenants.models import ApiKey, Budget, OperatorToken, Price, Project, Tenant, Usage
from tests.api_site import (
    READ,
    WRITE,
    api,
    client_of,
    every_url,
    everything,
    no_throttle_left_over,
    plain_of,
    rows,
)

pytestmark = pytest.mark.django_db
POSTED = ("key-rotate", "key-end-previous", "key-bulk", "budget-rotate", "budget-end")
assert api and rows and no_throttle_left_over  # fixtures


def test_every_url_refuses_the_anonymous_and_the_unentitled(rows: dict[str, dict[str, Any]]) -> None:
    urls = every_url(rows)
    assert len(urls) == 37
    nobody, unentitled = APIClient(), client_of()
    before = everything()
    for name, url in urls.items():
        for method in (*READ, *WRITE):
            for slash in ("", "/"):
                assert getattr(nobody, method)(url + slash).status_code == 401, (method, name)
                assert getattr(unentitled, method)(url + slash).status_code == 403, (method, name)
    assert everything() == before


def test_who_may_only_view_changes_nothing(rows: dict[str, dict[str, Any]]) -> None:
    models = [
        *(Provider, Credential, UpstreamModel, Tenant, ApiKey, Route, Target),
        *(Alias, Rewrite, Hook, Defaults, Usage, Budget, Project, Price),
    ]
    viewer = client_of(*(f"{model._meta.app_label}.view_{model._meta.model_name}" for model in models))
    before = everything()
    for name, url in every_url(rows).items():
        for method in READ:
            allowed = 405 if name in (*POSTED, "explain") and method != "options" else 200
            assert getattr(viewer, method)(url).status_code == allowed, (method, name)
        for method in WRITE:
            refused = 400 if (name, method) == ("explain", "post") else 403  # a question, and this is none
            assert getattr(viewer, method)(url, {"enabled": False}).status_code == refused, (method, name)
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
    plain = plain_of(client_of(superuser=True))
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
