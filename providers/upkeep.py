"""Keeps the stored model lists fresh: hourly, off the request path, by one worker of all."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.db.models import Q
from django.utils import timezone

from providers import catalogue
from providers.models import Provider
from providers.upstream import Connections

log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
LOOK_SECONDS = 60


@sync_to_async
def claim() -> list[Provider]:
    """Providers whose list is due; the conditional update makes each of them one worker's."""
    close_old_connections()
    now = timezone.now()
    due = Q(models_refreshed_at=None) | Q(models_refreshed_at__lt=now - EVERY)
    found = list(Provider.objects.filter(due, enabled=True).prefetch_related("credentials"))
    return [row for row in found if Provider.objects.filter(due, pk=row.pk).update(models_refreshed_at=now)]


async def keep_fresh(pool: Connections) -> None:
    """Run until cancelled."""
    while True:
        try:
            for provider in await claim():
                found = await catalogue.refresh(provider, pool)
                if not found.ok:
                    log.warning("the models of provider %s cannot be read: status %s", provider.name, found.status)
        except Exception:
            log.exception("the providers' models cannot be refreshed now")
        await asyncio.sleep(LOOK_SECONDS)
