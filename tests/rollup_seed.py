"""What a month of a million requests leaves in the rollups, and how long reports on it take:
`python -m tests.rollup_seed` prints both, on the database of DATABASE_URL or a temporary SQLite file. It empties the
rollups first."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

DAYS = 30
COMBINATIONS = 800
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def seed(requests: int, *, days: int = DAYS, combinations: int = COMBINATIONS, random_seed: int = 1) -> int:
    """Write the rollups of ``requests`` requests, spread evenly over ``days`` from FIRST on and over ``combinations`` (at
    most 2,000) of 100 keys of 20 tenants, 20 routes and 4 providers. Returns how many rows of the two rollups that made."""
    from tenants import rollups
    from tenants.columns import Columns
    from tenants.ledger import Entry
    from tenants.models import UsageDay, UsageHour
    from tenants.statements import writing

    generator = random.Random(random_seed)
    combos = [combination(number) for number in range(combinations)]
    at = FIRST.timestamp()
    written, hours = 0, days * 24
    for day in range(days):
        sums: dict[rollups.Key, rollups.Sum] = {}
        for hour in range(day * 24, day * 24 + 24):
            count = requests * (hour + 1) // hours - requests * hour // hours
            entries = (
                Entry(created_at=at + hour * 3600, **facts(generator), **generator.choice(combos)) for _ in range(count)
            )
            sums |= rollups.hourly(Columns.of(entries))
        daily = rollups.daily(sums)
        with writing("default") as statements:
            rollups.add(statements, UsageHour, sums)
            rollups.add(statements, UsageDay, daily)
        written += len(sums) + len(daily)
    return written


def combination(number: int) -> dict[str, Any]:
    key = number % 100
    route = (number // 100 + key) % 20
    provider = route % 4
    return {
        "tenant_id": key % 20 + 1,
        "tenant": f"tenant-{key % 20}",
        "key_id": key + 1,
        "key": f"key-{key}",
        "route": f"model-{route}",
        "provider_id": provider + 1,
        "provider": f"provider-{provider}",
    }


def facts(generator: random.Random) -> dict[str, Any]:
    return {
        "status": 200 if generator.random() < 0.98 else 502,
        "input_tokens": generator.randrange(10_000),
        "output_tokens": generator.randrange(2_000),
        "cost": generator.randrange(10**8),
        "duration_us": int(generator.lognormvariate(14, 1)),
    }


def _reports() -> Iterator[tuple[str, dict[str, Any]]]:
    month = {"start": FIRST, "end": FIRST + timedelta(days=DAYS)}
    ragged = {"start": FIRST + timedelta(hours=13), "end": FIRST + timedelta(days=DAYS - 1, hours=17)}
    for by in ("tenant", "key", "model", "provider", "day"):
        yield f"30 days by {by}", month | {"by": by}
    yield "29 days and 4 hours by key", ragged | {"by": "key"}
    yield (
        "24 hours from 13:00 by model",
        {"start": ragged["start"], "end": ragged["start"] + timedelta(days=1), "by": "model"},
    )
    yield "30 days of one tenant by key", month | {"by": "key", "filters": {"tenant": "tenant-3"}}


def main() -> None:
    from django.core.management import call_command
    from django.db import connection

    from tenants import reports
    from tenants.models import UsageDay, UsageHour

    call_command("migrate", verbosity=0)
    UsageHour.objects.all().delete()
    UsageDay.objects.all().delete()
    began = time.perf_counter()
    print(
        f"{connection.vendor}: {seed(1_000_000):,} rollup rows of 1,000,000 requests in {time.perf_counter() - began:.0f} s"
    )
    for title, asked in _reports():
        times = []
        for _ in range(5):
            began = time.perf_counter()
            rows = reports.report(**asked)
            times.append(time.perf_counter() - began)
        print(f"{title:32} {len(rows):4} rows, first {times[0] * 1000:4.0f} ms, then {min(times) * 1000:4.0f} ms")


if __name__ == "__main__":
    directory = tempfile.mkdtemp(prefix="gateway-rollups-")
    os.environ["GATEWAY_DATA_DIR"] = directory
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    try:
        import django

        django.setup()
        main()
    finally:
        shutil.rmtree(directory)
