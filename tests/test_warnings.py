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
    for number, provider in enumerate(providers):
        Target.objects.create(route=made, provider=provider, model=f"m{number}" if number else "")
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


def test_a_route_whose_targets_only_stand_in(demo: Provider) -> None:
    other = Provider.objects.create(name="other", kind="demo")
    made = route("demo", demo, other)
    made.targets.update(fallback_for="both")
    ((text, url),) = said()
    assert "only stand in for others" in text and url == page("routing_route", made.pk)
    made.targets.filter(provider=other).update(fallback_for="")
    assert said() == []
    Provider.objects.filter(pk=other.pk).update(enabled=False)
    assert len(said()) == 1
    made.targets.update(enabled=False)
    assert ["no usable target" in text for text, _ in said()] == [True]


def test_sticking_by_something_with_another_strategy(demo: Provider) -> None:
    made = route("demo", demo, sticky_by="user", strategy="round_robin")
    ((text, url),) = said()
    assert "its strategy is round_robin" in text and url == page("routing_route", made.pk)
    Route.objects.update(strategy="sticky")
    assert said() == []


@pytest.mark.parametrize(
    ("of_route", "of_provider", "words"),
    [
        ({"deadline": 5}, {}, "the connect timeout (10 s)"),
        ({"deadline": 5, "connect_timeout": 6}, {}, "the connect timeout (6 s)"),
        ({"deadline": 5, "connect_timeout": 2}, {}, ""),
        ({"deadline": 30}, {}, ""),
        ({"deadline": 30, "first_byte_timeout": 30.5}, {}, "the first-byte timeout (30.5 s)"),
        ({"deadline": 30, "first_byte_timeout": 30, "idle_timeout": 300}, {}, ""),
        ({"deadline": 30}, {"queue_wait": 60}, ""),
        ({"deadline": 30}, {"queue_wait": 60, "max_concurrent": 1}, "the wait for a place at demo (60 s)"),
        (
            {"deadline": 5},
            {"queue_wait": 60, "max_concurrent": 1},
            "the connect timeout (10 s) and the wait for a place at demo (60 s)",
        ),
    ],
)
def test_a_deadline_that_a_limit_outlasts(
    demo: Provider, of_route: dict[str, float], of_provider: dict[str, float], words: str
) -> None:
    made = route("demo", demo, demo, **of_route)
    Provider.objects.update(**of_provider)
    assert [url for _, url in said()] == ([page("routing_route", made.pk)] if words else [])
    assert all(f"is over before {words}, so" in text for text, _ in said())
    Route.objects.update(enabled=False)
    assert said() == []


def test_a_queue_without_places(demo: Provider) -> None:
    Provider.objects.update(max_concurrent=4, max_waiting=0)
    ((text, url),) = said()
    assert "4 requests at once" in text and url == page("providers_provider", demo.pk)
    Provider.objects.update(max_concurrent=0)
    assert said() == []


def test_a_breaker_that_is_held_open(demo: Provider, admin_client: Client) -> None:
    Provider.objects.update(breaker="open")
    ((text, url),) = said()
    assert "held open" in text and url == page("providers_provider", demo.pk)
    assert text in admin_client.get(url).content.decode()
    Provider.objects.update(breaker="closed")
    assert said() == []


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
