"""The admin of hooks: classes with their options, secrets that never come out, and errors that name the option."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from routing.hook_rows import KEPT, unsealed
from routing.models import Hook, Revision, Route
from tenants.models import Tenant
from tests.admin_site import SECRET, form_data, urls_of

pytestmark = pytest.mark.django_db
ADD = "admin:routing_hook_add"
WEBHOOK = {"name": "WebhookAuth", "options": json.dumps({"url": "https://who.test/", "secret": SECRET})}


@pytest.fixture(autouse=True)
def chosen(settings: Any) -> None:
    settings.GATEWAY_HOOKS = ["tests.hook_classes:Counting"]


def test_a_hook_is_chosen_with_its_options(admin_client: Client) -> None:
    page = admin_client.get(reverse(ADD))
    text = page.content.decode()
    for words in (
        "RequestLog",
        "tests.hook_classes:Counting",
        "max_bytes",
        "from 0 to 1",
        "How much of each body is kept",
    ):
        assert words in text
    tenant, route = Tenant.objects.create(name="acme"), Route.objects.create(name="m")
    data = form_data(page) | {
        "name": "Moderate",
        "options": '{"model": "omni", "threshold": 2}',
        "tenant": tenant.pk,
        "route": route.pk,
        "order": "3",
        "on_failure": "open",
        "seconds": "2.5",
        "enabled": "on",
    }
    wrong = admin_client.post(reverse(ADD), data)
    assert "threshold: must be at most 1." in wrong.content.decode()
    assert "This is not" not in wrong.content.decode() and not Hook.objects.exists()
    assert admin_client.post(reverse(ADD), data | {"options": '{"model": "omni"}'}).status_code == 302
    hook = Hook.objects.get()
    assert (hook.name, hook.tenant, hook.route, hook.order) == ("Moderate", tenant, route, 3)
    assert (hook.on_failure, hook.seconds, hook.options) == ("open", 2.5, {"model": "omni"})


@pytest.mark.parametrize("options", ["{", "[]", "null", '{"text": NaN}', '"text"'])
def test_what_is_no_object_of_options(admin_client: Client, options: str) -> None:
    data = form_data(admin_client.get(reverse(ADD))) | {"name": "Inject", "options": options}
    assert admin_client.post(reverse(ADD), data).status_code == 200
    assert not Hook.objects.exists()


def test_only_classes_that_may_be_can_be_chosen(admin_client: Client) -> None:
    data = form_data(admin_client.get(reverse(ADD))) | {"name": "os:system"}
    assert "os:system is not one of the available choices" in admin_client.post(reverse(ADD), data).content.decode()


def test_secrets_go_in_and_never_come_out(admin_client: Client) -> None:
    shown = [admin_client.post(reverse(ADD), form_data(admin_client.get(reverse(ADD))) | WEBHOOK, follow=True)]
    hook = Hook.objects.get()
    assert unsealed(hook.sealed) == {"secret": SECRET}
    url = urls_of(Hook, hook)
    shown += [admin_client.get(url[kind]) for kind in ("page", "list", "history")]
    data = form_data(shown[1])
    assert json.loads(data["options"]) == {"url": "https://who.test/", "secret": KEPT}
    shown.append(
        admin_client.post(url["page"], data | {"options": data["options"].replace("who.test/", "who.test/v2")})
    )
    hook.refresh_from_db()
    assert hook.options["url"] == "https://who.test/v2" and unsealed(hook.sealed) == {"secret": SECRET}
    moved = admin_client.post(url["page"], data | {"options": data["options"].replace("who.test", "evil.test")})
    assert "secret: give it anew" in moved.content.decode()
    shown += [moved, admin_client.get(url["history"])]
    for reply in shown:
        assert SECRET not in reply.content.decode() and hook.sealed not in reply.content.decode()
    assert SECRET not in str([*LogEntry.objects.values(), *Revision.objects.values(), *Hook.objects.values()])


def test_the_list_tells_what_runs_when(admin_client: Client) -> None:
    Hook.objects.create(name="Moderate", seconds=3, options={"model": "m"})
    Hook.objects.create(name="gone:Class", title="Of old", enabled=True)
    text = admin_client.get(reverse("admin:routing_hook_changelist")).content.decode()
    for words in ("before_request, after_response", "closed, after 3 s", "its class cannot be loaded", "refuses all"):
        assert words in text


def test_a_class_that_is_gone_stays_until_another_is_chosen(admin_client: Client) -> None:
    hook = Hook.objects.create(name="gone:Class", options={"a": 1})
    page = admin_client.get(urls_of(Hook, hook)["page"])
    assert "there is no class gone:Class here" in page.content.decode()
    data = form_data(page)
    assert data["name"] == "gone:Class"
    assert "There is no hook" in admin_client.post(urls_of(Hook, hook)["page"], data).content.decode()


def test_the_page_of_where_hooks_run(admin_client: Client, client: Client) -> None:
    page = reverse("admin:routing_hook_coverage")
    assert page in admin_client.get(reverse("admin:routing_hook_changelist")).content.decode()
    text = admin_client.get(page).content.decode()
    for words in ("images.edits", "responses (WebSocket)", "before_attempt", "it goes to where it was made", "8 MiB"):
        assert words in text
    assert text.count("<strong>yes</strong>") > 150 and client.get(page).status_code in (302, 403)


@pytest.mark.django_db(transaction=True)
def test_turning_off_and_on_makes_revisions(admin_client: Client) -> None:
    hook = Hook.objects.create(name="Inject", options={"text": "x"})
    before = Revision.objects.count()
    for number, (action, enabled) in enumerate([("disable", False), ("enable", True)], 1):
        form = {"action": action, "_selected_action": [hook.pk]}
        admin_client.post(reverse("admin:routing_hook_changelist"), form)
        assert Hook.objects.get().enabled is enabled and Revision.objects.count() == before + number
