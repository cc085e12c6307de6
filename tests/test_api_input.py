"""Wrong input to the REST API: a 400 that names the field, and nothing changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from rest_framework.test import APIClient

import providers.serializers
import tenants.serializers
from providers.models import Provider
from routing.serializers import RewriteSerializer
from tenants.models import Tenant
from tests.api_site import (
    SECRET,
    api,
    client_of,
    every_url,
    everything,
    no_throttle_left_over,
    rows,
)

pytestmark = pytest.mark.django_db
assert api and rows and no_throttle_left_over  # fixtures


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
    ("model", {"provider": "main", "name": "gpt-4o"}, "non_field_errors"),
    ("model", {"provider": "main", "name": "x", "details": {}, "seen_at": "now", "abilities": {"x": 1}}, "abilities"),
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
        ("model", {"provider": "other"}),
        ("model", {"name": "other"}),
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
