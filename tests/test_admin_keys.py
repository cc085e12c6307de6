"""The admin of keys and tokens: shown once, kept nowhere, rotated on purpose only."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from providers.models import Provider, UpstreamModel
from routing.models import Revision, Route, Target
from tenants.models import ApiKey, OperatorToken, Tenant
from tests.admin_site import form_data

pytest_plugins = ("tests.admin_rows",)
pytestmark = pytest.mark.django_db


PLAIN_KEY = re.compile(r"gw-[A-Za-z0-9_-]{43}")


def assert_kept_nowhere(plain: str, *replies: Any) -> None:
    for reply in replies:
        assert plain not in reply.content.decode()
    kept = [str(session.get_decoded()) for session in Session.objects.all()]
    kept += [f"{entry.object_repr}{entry.change_message}" for entry in LogEntry.objects.all()]
    kept += [str(list(model.objects.values())) for model in (ApiKey, OperatorToken, Revision)]
    assert plain not in "".join(kept)


def test_a_new_key_is_shown_once(admin_client: Client, settings: Any) -> None:
    settings.GATEWAY_PUBLIC_URL = "https://llm.example.com"
    tenant = Tenant.objects.create(name="acme")
    page = reverse("admin:tenants_apikey_add")
    typed = {"tenant": tenant.pk, "name": "it's", "allowed_models": "fast, gpt-*\nfast\n"}
    reply = admin_client.post(page, form_data(admin_client.get(page)) | typed)
    text = reply.content.decode()
    plain = PLAIN_KEY.findall(text)[0]
    key = ApiKey.objects.get()
    assert key.allowed_models == ["fast", "gpt-*"]
    assert text.count(plain) == 2 and "https://llm.example.com/v1/" in text
    assert "no-store" in reply["cache-control"]
    twin = ApiKey()
    twin.set_key(plain)
    assert twin.digest == key.digest
    after = admin_client.get(reverse("admin:tenants_apikey_change", args=[key.pk]), follow=True)
    again = admin_client.post(page, form_data(admin_client.get(page)) | typed)
    assert "already exists" in again.content.decode() and ApiKey.objects.count() == 1
    assert_kept_nowhere(plain, after, again, admin_client.get(reverse("admin:index")))


def test_the_curl_names_a_model_that_the_key_may_call(admin_client: Client, provider: Provider) -> None:
    UpstreamModel.objects.create(provider=provider, name="gpt-image-9", seen_at="2026-01-01T00:00Z")
    UpstreamModel.objects.create(provider=provider, name="gpt-9", seen_at="2026-01-01T00:00Z")
    route = Route.objects.create(name="gpt-*")
    tenant = Tenant.objects.create(name="acme")
    page = reverse("admin:tenants_apikey_add")
    data = form_data(admin_client.get(page)) | {"tenant": tenant.pk}
    assert "/v1/models" in admin_client.post(page, data | {"name": "before"}).content.decode()
    Target.objects.create(route=route, provider=provider)
    text = admin_client.post(page, data | {"name": "after"}).content.decode()
    assert "http://testserver/v1/chat/completions" in text and "&quot;gpt-9&quot;" in text
    Provider.objects.update(kind="gemini")
    text = admin_client.post(page, data | {"name": "third"}).content.decode()
    assert "/v1beta/models/gpt-9:generateContent" in text and "x-goog-api-key: gw-" in text
    assert (
        "/v1/models"
        in admin_client.post(page, data | {"name": "fourth", "allowed_providers": "other"}).content.decode()
    )


def test_keys_on_the_tenants_page(admin_client: Client) -> None:
    page = reverse("admin:tenants_tenant_add")
    data = form_data(admin_client.get(page)) | {
        "name": "acme",
        "keys-TOTAL_FORMS": "2",
        "keys-0-name": "one",
        "keys-0-enabled": "on",
        "keys-1-name": "two",
        "keys-1-allowed_models": "a*b",
    }
    assert "only at the end" in admin_client.post(page, data).content.decode()
    reply = admin_client.post(page, data | {"keys-1-allowed_models": "a*"})
    shown = set(PLAIN_KEY.findall(reply.content.decode()))
    assert len(shown) == 2
    tenant = Tenant.objects.get()
    later = admin_client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]))
    for plain in shown:
        assert_kept_nowhere(plain, later)
    assert [key.enabled for key in tenant.keys.order_by("name")] == [True, False]
    unchanged = admin_client.post(reverse("admin:tenants_tenant_change", args=[tenant.pk]), form_data(later))
    assert unchanged.status_code == 302


@pytest.mark.parametrize("model", [ApiKey, OperatorToken])
def test_rotation(admin_client: Client, everything: dict[type[Any], Any], model: type[Any]) -> None:
    row = everything[model]
    url = reverse(f"admin:tenants_{model._meta.model_name}_rotate", args=[row.pk])
    page = admin_client.get(url)
    assert model.objects.get().digest == row.digest
    data = form_data(page)
    shown = admin_client.post(url, data).content.decode()
    plain = re.findall(r"gw(?:op)?-[A-Za-z0-9_-]{43}", shown)[0]
    changed = model.objects.get()
    assert changed.digest != row.digest and plain.startswith(changed.prefix)
    reloaded = admin_client.post(url, data)
    assert "rotated already" in reloaded.content.decode()
    assert model.objects.get().digest == changed.digest
    assert_kept_nowhere(plain, reloaded)
    assert LogEntry.objects.filter(change_message="Rotated.").exists()
