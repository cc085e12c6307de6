"""Stored responses that have expired are deleted: hourly, in batches, by one worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants import upkeep
from tenants.models import StoredBytes, StoredResponse, Tenant

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="acme")


def store(tenant: Tenant, *expires: datetime) -> None:
    for at in expires:
        name = f"resp_{(at - NOW).total_seconds():.0f}"
        times = {"created_at": NOW, "expires_at": at}
        StoredResponse.objects.create(tenant=tenant, response_id=name, size=1, content=b"x", **times)
    StoredBytes.objects.update_or_create(tenant=tenant, defaults={"bytes": StoredResponse.objects.count()})


def left() -> list[str]:
    """What is stored, of one byte each; the tenants' totals are always exact."""
    assert StoredBytes.objects.get().bytes == StoredResponse.objects.count()
    return sorted(StoredResponse.objects.values_list("response_id", flat=True))


def test_a_purge_takes_the_oldest_that_have_expired(tenant: Tenant) -> None:
    store(tenant, NOW + SECOND, NOW, NOW - 5 * SECOND, NOW - 9 * SECOND)
    assert upkeep.purge(NOW, 2) == 2
    assert left() == ["resp_0", "resp_1"]
    assert upkeep.purge(NOW, 2) == 1 and upkeep.purge(NOW, 2) == 0
    assert left() == ["resp_1"]


def test_it_is_done_hourly_by_one_worker(tenant: Tenant) -> None:
    assert [upkeep.claim(NOW) for _ in range(3)] == [True, False, False]
    assert not upkeep.claim(NOW + upkeep.EVERY - SECOND)
    assert [upkeep.claim(NOW + upkeep.EVERY) for _ in range(2)] == [True, False]


def test_all_that_has_expired_goes_batch_by_batch(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 2)
    store(tenant, *(NOW - n * SECOND for n in range(5)), NOW + SECOND)
    with CaptureQueriesContext(connection) as asked:
        assert asyncio.run(upkeep.tidy(NOW)) == 5
    assert left() == ["resp_1"]
    store(tenant, NOW - SECOND)
    assert asyncio.run(upkeep.tidy(NOW)) == 0 and len(left()) == 2  # not due
    assert asyncio.run(upkeep.tidy(NOW + upkeep.EVERY)) == 2
    assert not any("content" in query["sql"] for query in asked)


def test_upkeep_goes_on_after_a_failure(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tenant, datetime(2020, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0)
    claim, asked = upkeep.claim, []

    def failing_once(now: datetime) -> bool:
        asked.append(now)
        if len(asked) == 1:
            raise RuntimeError("away")
        return claim(now)

    monkeypatch.setattr(upkeep, "claim", failing_once)

    async def story() -> None:
        task = asyncio.create_task(upkeep.keep_tidy())
        while len(asked) < 4:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(asyncio.wait_for(story(), 60))
    assert left() == []
