"""Deletes what has expired (stored responses, logged requests, and usage rows if the operator wants that), and makes the
partitions of the months to come: hourly, off the request path, by one worker of all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from tenants import partitions, prune
from tenants.models import Chore, LoggedRequest, StoredResponse

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

EVERY = timedelta(hours=1)
LOOK_SECONDS = 60
BATCH = 200
PURGE = "purge stored responses"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def claim(now: datetime) -> bool:
    """Whether the purge is due; the conditional update makes it one worker's."""
    Chore.objects.get_or_create(name=PURGE, defaults={"begun_at": NEVER})
    return Chore.objects.filter(name=PURGE, begun_at__lte=now - EVERY).update(begun_at=now) > 0


def purge(now: datetime, limit: int = BATCH) -> int:
    """Delete at most ``limit`` responses that have expired, the oldest first; how many they were."""
    expired = StoredResponse.objects.filter(expires_at__lte=now)
    oldest = list(expired.order_by("expires_at").values_list("pk", flat=True)[:limit])
    deleted, _ = expired.filter(pk__in=oldest).delete()  # one that was saved again meanwhile stays
    return deleted


def purge_logged(now: datetime, limit: int = BATCH) -> int:
    """As ``purge``, of logged requests."""
    expired = LoggedRequest.objects.filter(expires_at__lte=now)
    oldest = list(expired.order_by("expires_at").values_list("pk", flat=True)[:limit])
    return LoggedRequest.objects.filter(pk__in=oldest).delete()[0]


def pruning(now: datetime) -> Iterator[Any]:
    """The steps that delete old usage rows; none without GATEWAY_USAGE_DAYS."""
    days = settings.GATEWAY_USAGE_DAYS
    if days:
        yield from prune.prune(prune.plan(days, now))


async def tidy(now: datetime) -> int:
    """Purge if that is due; how many responses and logged requests went. Batch by batch, for others want the database,
    too."""
    deleted = 0
    if not await _query(claim, now):
        return deleted
    for work in (purge, purge_logged):
        while batch := await _query(work, now, BATCH):
            deleted += batch
    await _query(partitions.make_ahead, now)
    steps = pruning(now)
    while await _query(next, steps, None) is not None:
        await asyncio.sleep(0)
    return deleted


@sync_to_async
def _query(query: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    close_old_connections()
    return query(*arguments, **options)


async def keep_tidy() -> None:
    """Run until cancelled."""
    while True:
        try:
            await tidy(timezone.now())
        except Exception:
            log.exception("what has expired cannot be deleted now")
        await asyncio.sleep(LOOK_SECONDS)
