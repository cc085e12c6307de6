"""What tests of usage share: entries at random, and sums counted anew from the stored rows."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tenants import histogram
from tenants.ledger import Entry
from tenants.models import TagDay, TagHour, Usage, UsageDay, UsageHour
from tenants.usage import Sums

MIDNIGHT = datetime(2026, 3, 31, tzinfo=UTC).timestamp()
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
Found = dict[tuple[Any, ...], tuple[Any, ...]]


def an_entry(**changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "created_at": MIDNIGHT,
        "request_id": "r-1",
        "tenant_id": 1,
        "tenant": "acme",
        "key_id": 11,
        "key": "main",
        "dialect": "openai",
        "endpoint": "chat",
        "route": "fast",
        "provider_id": 5,
        "provider": "up",
        "status": 200,
    }
    return Entry(**facts | changes)


def random_entries(count: int, *, hours: int = 60, seed: int = 1) -> list[Entry]:
    """Entries of three tenants with two keys each, spread over ``hours`` from MIDNIGHT on; some failed, some unpriced."""
    chosen = random.Random(seed)
    return [_random_entry(chosen, hours) for _ in range(count)]


def _random_entry(chosen: random.Random, hours: int) -> Entry:
    tenant, key, provider = chosen.randrange(3), chosen.randrange(2), chosen.randrange(2)
    project = key * (10 + tenant)
    return an_entry(
        created_at=MIDNIGHT + chosen.randrange(hours * 3600) + chosen.random(),
        tenant_id=tenant,
        tenant=f"tenant-{tenant}",
        project_id=project,
        project=f"project-{project}" if project else "",
        key_id=10 * tenant + key,
        key=f"key-{key}",
        route=chosen.choice(["fast", "slow", "gpt-*"]),
        provider_id=provider,
        provider=f"provider-{provider}",
        status=chosen.choice([200, 200, 200, 429, 502]),
        error_kind=chosen.choice(["", "", "cancelled"]),
        cost=chosen.choice([None, 0, 1, 123_456_789]),
        declared=chosen.choice([[], ["prod"], ["prod", "other"], ["nightly"]]),
        duration_us=int(chosen.lognormvariate(13, 2)),
        **{name: chosen.randrange(5000) for name in TOKENS},
    )


def keys_of(row: Usage, model: type[Sums]) -> list[tuple[Any, ...]]:
    """Of ``model``'s sums in which a row counts, without the start."""
    if model in (TagHour, TagDay):
        return [(row.tenant_id, tag) for tag in row.declared]
    return [(row.tenant_id, row.project_id, row.key_id, row.route, row.provider_id)]


def summed(rows: Iterable[Usage], model: type[Sums], period: int) -> Found:
    """What the rollups of ``period`` seconds must hold: by key, the sums and the latencies' histogram."""
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 11)
    for row in rows:
        seconds = int(row.created_at.timestamp())
        start = datetime.fromtimestamp(seconds - seconds % period, UTC)
        charge = row.kind == "charge"
        bad = row.status >= 400 or bool(row.error_kind)
        used = row.status < 400 or row.input_tokens > 0 or row.output_tokens > 0
        facts = [charge, charge and bad, *(getattr(row, name) for name in TOKENS), row.cost or 0]
        facts += [
            charge and used and row.cost is None,
            charge * row.duration_us,
            charge * histogram.one(row.duration_us),
        ]
        for key in keys_of(row, model):
            sums[start, *key] = [a + b for a, b in zip(sums[start, *key], facts, strict=True)]
    return {key: tuple(numbers) for key, numbers in sums.items()}


def stored(model: type[Sums]) -> Found:
    names = ("requests", "errors", *TOKENS, "cost", "unpriced", "duration_us")
    return {
        tuple(getattr(row, name) for name in model.KEY): (
            *(getattr(row, name) for name in names),
            histogram.unpack(bytes(row.latency)),
        )
        for row in model._default_manager.all()
    }


def assert_rollups_are_the_sum_of_the_rows() -> None:
    rows = list(Usage.objects.all())
    kept: tuple[tuple[type[Sums], int], ...] = ((UsageHour, 3600), (TagHour, 3600), (UsageDay, 86400), (TagDay, 86400))
    for model, period in kept:
        assert stored(model) == summed(rows, model, period)
