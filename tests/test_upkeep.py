"""Model lists are read again when they are an hour old, each by one worker only."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from providers.models import Provider
from providers.upkeep import EVERY, claim

pytestmark = pytest.mark.django_db(transaction=True)


def claimed() -> list[str]:
    return sorted(provider.name for provider in async_to_sync(claim)())


def test_what_is_due_is_claimed_once() -> None:
    now = timezone.now()
    Provider.objects.create(name="never", kind="demo")
    Provider.objects.create(name="old", kind="demo", models_refreshed_at=now - EVERY - timedelta(minutes=1))
    Provider.objects.create(name="fresh", kind="demo", models_refreshed_at=now)
    Provider.objects.create(name="off", kind="demo", enabled=False)
    assert claimed() == ["never", "old"]
    assert claimed() == []
    Provider.objects.filter(name="fresh").update(models_refreshed_at=now - 2 * EVERY)
    assert claimed() == ["fresh"]
