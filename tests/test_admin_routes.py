"""The admin of routes, rewrites, aliases and defaults."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from providers.models import Provider
from routing.models import Alias, Revision, Rewrite, Route
from tenants.models import ApiKey
from tests.admin_site import form_data

pytest_plugins = ("tests.admin_rows",)
pytestmark = pytest.mark.django_db


def test_a_route_with_targets_and_rewrites(admin_client: Client, provider: Provider) -> None:
    page = reverse("admin:routing_route_add")
    data = form_data(admin_client.get(page)) | {
        "name": "fast",
        "allowed_fields": "models provider",
        "targets-0-provider": provider.pk,
        "targets-0-model": "gpt-5-mini",
        "targets-0-api": "rerank",
        "targets-0-enabled": "on",
        "rewrites-TOTAL_FORMS": "2",
        "rewrites-0-place": "body",
        "rewrites-0-action": "default",
        "rewrites-0-name": "temperature",
        "rewrites-0-written": "0,3",
        "rewrites-0-position": "0",
        "rewrites-1-place": "header",
        "rewrites-1-action": "set",
        "rewrites-1-name": "x-team",
        "rewrites-1-written": "red",
        "rewrites-1-position": "1",
    }
    wrong = admin_client.post(page, data).content.decode()
    assert "does not serve it" in wrong and "This is not JSON" in wrong
    assert not Route.objects.exists()
    assert admin_client.post(page, data | {"targets-0-api": "", "rewrites-0-written": "0.3"}).status_code == 302
    route = Route.objects.get()
    assert route.allowed_fields == ["models", "provider"]
    assert [rewrite.value for rewrite in route.rewrites.all()] == [0.3, "red"]


@pytest.mark.parametrize("name", ["a*b", "*x", "with space", "<b>", "", "a\nb"])
def test_illegal_route_names(name: str) -> None:
    with pytest.raises(ValidationError):
        Route(name=name).full_clean()


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"place": "header", "name": "Authorization"}, "cannot be rewritten"),
        ({"place": "header", "written": "a\nb"}, "printable ASCII"),
        ({"written": ""}, "Give the value"),
        ({"name": "Model"}, "decided by the route"),
        ({"written": "NaN"}, "not JSON"),
        ({"written": "[" * 100_000}, "not JSON"),
    ],
)
def test_illegal_rewrites(admin_client: Client, typed: dict[str, str], error: str) -> None:
    page = reverse("admin:routing_rewrite_add")
    data = form_data(admin_client.get(page)) | {
        "place": "body",
        "action": "set",
        "name": "x-good",
        "written": "1",
        "position": "0",
    }
    assert error in admin_client.post(page, data | typed).content.decode()
    assert not Rewrite.objects.exists()
    assert admin_client.post(page, data).status_code == 302
    assert Rewrite.objects.get().value == 1


def test_an_alias_stands_once(provider: Provider) -> None:
    Alias.objects.create(name="quick", model="fast")
    with pytest.raises(ValidationError, match="exists already"):
        Alias(name="quick", model="slow").full_clean()
    with pytest.raises(ValidationError, match="itself"):
        Alias(name="slow", model="slow").full_clean()


def test_defaults_are_one_row_whose_list_is_its_page(admin_client: Client) -> None:
    url = reverse("admin:routing_defaults_changelist")
    page = admin_client.get(url)["location"]
    assert page == reverse("admin:routing_defaults_add")
    data = form_data(admin_client.get(page)) | {"model": "gpt-5"}
    assert "No enabled route answers" in admin_client.post(page, data).content.decode()
    Route.objects.create(name="gpt-*")
    assert admin_client.post(page, data).status_code == 302
    assert admin_client.get(url)["location"] == reverse("admin:routing_defaults_change", args=[1])
    assert admin_client.get(page).status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("model", "row"), [("routing_route", Route), ("providers_provider", Provider), ("tenants_apikey", ApiKey)]
)
def test_turning_off_and_on_makes_revisions(
    admin_client: Client, everything: dict[type[Any], Any], model: str, row: type[Any]
) -> None:
    before = Revision.objects.count()
    for number, (action, enabled) in enumerate([("disable", False), ("enable", True)], 1):
        admin_client.post(
            reverse(f"admin:{model}_changelist"), {"action": action, "_selected_action": [everything[row].pk]}
        )
        assert row.objects.get(pk=everything[row].pk).enabled is enabled
        assert Revision.objects.count() == before + number
    newest = Revision.objects.latest("number")
    page = admin_client.get(reverse("admin:routing_revision_change", args=[newest.number])).content.decode()
    assert newest.actor == "admin" and "admin" in page and "changed" in page


@pytest.mark.django_db(transaction=True)
def test_forcing_breakers_from_the_list_makes_revisions(admin_client: Client, provider: Provider) -> None:
    other = Provider.objects.create(name="other", kind="openai")
    url = reverse("admin:providers_provider_changelist")
    for action, breaker, word in (
        ("hold_open", "open", "held open"),
        ("hold_closed", "closed", "held closed"),
        ("let_go", "", "on"),
    ):
        before = Revision.objects.latest("number").number
        admin_client.post(url, {"action": action, "_selected_action": [provider.pk, other.pk]})
        assert set(Provider.objects.values_list("breaker", flat=True)) == {breaker}
        changes = [change["id"] for row in Revision.objects.filter(number__gt=before) for change in row.changes]
        assert sorted(changes) == [provider.pk, other.pk]
        assert len(re.findall(rf">\s*{word}\s*<", admin_client.get(url).content.decode())) == 2
