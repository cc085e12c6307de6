"""The admin of prices: dollars in, exact rates stored; what charges stand for is ended and followed, never changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from tenants.drain import write
from tenants.models import Price
from tests.admin_site import EVIL, form_data
from tests.usage_entries import an_entry

pytestmark = pytest.mark.django_db
ADD, LIST = "/admin/tenants/price/add/", "/admin/tenants/price/"


def page_of(price: Price, name: str = "change") -> str:
    return reverse(f"admin:tenants_price_{name}", args=[price.pk])


def add(client: Client, **typed: Any) -> Any:
    return client.post(ADD, form_data(client.get(ADD)) | {"model": "gpt-5", "input_tokens": "2.50"} | typed)


def charged(price: Price) -> None:
    write([an_entry(created_at=price.created_at.timestamp(), price_version=price.version, cost=1)])


def test_dollars_become_exact_rates_and_are_shown_again(admin_client: Client) -> None:
    typed = {
        "output_tokens": "$10",
        "cache_read_tokens": "0.000000001",
        "audio_ms": "0.0001",
        "audio_per": "second",
        "requests": "0.01",
        "others": "pages 5",
        "long": "above 200000: input 5, output 15",
        "tiers": "batch: input 1.25\nbatch above 200000: input 2.5",
        "context_window": "400000",
        "effective_from_0": "2026-01-01",
        "effective_from_1": "00:00:00",
    }
    assert add(admin_client, **typed).status_code == 302
    price = Price.objects.get()
    assert price.rates == {
        "input_tokens": 25 * 10**8,
        "output_tokens": 10**10,
        "cache_read_tokens": 1,
        "requests": 10**13,
        "audio_ms": 36 * 10**13,
        "pages": 5 * 10**12,
    }
    assert price.long == [[200000, {"input_tokens": 5 * 10**9, "output_tokens": 15 * 10**9}]]
    assert price.tiers["batch"]["long"] == [[200000, {"input_tokens": 25 * 10**8}]]
    assert price.effective_from == datetime(2026, 1, 1, tzinfo=UTC)
    shown = form_data(admin_client.get(page_of(price)))
    assert (shown["input_tokens"], shown["audio_ms"], shown["audio_per"]) == ("2.5", "0.36", "hour")
    before = Price.objects.values().get()
    assert admin_client.post(page_of(price), shown).status_code == 302
    assert {**Price.objects.values().get(), "changed_revision": 0} == {**before, "changed_revision": 0}
    listed = admin_client.get(LIST).content.decode()
    assert "in force" in listed and "$2.5 / 1M tokens" in listed


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"input_tokens": "0.0000000001"}, "More than 9 decimals cannot be charged."),
        ({"input_tokens": "-1"}, "A price is not below zero."),
        ({"input_tokens": "two"}, "is no amount of dollars"),
        ({"input_tokens": ""}, "Say what something costs"),
        ({"audio_ms": "1E-20", "audio_per": "second"}, "cannot be charged"),
        ({"audio_ms": "x"}, "is no amount of dollars"),
        ({"audio_ms": "NaN"}, "is no amount of dollars"),
        ({"others": "input 5"}, "input_tokens stands above already."),
        ({"others": "water 5"}, "there is no such unit"),
        ({"long": "input 5"}, "such a line is above"),
        ({"tiers": "batch input"}, "such a line is above"),
        ({"provider": "main", "kind": "openai"}, "one scope may be named"),
        ({"model": "a*b"}, "may stand only at the end"),
        ({"model": EVIL}, ""),
        (
            {
                "effective_from_0": "2026-01-02",
                "effective_from_1": "00:00",
                "effective_until_0": "2026-01-01",
                "effective_until_1": "00:00",
            },
            "It ends before it begins.",
        ),
        ({"audio_ms": "1", "input_audio_tokens": "1", "beyond": "on"}, "plain input and its cache alone"),
    ],
)
def test_what_is_no_price_is_refused_where_it_stands(admin_client: Client, typed: dict[str, str], words: str) -> None:
    reply = add(admin_client, **typed)
    if words:
        assert reply.status_code == 200 and words in reply.content.decode() and not Price.objects.exists()
    else:
        assert EVIL not in admin_client.get(LIST).content.decode()


def test_versions_that_overlap_are_refused_and_the_other_is_named(admin_client: Client) -> None:
    add(admin_client)
    reply = add(admin_client, model="GPT-5").content.decode()
    assert f"It overlaps {Price.objects.get().version}, in force always until further notice." in reply


def test_a_version_that_charges_stand_for_can_only_be_ended(admin_client: Client) -> None:
    add(admin_client)
    price = Price.objects.get()
    charged(price)
    page = admin_client.get(page_of(price)).content.decode()
    assert "requests were charged by it" in page and "$2.5 / 1M tokens" in page
    data = form_data(admin_client.get(page_of(price)))
    assert "input_tokens" not in data
    tried = data | {
        "input_tokens": "9",
        "model": "x",
        "effective_until_0": "2030-01-01",
        "effective_until_1": "00:00:00",
    }
    assert admin_client.post(page_of(price), tried).status_code == 302
    price.refresh_from_db()
    assert (price.model, price.rates["input_tokens"]) == ("gpt-5", 25 * 10**8)
    assert price.effective_until == datetime(2030, 1, 1, tzinfo=UTC)
    assert admin_client.post(page_of(price, "delete"), {"post": "yes"}).status_code == 403
    bulk = {"action": "delete_selected", "_selected_action": price.pk, "post": "yes"}
    admin_client.post(LIST, bulk)
    assert Price.objects.filter(pk=price.pk).exists()


def test_a_new_version_ends_the_one_before(admin_client: Client) -> None:
    add(admin_client, tiers="batch: input 1", cache_read_tokens="0.25")
    first = Price.objects.get()
    charged(first)
    begun = admin_client.get(page_of(first, "follow"))
    assert begun.status_code == 302
    data = form_data(admin_client.get(begun["location"]))
    assert (data["model"], data["cache_read_tokens"], data["tiers"]) == ("gpt-5", "0.25", "batch: input 1")
    early = admin_client.post(ADD, data | {"effective_from_0": "", "effective_from_1": ""}).content.decode()
    assert f"A new version begins after {first.version}" in early
    assert "another model" in admin_client.post(ADD, data | {"model": "x"}).content.decode()
    first.refresh_from_db()
    assert first.effective_until is None
    assert admin_client.post(ADD, data | {"input_tokens": "3"}).status_code == 302
    first.refresh_from_db()
    second = Price.objects.exclude(pk=first.pk).get()
    assert first.effective_until == second.effective_from and second.rates["input_tokens"] == 3 * 10**9
    assert second.effective_from is not None
    assert second.effective_from.hour == 0 and second.effective_from - datetime.now(UTC) < timedelta(days=1)
    assert first.changed_revision == second.changed_revision > 0


def test_who_may_only_look_changes_nothing(client: Client) -> None:
    user = User.objects.create_user("viewer", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_price"))
    client.force_login(user)
    price = Price.objects.create(model="m", rates={"input_tokens": 10**9})
    assert client.get(page_of(price)).status_code == 200 and client.get(LIST).status_code == 200
    assert client.get(ADD).status_code == 403
    assert client.get(page_of(price, "follow")).status_code in (302, 403)
    assert client.post(page_of(price), {"model": "x"}).status_code == 403
    assert client.get("/admin/prices/unpriced/").status_code == 403
    assert client.get("/admin/prices/ask/").status_code == 200


def test_a_price_that_cannot_be_read_any_more_is_shown(admin_client: Client) -> None:
    price = Price.objects.create(model="m", rates={"gone_tokens": 1})
    assert "no such unit" in admin_client.get(LIST).content.decode()
    assert admin_client.get(page_of(price)).status_code == 200
