"""ledger_check agrees with what the drain and leases have made, and finds each kind of damage."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.utils import timezone

from tenants import histogram
from tenants.compared import Span
from tenants.drain import write
from tenants.labels import BETWEEN, Label, write_label
from tenants.ledger_check import check
from tenants.models import (
    Budget,
    HeldLease,
    LeaseCounter,
    LeaseIncrease,
    LeaseWindow,
    TagDay,
    TagHour,
    Tenant,
    Usage,
    UsageDay,
    UsageHour,
)
from tests.usage_entries import MIDNIGHT, an_entry, random_entries

pytestmark = pytest.mark.django_db
START = datetime.fromtimestamp(MIDNIGHT, UTC)
SPENT, HELD, CAP = "spent = charged", "granted = held", "granted + spent ≤ cap"


@pytest.fixture
def budget(db: None) -> Budget:
    return Budget.objects.create(tenant=Tenant.objects.create(name="acme"), name="all", amount=10**12)


@pytest.fixture
def ledger(budget: Budget) -> Budget:
    """Rows of three days, charged to the month of a budget and to the day of an end user whose name has slashes."""
    counter, month = budget.counter, int(MIDNIGHT)
    entries = random_entries(300)
    for number, entry in enumerate(entries):
        entry.revision = 5
        lines = [f"{counter}//{month}", "tpm.t1//60", *[f"{counter}/a/b/{month}"] * (number % 3 == 0)]
        entry.charged_to = "\n".join(lines)
    write(entries)
    write([an_entry(kind="correction", corrects=entries[0].id, cost=-9, charged_to=entries[0].charged_to)])
    for subject, some in (("", entries), ("a/b", entries[::3])):
        spent = sum(entry.cost or 0 for entry in some)
        LeaseWindow.objects.create(
            counter=counter, subject=subject, start=month, cap=10**12, spent=spent, granted=70 - 30 * bool(subject)
        )
    whole, part = LeaseWindow.objects.order_by("subject")
    HeldLease.objects.create(owner="w1", number=1, window_id=whole.pk, granted=100, settled=40)
    HeldLease.objects.create(owner="w1", number=2, window_id=whole.pk, granted=10)
    HeldLease.objects.create(owner="w2", number=1, window_id=part.pk, granted=40)
    HeldLease.objects.create(owner="w2", number=2, window_id=part.pk, granted=4, settled=9)
    return budget


def found(span: Span | None = None) -> dict[str, list[str]]:
    return {each.title: each.shown for each in check(span or Span()) if each.differ}


def test_what_agrees(ledger: Budget) -> None:
    output = StringIO()
    call_command("ledger_check", "--fix-nothing", stdout=output)
    text = output.getvalue()
    assert "Everything agrees." in text and "differs" not in text
    sums = {title: int(number.replace(",", "")) for title, number in re.findall(r"(?m)^(.{26}) *([\d,]+) +0$", text)}
    assert {title.strip() for title in sums} == {
        "rows = hourly",
        "hourly = daily",
        "rows = hourly, by tag",
        "hourly = daily, by tag",
        "latencies",
        SPENT,
        HELD,
        CAP,
    }
    assert all(sums.values())


DAMAGE: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "an hour": (
        lambda: UsageHour.objects.filter(pk=UsageHour.objects.all()[:1]).update(cost=F("cost") + 1),
        {"rows = hourly", "hourly = daily"},
    ),
    "an hour is gone": (
        lambda: UsageHour.objects.filter(requests__gt=0)[0].delete(),
        {"rows = hourly", "hourly = daily", "latencies"},
    ),
    "a day": (
        lambda: UsageDay.objects.filter(pk=UsageDay.objects.all()[:1]).update(
            reasoning_tokens=F("reasoning_tokens") - 1
        ),
        {"hourly = daily"},
    ),
    "a day's latencies": (
        lambda: UsageDay.objects.filter(pk=UsageDay.objects.all()[:1]).update(latency=histogram.pack(histogram.one(5))),
        {"latencies"},
    ),
    "a tag's hour": (
        lambda: TagHour.objects.filter(pk=TagHour.objects.all()[:1]).update(requests=F("requests") + 1),
        {"rows = hourly, by tag", "hourly = daily, by tag"},
    ),
    "a tag's day is gone": (
        lambda: TagDay.objects.filter(requests__gt=0)[0].delete(),
        {"hourly = daily, by tag", "latencies"},
    ),
    "a row is gone": (
        lambda: Usage.objects.filter(cost=1, declared=["prod"])[0].delete(),
        {"rows = hourly", "rows = hourly, by tag", "latencies", SPENT},
    ),
    "a row's duration": (
        lambda: Usage.objects.filter(pk=Usage.objects.filter(kind="charge", declared=["prod"])[:1]).update(
            duration_us=F("duration_us") + 10**9
        ),
        {"rows = hourly", "rows = hourly, by tag", "latencies"},
    ),
    "a row's tags": (
        lambda: Usage.objects.filter(pk=Usage.objects.filter(declared=["prod"])[:1]).update(declared=["x"]),
        {"rows = hourly, by tag"},
    ),
    "a nano-dollar": (lambda: LeaseWindow.objects.filter(subject="a/b").update(spent=F("spent") + 1), {SPENT}),
    "a window is gone": (lambda: LeaseWindow.objects.filter(subject="a/b").delete(), {SPENT, HELD}),
    "a grant": (lambda: LeaseWindow.objects.filter(subject="").update(granted=F("granted") - 1), {HELD}),
    "a lease is gone": (lambda: HeldLease.objects.filter(owner="w2", number=1).delete(), {HELD}),
    "a cap": (lambda: Budget.objects.update(amount=5) + LeaseWindow.objects.update(cap=5), {CAP}),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(ledger: Budget, name: str) -> None:
    damage, expected = DAMAGE[name]
    damage()
    told = found()
    assert told.keys() >= expected and told.keys() <= expected | {"latencies", "rows = hourly, by tag"}
    assert all(told.values())
    with pytest.raises(CommandError, match=re.escape("; ".join(told))):
        call_command("ledger_check", stdout=StringIO())


def test_it_says_what_differs(ledger: Budget) -> None:
    LeaseWindow.objects.filter(subject="a/b").update(spent=F("spent") - 1)
    hour = UsageHour.objects.order_by("pk")[0]
    UsageHour.objects.filter(pk=hour.pk).update(cost=F("cost") + 3, errors=F("errors") - 1)
    told = found()
    assert f"{ledger.counter}/a/b from 2026-03-31 00:00: spent" in told[SPENT][0] and told[SPENT][0].endswith(", -1")
    (text,) = told["rows = hourly"]
    assert f"route {hour.route}" in text and text.endswith("errors +1, cost -3")


def test_only_the_span_is_compared(ledger: Budget) -> None:
    UsageHour.objects.filter(pk=UsageHour.objects.order_by("start")[:1]).update(cost=F("cost") + 1)
    later = Span(START + timedelta(hours=24), START + timedelta(hours=60))
    assert found(later) == {} and found(Span(START, START + timedelta(hours=24))).keys() == {
        "rows = hourly",
        "hourly = daily",
    }
    call_command("ledger_check", "--from", "2026-04-01", "--to", "2026-04-02T12:00", stdout=StringIO())
    for arguments in (["--from", "soon"], ["--from", "2026-04-02", "--to", "2026-04-01"]):
        with pytest.raises(CommandError):
            call_command("ledger_check", *arguments, stdout=StringIO())


def test_what_passes_a_cap_for_a_reason_is_noted(ledger: Budget) -> None:
    Budget.objects.update(amount=5)
    LeaseWindow.objects.update(cap=5)

    def noted() -> bool:
        (each,) = (each for each in check(Span()) if each.title == CAP)
        assert bool(each.differ) != bool(each.notes)
        return bool(each.notes)

    assert not noted()
    Budget.objects.update(changed_revision=6)
    assert noted()
    Budget.objects.update(changed_revision=5)
    assert not noted()
    Usage.objects.update(bound_exceeded=True)
    assert noted()
    Usage.objects.update(bound_exceeded=False)
    times = {"begins_at": START, "ends_at": START + timedelta(hours=1)}
    LeaseIncrease.objects.create(counter=ledger.counter, amount=5, reason="r", made_by="m", **times)
    assert noted()
    Budget.objects.update(hard=False)
    assert CAP not in found()


def test_a_window_that_began_with_what_another_had_spent(budget: Budget) -> None:
    counter = f"b{budget.pk}.2"
    LeaseCounter.objects.create(name=counter, cap=10**12)
    write([an_entry(cost=7, charged_to=f"{counter}//{start}") for start in (1000, 2000)])
    first = LeaseWindow.objects.create(counter=counter, start=1000, spent=20)
    LeaseWindow.objects.create(counter=counter, start=2000, spent=7)
    assert found() == {}
    assert ["began with 13" in note for each in check(Span()) for note in each.notes] == [True]
    LeaseWindow.objects.filter(pk=first.pk).update(spent=6)
    assert found().keys() == {SPENT}
    LeaseWindow.objects.filter(pk=first.pk).update(spent=7)
    LeaseWindow.objects.filter(start=2000).update(spent=8)
    assert found().keys() == {SPENT}


def test_what_is_charged_to_several_alike_is_found_for_each(budget: Budget) -> None:
    odd = "two\nlines/%0A"
    labels = [write_label(Label(1, 1000, budget.counter, subject)) for subject in ("", odd)]
    write([an_entry(cost=7, charges={BETWEEN.join(labels): 7}), an_entry(cost=5, charges={labels[0]: 5})])
    for subject, spent in (("", 12), (odd, 7)):
        LeaseWindow.objects.create(counter=budget.counter, subject=subject, start=1000, spent=spent)
    assert found() == {}
    LeaseWindow.objects.filter(subject=odd).update(spent=8)
    assert found().keys() == {SPENT}


def test_charges_of_a_deleted_budget_are_no_difference(ledger: Budget) -> None:
    write([an_entry(cost=5, charged_to="b99.1//1000")])
    assert found() == {}
    LeaseCounter.objects.create(name="b99.1", cap=1)
    assert "b99.1 from 1970-01-01 00:16: no such window" in found()[SPENT][0]


@pytest.mark.django_db(transaction=True)
def test_it_reads_one_snapshot_and_keeps_no_writer_out(ledger: Budget) -> None:
    comparisons = check(Span())
    assert next(comparisons).differ == 0
    import threading

    def elsewhere() -> None:
        from django.db import connection

        write([an_entry(cost=3, created_at=MIDNIGHT + 5, declared=["prod"])])
        LeaseWindow.objects.update(spent=F("spent") + 1)
        connection.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [each.shown for each in comparisons if each.differ] == []
    assert found().keys() == {SPENT}  # the next one sees it


def test_a_time_that_was_pruned_is_not_compared(ledger: Budget) -> None:
    from tenants import prune

    Usage.objects.filter(created_at__lt=START + timedelta(days=1)).delete()
    assert found()
    prune._remember(START + timedelta(days=1), "default")
    assert timezone.now() > START + timedelta(days=40)  # the month of the budget has ended
    assert found() == {}
    notes = [note for each in check(Span()) for note in each.notes]
    assert notes == ["2 windows have ended, and rows of their time were deleted"]
