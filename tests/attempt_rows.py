"""What tests of the settings of attempts share: one row of each kind that has some, and how each way of editing says them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from providers.models import Credential, Provider, UpstreamModel
from routing.models import Route, Target
from tenants.models import ApiKey, Tenant
from tests.admin_site import SECRET, form_data

Rows = dict[str, Any]

#: None is the default of any of these.
VALUES: dict[str, dict[str, Any]] = {
    "provider": {
        "max_concurrent": 7,
        "max_waiting": 5,
        "queue_wait": 2.5,
        "breaker": "closed",
        "breaker_ratio": 0.5,
        "breaker_requests": 9,
        "breaker_pause": 3.5,
    },
    "credential": {"weight": 3},
    "model": {"abilities": {"tools": False, "context_length": 8192}},
    "route": {
        "strategy": "sticky",
        "sticky_by": "header:x-session",
        "deadline": 100.5,
        "connect_timeout": 1.5,
        "first_byte_timeout": 20.0,
        "idle_timeout": 30.0,
        "keep_alive": 15.0,
    },
    "target": {
        "conditions": {"tools": False, "tags": ["batch", "eval-*"], "headers": {"x-region": ["eu-*"]}},
        "fallback_for": "context_length",
    },
    "tenant": {"queue_weight": 4},
    "key": {"may_explain": True},
}
#: Where the admin edits them: the page, and what its field names begin with.
PAGES = {"credential": ("provider", "credentials-0-"), "target": ("route", "targets-0-")}


@pytest.fixture
def made(db: None) -> Rows:
    provider = Provider.objects.create(name="main", kind="openai")
    provider.set_api_key(SECRET)
    route = Route.objects.create(name="fast")
    tenant = Tenant.objects.create(name="acme")
    key = ApiKey(tenant=tenant, name="prod")
    key.issue()
    key.save()
    return {
        "provider": provider,
        "credential": Credential.objects.get(),
        "model": UpstreamModel.objects.create(provider=provider, name="m", seen_at=tenant.created_at),
        "route": route,
        "target": Target.objects.create(route=route, provider=provider, model="m"),
        "tenant": tenant,
        "key": key,
    }


def stored(row: Any, names: Any) -> dict[str, Any]:
    row.refresh_from_db()
    return {name: getattr(row, name) for name in names}


def page_of(rows: Rows, kind: str) -> tuple[str, str]:
    """The admin's page for a row of this kind, and the prefix of its fields there."""
    page, prefix = PAGES.get(kind, (kind, ""))
    meta = rows[page]._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[rows[page].pk]), prefix


def typed(value: Any) -> Any:
    """What a person types for ``value``."""
    return json.dumps(value) if isinstance(value, dict | list) else "on" if value is True else value


def post(client: Any, rows: Rows, kind: str, values: dict[str, Any]) -> Any:
    url, prefix = page_of(rows, kind)
    data = form_data(client.get(url))
    known = {f"{prefix}{name}" for name in values if values[name] is not True}
    assert known <= data.keys(), known - data.keys()
    return client.post(url, data | {f"{prefix}{name}": typed(value) for name, value in values.items()})


def faults(reply: Any) -> dict[str, str]:
    """The errors of a form that was shown again, those of its inlines too."""
    found = dict(reply.context["adminform"].form.errors)
    for formset in reply.context["inline_admin_formsets"]:
        for errors in formset.formset.errors:
            found |= errors
    return {name: str(words) for name, words in found.items()}


def rest_url(rows: Rows, kind: str) -> str:
    row = rows[kind]
    named = {"name": row.name} if kind in ("provider", "tenant") else {"pk": row.pk}
    return reverse(f"api:{kind}-detail", kwargs=named)


def patch(api: APIClient, rows: Rows, kind: str, values: dict[str, Any]) -> Any:
    return api.patch(rest_url(rows, kind), json.dumps(values), content_type="application/json")


def document(kind: str, values: dict[str, Any]) -> str:
    """A file for ``manage.py apply`` that sets these values of the row of this kind."""
    text = json.dumps(values)[1:-1]
    return {
        "provider": "providers:\n- {name: main, %s}",
        "credential": "providers:\n- name: main\n  credentials: [{%s}]",
        "model": "providers:\n- name: main\n  models: [{name: m, %s}]",
        "route": "routes:\n- {model: fast, %s}",
        "target": "routes:\n- model: fast\n  targets: [{provider: main, model: m, %s}]",
        "tenant": "tenants:\n- {name: acme, %s}",
        "key": "tenants:\n- name: acme\n  keys: [{name: prod, %s}]",
    }[kind] % text
