"""What is stored of a request's decision, and what this process knows of a provider: for the pages of the admin."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings

from providers.models import Credential, Provider
from routing import running
from routing.breaker import CLOSED, Row
from routing.decision import read
from routing.gateway import Gateway
from tenants.figures import dollars, duration
from tenants.models import Usage

log = logging.getLogger(__name__)


def stored(text: str) -> dict[str, Any]:
    """A row's decision in words; empty where there is none, or none that can be read any more."""
    try:
        return read(text)
    except (ValueError, TypeError, LookupError):
        log.warning("a stored decision cannot be read: %.200s", text)
        return {}


def of_request(row: Usage) -> dict[str, Any]:
    """The same, with the credentials' names and times for people."""
    found = stored(row.decision)
    attempts = found.get("attempts", [])
    names = dict(
        Credential.objects.filter(pk__in={attempt["credential"] for attempt in attempts}).values_list("pk", "name")
    )
    for attempt in attempts:
        attempt["key"] = names.get(attempt["credential"], "")
        attempt["began"], attempt["took"] = (duration(round(attempt[name] * 1000)) for name in ("after_ms", "ms"))
    for candidate in found.get("candidates", ()):
        if "estimated_cost" in candidate:
            candidate["estimate"] = f"about {dollars(candidate['estimated_cost'])}"
    return found


@dataclass(frozen=True, slots=True)
class Rest:
    """``model`` is "" for all; ``status`` is what the provider answered."""

    credential: str
    model: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Line:
    """The queue: ``hold`` are the seconds that a request takes on the mean."""

    active: int
    places: int
    waiting: int
    room: int
    hold: float


@dataclass(frozen=True, slots=True)
class State:
    breakers: list[Row]
    rests: list[Rest]
    line: Line | None
    workers: int

    @property
    def troubled(self) -> int:
        """How many breakers are not closed."""
        return sum(row.state != CLOSED for row in self.breakers)

    @property
    def notable(self) -> bool:
        return bool(self.troubled or self.rests or (self.line and self.line.waiting))


def of_provider(provider: Provider) -> State | None:
    """What this process knows of a provider now; None where it serves no requests."""
    gateway = running.gateway()
    if gateway is None:
        return None
    names = dict(provider.credentials.values_list("pk", "name"))
    return async_to_sync(_seen)(gateway, provider.pk, names)


async def _seen(gateway: Gateway, provider_id: int, names: dict[int, str]) -> State:
    """In the event loop of the requests, whose state no thread may read."""
    traffic = gateway.traffic
    rows = [row for row in traffic.breakers.rows(traffic.clock()) if row.provider_id == provider_id]
    rests = [
        Rest(names.get(credential, ""), model, status, seconds)
        for provider, credential, model, status, seconds in traffic.rotation.rests(traffic.wall())
        if provider == provider_id
    ]
    queue = traffic.queues.get(provider_id)
    line = None
    if queue is not None and queue.caps.places:
        line = Line(queue.active, queue.caps.places, queue.waiting, queue.caps.waiting, queue.hold)
    rows.sort(key=lambda row: (row.state == CLOSED, row.model))
    return State(rows, rests, line, settings.GATEWAY_WORKERS)
