"""Corrections are rows of their own; a charge and its corrections are the new price, however often it is run."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum

from providers.models import Provider
from tenants.drain import write
from tenants.ledger import Entry
from tenants.models import Price, Usage
from tenants.price_usage import batches, charges, units_of
from tenants.units import BadUnits
from tests.usage_entries import MIDNIGHT, an_entry, assert_rollups_are_the_sum_of_the_rows

pytestmark = pytest.mark.django_db(transaction=True)
DAY = datetime.fromtimestamp(MIDNIGHT, UTC)
RANGE = ("--from", f"{DAY:%Y-%m-%d}", "--to", f"{DAY + timedelta(days=1):%Y-%m-%d}")


def rerate(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rerate", *RANGE, *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def provider() -> Provider:
    return Provider.objects.create(name="up", kind="openai-compatible", base_url="http://127.0.0.1:9/v1")


def own(model: str = "m", input_rate: int = 10**9, **fields: Any) -> Price:
    return Price.objects.create(model=model, rates={"input_tokens": input_rate, "output_tokens": 10**9}, **fields)


def charge(at: Provider, **changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "provider_id": at.pk,
        "provider": at.name,
        "upstream_model": "m",
        "input_tokens": 1000,
        "cost": 500_000,
        "price_version": "own-0",
        "declared": ["prod"],
        "charged_to": "b1.0//0",
    }
    entry = an_entry(**facts | changes)
    write([entry])
    return entry


def total(entry: Entry) -> int | None:
    found = Usage.objects.filter(id=entry.id) | Usage.objects.filter(corrects=entry.id)
    told: int | None = found.aggregate(total=Sum("cost"))["total"]
    return told


def snapshot() -> list[Any]:
    return list(Usage.objects.filter(kind="charge").order_by("id").values())


def test_a_charge_and_its_corrections_are_the_new_price(provider: Provider) -> None:
    price = own()
    wrong, right = charge(provider), charge(provider, cost=1_000_000)
    unpriced = charge(provider, cost=None, price_version="", output_tokens=7)
    before = snapshot()
    said = rerate()
    assert "up m: 2 requests, $0.0005 -> $0.002007" in said and "2 of 3 requests corrected by $0.001507" in said
    assert [total(each) for each in (wrong, right, unpriced)] == [1_000_000, 1_000_000, 1_007_000]
    assert snapshot() == before
    made = Usage.objects.get(corrects=wrong.id)
    assert (made.kind, made.cost, made.price_version, made.input_tokens) == ("correction", 500_000, price.version, 0)
    told = ("tenant_id", "key_id", "route", "provider_id", "request_id", "upstream_model", "declared")
    assert all(getattr(made, name) == getattr(wrong, name) for name in told)
    assert made.charged_to == "" and made.created_at > DAY + timedelta(days=1)
    assert_rollups_are_the_sum_of_the_rows()


def test_a_second_run_adds_nothing_and_a_third_price_only_the_difference(provider: Provider) -> None:
    price = own()
    charged, free = charge(provider), charge(provider, cost=None, price_version="", input_tokens=0)
    rerate()
    assert Usage.objects.filter(corrects=free.id).get().cost == 0  # it has a price now, and costs nothing
    count = Usage.objects.count()
    assert "0 of 2 requests corrected by $0.00" in rerate()
    assert Usage.objects.count() == count
    price.rates["input_tokens"] = 3 * 10**8
    price.save()
    assert "1 of 2 requests corrected by -$0.0007" in rerate()
    assert total(charged) == 300_000 and "0 of 2" in rerate()
    assert_rollups_are_the_sum_of_the_rows()


def test_a_dry_run_says_the_same_and_writes_nothing(provider: Provider) -> None:
    own()
    charge(provider)
    said = rerate("--dry-run")
    assert "1 of 1 requests would be corrected by $0.0005" in said and Usage.objects.count() == 1
    assert rerate() == said.replace("would be corrected", "corrected")


def test_only_what_is_asked_for(provider: Provider) -> None:
    own()
    own("n")
    outside = charge(provider, created_at=MIDNIGHT - 0.001), charge(provider, created_at=MIDNIGHT + 86400)
    edge, late = charge(provider), charge(provider, upstream_model="n", created_at=MIDNIGHT + 86399.999)
    other = charge(provider, provider="other", provider_id=99)
    assert "1 of 1" in rerate("--model", "n") and total(late) == 1_000_000
    assert "1 of 1" in rerate("--provider", "other") and total(other) == 1_000_000
    assert "1 of 3" in rerate() and total(edge) == 1_000_000
    assert [total(each) for each in outside] == [500_000, 500_000]


def test_the_price_is_the_one_of_the_charges_moment(provider: Provider) -> None:
    noon = DAY + timedelta(hours=12)
    own(input_rate=10**9, effective_until=noon)
    own(input_rate=2 * 10**9, effective_from=noon)
    early, late = charge(provider), charge(provider, created_at=MIDNIGHT + 43_200)
    rerate()
    assert (total(early), total(late)) == (1_000_000, 2_000_000)


def test_tiers_and_units_without_a_column_count(provider: Provider) -> None:
    own(tiers={"batch": {"rates": {"input_tokens": 5 * 10**8, "web_searches": 10**13}}})
    told = '{"cache_write_1h_tokens":5,"web_searches":3}'
    entry = charge(provider, service_tier="batch", billed=told, cache_write_tokens=10)
    rerate()
    assert total(entry) == 500_000 + 3 * 10**7
    units = units_of(Usage.objects.get(id=entry.id))
    assert (units.cache_write_1h_tokens, units.counted) == (5, {"web_searches": 3})


@pytest.mark.parametrize("billed", ["{", "[]", '{"nonsense": 1}'])
def test_what_cannot_be_rated_is_left_alone_and_told(provider: Provider, billed: str) -> None:
    own()
    left = [
        charge(provider, interrupted=True),
        charge(provider, upstream_model="x"),
        charge(provider, billed=billed),
        charge(provider, status=502, cost=None, price_version="", input_tokens=0),
        charge(provider, cost=0, price_version=""),
    ]
    said = rerate()
    assert "0 of 5" in said and "1 have no price" in said and "1 were interrupted" in said and "1 have counts" in said
    assert Usage.objects.count() == len(left)
    with pytest.raises(BadUnits):
        units_of(Usage.objects.get(id=left[2].id))


def test_batches_hold_each_row_once(provider: Provider) -> None:
    write([an_entry(created_at=MIDNIGHT + second // 3, upstream_model="m") for second in range(50)])
    rows = charges(DAY, DAY + timedelta(days=1))
    found = [row.id for batch in batches(rows, 7) for row in batch]
    assert len(found) == len(set(found)) == 50


def test_two_runs_at_once_correct_once(provider: Provider) -> None:
    own()
    write(
        [
            an_entry(
                provider_id=provider.pk,
                provider="up",
                upstream_model="m",
                price_version="own-0",
                cost=1,
                input_tokens=n,
            )
            for n in range(1200)
        ]
    )

    def run() -> None:
        rerate()
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Usage.objects.aggregate(total=Sum("cost"))["total"] == sum(range(1200)) * 1000
    assert Usage.objects.filter(kind="correction").count() == 1200
    assert_rollups_are_the_sum_of_the_rows()


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-01-02", "2026-01-02", "not after"),
        ("1990-01-01", "2026-01-02", "more than ten years"),
        ("yesterday", "2026-01-02", "no date"),
        ("0001-01-01", "2026-01-02", "no year"),
    ],
)
def test_bad_times_are_refused(start: str, end: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("rerate", "--from", start, "--to", end)
