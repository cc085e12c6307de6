"""Hooks in the REST API and in files for ``manage.py apply``."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from routing.apply_read import Refused
from routing.hook_rows import KEPT, unsealed
from routing.models import Hook, Route
from tenants.models import Tenant
from tests.api_site import SECRET, api, no_throttle_left_over
from tests.apply_site import apply_environment, do

pytestmark = pytest.mark.django_db
assert api and no_throttle_left_over and apply_environment  # fixtures
WEBHOOK = {"name": "WebhookAuth", "options": {"url": "https://who.test/", "secret": SECRET}}


# ---------------------------------------------------------------- REST


def test_a_hook_in_the_api(api: APIClient) -> None:
    Tenant.objects.create(name="acme")
    Route.objects.create(name="gpt-*")
    body = {"name": "Inject", "options": {"text": "Be kind."}, "tenant": "acme", "route": "gpt-*", "seconds": 2}
    made = api.post(reverse("api:hook-list"), body, format="json")
    assert made.status_code == 201, made.content
    found = api.get(reverse("api:hook-list"), {"tenant": "acme", "name": "Inject", "enabled": "true"}).json()["results"]
    assert found == [
        {**body, "id": made.json()["id"], "title": "", "order": 0, "on_failure": "", "seconds": 2.0, "enabled": True}
    ]
    url = reverse("api:hook-detail", kwargs={"pk": made.json()["id"]})
    assert api.patch(url, {"tenant": None, "order": 5}, format="json").json()["tenant"] is None
    assert Hook.objects.get().order == 5
    assert api.delete(url).status_code == 204 and not Hook.objects.exists()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"name": "os:system"}, {"name": "There is no hook"}),
        ({"name": "Inject"}, {"options": "text: is required."}),
        ({"name": "Inject", "options": {"text": "x", "role": "king"}}, {"options": "role: must be one of"}),
        ({"name": "Inject", "options": []}, {"options": "Give a mapping"}),
        ({"name": "Inject", "options": {"text": "x"}, "seconds": 0}, {"seconds": "more than 0"}),
        (
            {"name": "WebhookAuth", "options": {"url": "https://x.test", "secret": "env:X_TOKEN"}},
            {"options": "secret: env:"},
        ),
        ({"name": "WebhookAuth", "options": {"url": "https://x.test", "secret": KEPT}}, {"options": "secret: nothing"}),
    ],
)
def test_what_is_refused_names_the_option(api: APIClient, body: dict[str, Any], error: dict[str, str]) -> None:
    reply = api.post(reverse("api:hook-list"), body, format="json")
    assert reply.status_code == 400 and not Hook.objects.exists()
    for name, words in error.items():
        assert words in str(reply.json()[name])


def test_secrets_go_in_and_never_come_out(api: APIClient) -> None:
    seen = [api.post(reverse("api:hook-list"), WEBHOOK, format="json")]
    hook = Hook.objects.get()
    url = reverse("api:hook-detail", kwargs={"pk": hook.pk})
    seen += [api.get(url), api.get(reverse("api:hook-list")), api.options(url)]
    kept = seen[1].json()["options"]
    assert kept == {"url": "https://who.test/", "secret": KEPT}
    seen.append(api.patch(url, {"options": {**kept, "ttl": 5}}, format="json"))
    hook.refresh_from_db()
    assert unsealed(hook.sealed) == {"secret": SECRET} and hook.options["ttl"] == 5
    moved = api.patch(url, {"options": {**kept, "url": "https://evil.test/"}}, format="json")
    assert moved.status_code == 400 and "secret: give it anew" in str(moved.json())
    seen += [moved, api.patch(url, {"title": "Who"}, format="json")]
    assert all(SECRET not in reply.content.decode() and hook.sealed not in reply.content.decode() for reply in seen)


# ---------------------------------------------------------------- apply

FILE = """
tenants: [{name: acme}]
routes: [{model: m}]
hooks:
  - name: WebhookAuth
    options: {url: "https://who.test/", secret: env:GOLDEN_API_KEY}
  - {name: Inject, tenant: acme, route: m, title: Kind, options: {text: Be kind.}}
  - {name: Inject, tenant: acme, options: {text: Be short.}, order: 1}
"""


def test_a_file_with_hooks() -> None:
    assert do(FILE)[2:] == [
        "created hook WebhookAuth",
        "created hook Inject (tenant acme, route m) 'Kind'",
        "created hook Inject (tenant acme)",
    ]
    hook = Hook.objects.get(name="WebhookAuth")
    assert unsealed(hook.sealed) == {"secret": "sk-golden-0123456789"}
    assert do(FILE) == [], "a second time it changes nothing"
    assert do(FILE.replace("env:GOLDEN_API_KEY", f'"{KEPT}"')) == []
    assert do(FILE.replace("env:GOLDEN_API_KEY", "another")) == ["changed hook WebhookAuth: options"]
    assert do(FILE.replace("Be short.", "Be brief.").replace("env:GOLDEN_API_KEY", f'"{KEPT}"')) == [
        "changed hook Inject (tenant acme): options"
    ]
    assert do("hooks: [{name: Inject, tenant: acme, enabled: false}]") == ["changed hook Inject (tenant acme): enabled"]
    assert do("hooks: []") == [] and Hook.objects.count() == 3
    assert do("hooks: [{name: WebhookAuth}]", prune=True) == [
        "deleted hook Inject (tenant acme, route m) 'Kind'",
        "deleted hook Inject (tenant acme)",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hooks: [{name: Injekt}]", "hook Injekt: name: There is no hook"),
        ("hooks: [{name: Inject}]", "hook Inject: options: text: is required."),
        ("hooks: [{name: Inject, optoins: {}}]", "Did you mean options?"),
        ("hooks: [{name: Inject, tenant: nobody, options: {text: x}}]", "tenant"),
        ("hooks: [{name: WebhookAuth, options: {url: 'https://x.test', secret: env:HOME}}]", "must end in _API_KEY or"),
        ("hooks: [{name: WebhookAuth, options: {url: 'https://x.test', secret: env:NO_TOKEN}}]", "NO_TOKEN is not set"),
        ("hooks: [{name: Redact}, {name: Redact}]", "stands here twice"),
    ],
)
def test_what_is_wrong_in_a_file(text: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        do(text)
    assert words in str(refused.value) and not Hook.objects.exists()
