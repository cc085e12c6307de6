"""What the report's page shows of its rows: a table, totals and the chart's data. Texts are escaped by the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tenants.figures import duration, rounded
from tenants.report_form import Query
from tenants.reports import Row

TOP = 20
MOST = 500
DEEPER = {"tenant": "key", "project": "key", "key": "model", "model": "provider", "provider": "model", "tag": "day"}
COUNTS = (
    "requests",
    "errors",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "unpriced",
)
HEADERS = (
    "requests",
    "errors",
    "input",
    "cache read",
    "cache write",
    "output",
    "reasoning",
    "unpriced",
    "cost",
    "p50",
    "p95",
)


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    url: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    headers: tuple[str, ...]
    lines: list[Line]
    more: int
    total: tuple[str, ...]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        *(f"{getattr(row, name):,}" for name in COUNTS),
        rounded(row.cost) if row.cost or not row.unpriced else "no price",
        duration(row.p50_us),
        duration(row.p95_us),
    )


def table(rows: Sequence[Row], query: Query) -> Table:
    sums = [sum(getattr(row, name) for row in rows) for name in COUNTS]
    total = (*(f"{number:,}" for number in sums), rounded(sum(row.cost for row in rows)), "", "")
    lines = [Line(_label(row), _url(row, query), _cells(row)) for row in rows[:MOST]]
    return Table(query.by, HEADERS, lines, len(rows) - len(lines), total)


def _label(row: Row) -> str:
    return " · ".join(filter(None, (row.tenant, row.name))) or "(none)"


def _url(row: Row, query: Query) -> str:
    """The same period, one level deeper into ``row``; "" for days, and for what has no name to filter by."""
    if not row.name or query.by == "day":
        return ""
    period = {"start": f"{query.start:%Y-%m-%dT%H:%M}", "end": f"{query.end:%Y-%m-%dT%H:%M}"}
    whose = {"tenant": row.tenant} if row.tenant else {}
    return "?" + urlencode({**query.filters, **whose, query.by: row.name, "by": DEEPER[query.by], **period})


def charted(rows: Sequence[Row], query: Query) -> dict[str, Any]:
    """Labels and numbers for the chart: all days, or the most used of anything else."""
    shown = list(rows) if query.by == "day" else sorted(rows, key=lambda row: -row.requests)[:TOP]
    return {
        "labels": [_label(row) for row in shown],
        "time": query.by == "day",
        "good": [row.requests - row.errors for row in shown],
        "errors": [row.errors for row in shown],
        "tokens": [row.input_tokens + row.output_tokens for row in shown],
    }
