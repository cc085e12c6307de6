"""Dangerous states: each is found, said where it can be put right, and gone when it is."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from providers.models import Credential, Provider
from routing.models import Alias, Defaults, Route, Target
from routing.warnings import CHECKS, warnings
from tenants.models import Tenant
from tests.admin_site import EVIL

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo() -> Provider:
    return Provider.objects.create(name="demo", kind="demo")


def route(name: str, *providers: Provider, **values: object) -> Route:
    made = Route.objects.create(name=name, **values)
    for provider in providers:
        Target.objects.create(route=made, provider=provider)
    return made


def page(model: str, pk: int) -> str:
    return reverse(f"admin:{model}_change", args=[pk])


def said() -> list[tuple[str, str]]:
    return [(warning.text, warning.url) for warning in warnings()]


def test_nothing_is_dangerous_at_first(demo: Provider) -> None:
    route("demo", demo)
    route("off", enabled=False)
    Provider.objects.create(name="off", kind="openai", enabled=False)
    Tenant.objects.create(name="acme")
    Defaults.objects.create(model="demo", provider=demo)
    assert said() == []


def test_a_route_without_a_usable_target(demo: Provider) -> None:
    bare = route("bare")
    off = route("off", demo)
    off.targets.update(enabled=False)
    gone = route("gone", Provider.objects.create(name="gone", kind="demo", enabled=False))
    route("fine", demo)
    assert [url for _, url in said()] == [page("routing_route", made.pk) for made in (bare, gone, off)]
    off.targets.update(enabled=True)
    assert page("routing_route", off.pk) not in [url for _, url in said()]


def test_a_provider_without_what_it_needs() -> None:
    provider = Provider.objects.create(name="main", kind="openai")
    assert [url for _, url in said()] == [page("providers_provider", provider.pk)]
    provider.set_api_key("sk-0123456789abcdefgh")
    assert said() == []
    Credential.objects.update(enabled=False)
    assert len(said()) == 1
    Provider.objects.filter(pk=provider.pk).update(kind="openai-compatible")
    assert "no address" in said()[0][0]


def test_a_target_whose_api_was_taken_away(demo: Provider) -> None:
    made = route("demo", demo)
    made.targets.update(api="embeddings")
    assert said() == []
    Provider.objects.update(apis=["chat"])
    assert said()[0][1] == page("routing_route", made.pk) and "embeddings" in said()[0][0]


def test_defaults_that_lead_nowhere(demo: Provider) -> None:
    Defaults.objects.create(model="gpt-5", provider=demo)
    assert [url for _, url in said()] == [page("routing_defaults", 1)]
    route("gpt-*", demo)
    assert said() == []
    Provider.objects.update(enabled=False)
    assert "turned off" in next(text for text, url in said() if url == page("routing_defaults", 1))


def test_an_alias_that_leads_nowhere(demo: Provider) -> None:
    alias = Alias.objects.create(name="quick", model="gpt-5")
    assert [url for _, url in said()] == [page("routing_alias", alias.pk)]
    made = route("gpt-5", demo)
    assert said() == []
    Route.objects.filter(pk=made.pk).update(name="gpt*")
    assert said() == []
    Route.objects.filter(pk=made.pk).update(name="claude*")
    assert len(said()) == 1
    Defaults.objects.create(provider=demo)
    assert said() == []


def test_anonymous_requests() -> None:
    tenant = Tenant.objects.create(name="anyone", anonymous=True)
    assert [url for _, url in said()] == [page("tenants_tenant", tenant.pk)]


def test_many_of_a_kind_are_cut_and_cheap(
    demo: Provider, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    Route.objects.bulk_create(Route(name=f"r{number}") for number in range(300))
    Alias.objects.bulk_create(Alias(name=f"a{number}", model="nowhere") for number in range(300))
    with django_assert_max_num_queries(len(CHECKS) + 3):
        found = warnings(limit=5)
    assert len(found) == 12
    assert [warning.url for warning in found if "more" in warning.text] == [
        reverse("admin:routing_route_changelist"),
        reverse("admin:routing_alias_changelist"),
    ]


def test_they_stand_on_the_index_and_on_the_page(admin_client: Client, demo: Provider) -> None:
    bad = route("bad")
    fine = route("fine", demo, title=EVIL)
    Tenant.objects.create(name="anyone", anonymous=True)
    index = admin_client.get(reverse("admin:index")).content.decode()
    assert index.count("gw-note gw-warn") == 2
    assert "Route bad has no usable target" in admin_client.get(page("routing_route", bad.pk)).content.decode()
    assert "no usable target" not in admin_client.get(page("routing_route", fine.pk)).content.decode()
