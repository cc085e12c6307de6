"""What tests of Explain's surfaces share: two providers behind one route, a key, and a gateway that must not send."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from providers.models import Credential, Provider
from providers.upstream import Connections
from routing import running
from routing.gateway import Gateway
from routing.load import Loader
from routing.models import Route, Target
from tenants.models import ApiKey, Tenant

Rows = dict[str, Any]


def unsent(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.url} was called")


@pytest.fixture
def made(db: None) -> Rows:
    """``fast`` goes to first, then to second, which takes no tools; third stands in for what is too long."""
    providers = [Provider.objects.create(name=name, kind="openai") for name in ("first", "second", "third")]
    for provider in providers:
        provider.set_api_key(f"sk-{provider.name}-0123456789")
    route = Route.objects.create(name="fast")
    first, second, third = providers
    targets = [
        Target.objects.create(route=route, provider=first, model="m"),
        Target.objects.create(route=route, provider=second, model="m", priority=1, conditions={"tools": False}),
        Target.objects.create(route=route, provider=third, model="m", fallback_for="context_length"),
    ]
    key = add_key("acme", "prod")
    return {"providers": providers, "route": route, "targets": targets, "key": key}


def add_key(tenant: str, name: str, **values: Any) -> ApiKey:
    """``plain`` of the row is the key itself."""
    row = ApiKey(tenant=Tenant.objects.get_or_create(name=tenant)[0], name=name, **values)
    row.plain = row.issue()
    row.save()
    return row


@pytest.fixture
def gateway(made: Rows) -> Iterator[Gateway]:
    """This process's gateway, in whose state tests may write."""
    found = Gateway(Connections(transports={"*": httpx.MockTransport(unsent)}), table=Loader().refresh())
    found.traffic.clock, found.traffic.wall = (lambda: 1000.0), (lambda: 1_780_000_000.0)
    found.rng = random.Random(7)
    running.set_gateway(found)
    yield found
    running.set_gateway(None)


def open_breaker(gateway: Gateway, provider: Provider, model: str = "m") -> None:
    upstream = gateway.table.upstreams[provider.pk]
    for _ in range(upstream.breaker_requests):
        ticket = gateway.traffic.allow(upstream, model)
        assert ticket is not None
        ticket.record("failed", gateway.traffic.clock())


def rest(gateway: Gateway, provider: Provider, status: int = 429) -> None:
    """Let its credential rest for 30 seconds."""
    upstream = gateway.table.upstreams[provider.pk]
    row = Credential.objects.get(provider=provider)
    credential = next(each for each in upstream.credentials if each.id == row.pk)
    gateway.traffic.rotation.punish(upstream, credential, status, {b"retry-after": b"30"}, gateway.traffic.wall(), "m")
