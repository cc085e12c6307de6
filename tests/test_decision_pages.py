"""The decision on the request's page and in REST; what this process knows on the provider's page."""

from __future__ import annotations

import asyncio
import html
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.urls import reverse
from rest_framework.test import APIClient

from providers.models import Credential, Provider
from routing.decision import Decision
from routing.gateway import Gateway
from routing.queue import Caps
from routing.table import Target
from tests.admin_site import EVIL, add_usage
from tests.api_site import api, no_throttle_left_over
from tests.explain_site import Rows, gateway, made, open_breaker, rest
from tests.inprocess import upstream

pytestmark = pytest.mark.django_db
assert api and no_throttle_left_over and made and gateway  # fixtures


def decision(credential: int = 0) -> str:
    """Two targets, of which the first fails, and one that is rejected."""
    found = Decision("pattern", "least_in_flight", EVIL)
    found.targets = [Target(1, upstream(1, "first")), Target(2, upstream(2, "second"), "mini")]
    found.rejected = [(Target(3, upstream(3, "third")), "its circuit breaker is held open")]
    found.attempts = [
        (1, 503, 1_200, 34_000, credential),
        (1, "timeout", 40_000, 2_000_000, 0),
        (2, "ok", 2_050_000, 800, 0),
    ]
    return found.text()


def request_page(row: Any) -> str:
    return reverse("admin:tenants_usage_change", args=[row.pk])


def cells(page: str) -> list[list[str]]:
    """The text of the page's tables, row by row."""
    return [
        [html.unescape(cell.split("</td>")[0]) for cell in row.split("<td>")[1:]]
        for table in page.split("<tbody>")[1:]
        for row in table.split("</tbody>")[0].split("<tr>")[1:]
    ]


def test_the_decision_on_the_requests_page(admin_client: Client, made: Rows) -> None:
    row = add_usage(decision=decision(Credential.objects.get(provider=made["providers"][0]).pk))
    page = admin_client.get(request_page(row)).content.decode()
    assert "found by pattern" in page and "least_in_flight" in page
    assert EVIL not in page and "&lt;script&gt;alert" in page
    found = cells(page)
    assert [each[:2] for each in found[:3]] == [["1", "first"], ["2", "second"], ["–", "third"]]
    assert found[2][3] == "its circuit breaker is held open"
    assert [(each[0], each[1], *each[3:]) for each in found[3:]] == [
        ("1.2 ms", "first", "default", "503", "34.0 ms"),
        ("40.0 ms", "first", "", "timeout", "2.00 s"),
        ("2.05 s", "second", "", "ok", "0.8 ms"),
    ]


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "[[]]", "null", '{"a": 1}', '["name", "x", [1], [], 1]'])
def test_a_request_without_a_decision_that_can_be_read(
    admin_client: Client, api: APIClient, made: Rows, text: str
) -> None:
    row = add_usage(decision=text)
    reply = admin_client.get(request_page(row))
    assert reply.status_code == 200 and "none is stored" in reply.content.decode()
    assert api.get(reverse("api:request-detail", kwargs={"pk": row.pk})).json()["decision"] == {}


def test_rest_gives_the_decision_as_json(api: APIClient, made: Rows) -> None:
    row = add_usage(decision=decision())
    shown = api.get(reverse("api:request-detail", kwargs={"pk": row.pk})).json()
    assert api.get(reverse("api:request-list")).json()["results"] == [shown]
    found = shown["decision"]
    assert (found["via"], found["strategy"]) == ("pattern", "least_in_flight")
    assert [each.get("order") for each in found["candidates"]] == [1, 2, None]
    assert found["attempts"][0] == {
        "target": 1,
        "provider": "first",
        "model": EVIL,
        "credential": 0,
        "outcome": 503,
        "after_ms": 1.2,
        "ms": 34.0,
    }


def provider_page(provider: Provider) -> str:
    return reverse("admin:providers_provider_change", args=[provider.pk])


def test_the_state_on_the_providers_page(admin_client: Client, made: Rows, gateway: Gateway) -> None:
    first, second, _ = made["providers"]
    page = admin_client.get(provider_page(first)).content.decode()
    assert "no circuit breaker is open" in page and "no credential rests" in page and cells(page) == []
    open_breaker(gateway, first)
    open_breaker(gateway, first, EVIL)
    rest(gateway, first, 401)
    rest(gateway, second)
    page = admin_client.get(provider_page(first)).content.decode()
    assert "2 circuit breakers not closed" in page and "1 credential resting" in page and EVIL not in page
    assert '<details class="gw-details gw-state" open>' in page
    assert cells(page) == [
        [EVIL, "open", "20", "20", "5.0 s"],
        ["m", "open", "20", "20", "5.0 s"],
        ["default", "all", "401", "30 s"],
    ]
    gateway.traffic.clock = lambda: 1006.0
    assert "half open" in admin_client.get(provider_page(first)).content.decode()
    Provider.objects.filter(pk=first.pk).update(breaker="closed")
    assert "held closed, else half open" in admin_client.get(provider_page(first)).content.decode()


def test_a_process_that_serves_nothing_shows_no_state(admin_client: Client, made: Rows) -> None:
    page = admin_client.get(provider_page(made["providers"][0]))
    assert page.status_code == 200 and "gw-state" not in page.content.decode()
    assert admin_client.get(reverse("admin:providers_provider_add")).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_the_queue_is_read_in_the_loop_of_the_requests(gateway: Gateway, made: Rows) -> None:
    """Pages are made in threads, which may not look into what the loop is changing."""
    provider = made["providers"][0]
    loops: list[Any] = []

    def clock() -> float:
        loops.append(asyncio.get_running_loop())
        return 1000.0

    gateway.traffic.clock = clock
    open_breaker(gateway, provider)
    queue = gateway.traffic.queues[provider.pk]
    queue.change(Caps(1, 5))
    place = await queue.enter(1, 1.0, 5.0)
    waiting = asyncio.ensure_future(queue.enter(2, 1.0, 60.0))
    loops.clear()
    client = AsyncClient()
    user = await sync_to_async(User.objects.create_superuser)("root")
    await client.aforce_login(user)
    page = (await client.get(provider_page(provider))).content.decode()
    assert "1 of 1 places taken, 1 waiting" in page and "1 of at most 5 waiting" in page
    seen = len(loops)
    asked = json.dumps({"key": "prod", "model": "fast"})
    reply = await client.post("/api/v1/explain", asked, content_type="application/json")
    assert reply.status_code == 200 and reply.json()["live"]
    assert len(loops) > seen > 0 and set(loops) == {asyncio.get_running_loop()}
    place.leave()
    (await waiting).leave()
