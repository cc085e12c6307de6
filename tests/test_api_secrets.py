"""Secrets in the REST API go in and never come out, and a new key comes out once."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from pytest_django.fixtures import Settings as SettingsWrapper
from rest_framework.test import APIClient

from providers.models import Credential
from tenants import keys
from tenants.models import ApiKey
from tests.api_site import (
    SECRET,
    api,
    client_of,
    every_url,
    no_throttle_left_over,
    rows,
)

pytestmark = pytest.mark.django_db
assert api and rows and no_throttle_left_over  # fixtures


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
