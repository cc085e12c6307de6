"""What reports, the admin's list of requests and the ledger's proof take at one million usage rows of one month.

``python -m tests.bench.reports`` prints it: on SQLite, and on PostgreSQL if DATABASE_URL names a server, in a database of
its own. Each figure is the best of some tries, as Django's test client sees it; the first one is printed, too. On a busy
machine go by the CPU time, in which PostgreSQL's own is not.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from tests.bench.report import Goal, goals
from tests.rollup_seed import COMBINATIONS, DAYS, FIRST, combination, facts

ROWS = 1_000_000
TRIES = 5
MOST_REPORT_MS, MOST_LIST_MS = 300, 500
OWN = "gateway_bench_reports"
BATCH = 5_000
LIST = "/admin/tenants/usage/"
LISTS = {
    "first page": {},
    "of one tenant": {"tenant": "4"},
    "of one end user": {"end_user": "user-77"},
    "of one provider": {"provider": "2"},
    "of one route": {"route": "model-3"},
    "failed": {"error": "any"},
    "interrupted": {"marked": "interrupted"},
    "bound exceeded": {"marked": "exceeded"},
    "without a price": {"marked": "unpriced"},
    "by request id": {"q": "r-500000"},
    "page 1,000": {"p": "1000"},
}


def entries(count: int) -> Iterator[Any]:
    """Of one month, in order: a tenth by end users, a third with tags, all charged to a budget of their tenant."""
    from tenants.ledger import Entry

    generator, combos = random.Random(1), [combination(number) for number in range(COMBINATIONS)]
    begun, seconds = FIRST.timestamp(), DAYS * 86_400
    for number in range(count):
        at = begun + seconds * number / count
        combo = generator.choice(combos)
        entry = Entry(
            id=UUID(int=int(at * 1000) << 80 | 7 << 76 | 2 << 62 | number),
            created_at=at,
            request_id=f"r-{number}",
            charged_to=f"b{combo['tenant_id']}.1//{int(begun)}",
            declared=[["prod"], ["prod", "other"], [], [], [], []][number % 6],
            end_user=f"user-{generator.randrange(1000)}" if number % 10 == 0 else "",
            **facts(generator),
            **combo,
        )
        entry.error_kind = "" if entry.status < 400 else "server_error"
        entry.interrupted, entry.bound_exceeded = number % 20_011 == 0, number % 30_011 == 0
        entry.cost = None if number % 1_009 == 0 else entry.cost
        yield entry


def seed(count: int) -> None:
    """The rows with all their sums, as the drain would have written them, a day's sums at once."""
    from django.db import connection

    from tenants import partitions
    from tenants.models import LeaseWindow
    from tenants.statements import writing

    partitions.make([partitions.month_of(FIRST)])
    spent: dict[str, int] = {}
    for day in _days(entries(count)):
        for entry in day:
            spent[entry.charged_to] = spent.get(entry.charged_to, 0) + (entry.cost or 0)
        with writing("default") as statements:
            _store(statements, day, connection.vendor == "sqlite")
    for text, amount in spent.items():
        counter, _, start = text.split("/")
        LeaseWindow.objects.create(counter=counter, start=int(start), spent=amount)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _days(found: Iterable[Any]) -> Iterator[list[Any]]:
    day: list[Any] = []
    for entry in found:
        if day and entry.created_at // 86_400 != day[0].created_at // 86_400:
            yield day
            day = []
        day.append(entry)
    yield day


def _store(statements: Any, day: list[Any], sqlite: bool) -> None:
    from tenants import rollups
    from tenants.columns import Columns
    from tenants.models import TagDay, TagHour, UsageDay, UsageHour
    from tenants.rows import table

    for first in range(0, len(day), BATCH):
        statements.insert(table(Columns.of(day[first : first + BATCH]), sqlite=sqlite))
    columns = Columns.of(day)
    for hour_model, day_model, sums in (
        (UsageHour, UsageDay, rollups.hourly(columns)),
        (TagHour, TagDay, rollups.tagged(columns)),
    ):
        rollups.add(statements, hour_model, sums)
        rollups.add(statements, day_model, rollups.daily(sums))


def timed(title: str, call: Callable[[], Any], tries: int = TRIES) -> float:
    """Print the first and the best, and this process's own CPU time of the best, in milliseconds; the best."""
    times = []
    for _ in range(tries):
        begun, used = time.perf_counter(), time.process_time()
        call()
        times.append((1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - used)))
    best = min(times)
    print(f"  {title:<44}{times[0][0]:>9.0f}{best[0]:>9.0f}{best[1]:>9.0f}", flush=True)
    return best[0]


def measure() -> list[Goal]:
    from datetime import timedelta

    from django.db import connection

    from tenants import reports
    from tenants.models import Usage

    begun = time.perf_counter()
    seed(ROWS)
    print(f"\n{connection.vendor}: {Usage.objects.count():,} rows seeded in {time.perf_counter() - begun:.0f} s")
    print(f"  {'milliseconds':<44}{'first':>9}{'best':>9}{'CPU':>9}")
    end = FIRST + timedelta(days=DAYS)
    worst = 0.0
    for by in reports.BY:
        taken = timed(f"the month by {by}", partial(reports.report, FIRST, end, by))
        worst = max(worst, taken) if by in ("tenant", "model") else worst
    of_one = {"tenant": "tenant-3"}
    worst = max(worst, timed("the month of one tenant by model", lambda: reports.report(FIRST, end, "model", of_one)))
    name = connection.vendor
    found = [Goal(f"{name}: the month's reports", worst, MOST_REPORT_MS, False, " ms")]
    found += [Goal(f"{name}: the list of requests, first page", _lists(), MOST_LIST_MS, False, " ms")]
    return [*found, *_proof(name)]


def _lists() -> float:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_superuser("bench"))

    def page(query: dict[str, str]) -> None:
        assert client.get(LIST, query).status_code == 200

    taken = {title: timed(f"the list, {title}", partial(page, query)) for title, query in LISTS.items()}
    return taken["first page"]


def _proof(name: str) -> list[Goal]:
    from tenants.compared import Span
    from tenants.ledger_check import check

    begun = last = time.perf_counter()
    differ = 0
    for each in check(Span()):
        print(f"  ledger_check: {each.title:<30}{1000 * (time.perf_counter() - last):>9.0f}")
        last = time.perf_counter()
        differ += each.differ
    seconds = time.perf_counter() - begun
    return [
        Goal(f"{name}: what ledger_check finds", differ, 0, False),
        Goal(f"{name}: ledger_check", seconds, 60, False, " s", asserted=False),
    ]


def _here() -> int:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return 0 if goals(measure()) else 1


def main() -> int:
    """One process for each database."""
    url = os.environ.pop("DATABASE_URL", "")
    failed = _run({})
    if url.startswith("postgres"):
        parts = urlsplit(url)
        psql = ["psql", "-qX", "-d", url, "-c"]
        subprocess.run([*psql, f"DROP DATABASE IF EXISTS {OWN}"], check=True)
        subprocess.run([*psql, f"CREATE DATABASE {OWN}"], check=True)
        try:
            failed |= _run({"DATABASE_URL": parts._replace(path=f"/{OWN}").geturl()})
        finally:
            subprocess.run([*psql, f"DROP DATABASE {OWN}"], check=True)
    return failed


def _run(database: dict[str, str]) -> int:
    directory = tempfile.mkdtemp(prefix="gateway-reports-")
    made = {
        "GATEWAY_DATA_DIR": directory,
        "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
        "SECRET_KEY": "only-for-this-bench-0123456789abcdefghijklmnopqrst",
        "GATEWAY_ENCRYPTION_KEYS": "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDE=",
        "GATEWAY_KEY_PEPPERS": "only-for-this-bench-only-for-it",
    }
    command = [sys.executable, "-m", "tests.bench.reports", "--here"]
    try:
        return subprocess.run(command, env={**os.environ, **made, **database}, check=False).returncode
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(_here() if "--here" in sys.argv else main())
