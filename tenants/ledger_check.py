"""Proves that the ledger agrees with itself: the sum of its rows is the hourly sums, these are the daily ones, the tags'
likewise; what windows of budgets have spent is what was charged to them, and what they have granted is held by somebody.

All of it is read in one snapshot of the database and added up there; what comes back is what differs. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tenants import ledger_sums, ledger_windows
from tenants.compared import Compared, Span
from tenants.models import TagDay, TagHour, UsageDay, UsageHour
from tenants.prune import kept_since


def check(span: Span, using: str = "default") -> Iterator[Compared]:
    """Every comparison, as it is made. Rows are compared from the day on of which none was deleted; windows, that began in
    the span, if all their rows are there."""
    with snapshot(using) as connection:
        kept = kept_since(using)
        rows = Span(max(span.start, kept), span.end) if kept else span
        yield ledger_sums.rows_and_hours(connection, "rows = hourly", UsageHour, rows)
        yield ledger_sums.hours_and_days(connection, "hourly = daily", UsageHour, UsageDay, span)
        yield ledger_sums.rows_and_hours(connection, "rows = hourly, by tag", TagHour, rows)
        yield ledger_sums.hours_and_days(connection, "hourly = daily, by tag", TagHour, TagDay, span)
        yield ledger_sums.latencies(connection, rows, span)
        charged = ledger_windows.charges(connection)
        yield ledger_windows.spent(using, span, kept, charged)
        yield ledger_windows.granted(connection)
        yield ledger_windows.within_caps(using, span, charged)


@contextmanager
def snapshot(using: str) -> Iterator[BaseDatabaseWrapper]:
    """A read transaction, in which the database stands still; within another transaction, as still as that is."""
    connection = connections[using]
    if connection.in_atomic_block:
        yield connection
    elif connection.vendor == "postgresql":
        with transaction.atomic(using=using):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SET LOCAL work_mem = '128MB'")
            yield connection
    else:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")  # a transaction of Django's own would keep writers out
            try:
                yield connection
            finally:
                cursor.execute("ROLLBACK")
