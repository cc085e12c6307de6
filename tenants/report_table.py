"""What the report's page shows of its rows: a table, totals and the chart's data. Texts are escaped by the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tenants.figures import duration, rounded
from tenants.report_form import Query

TOP = 20
DEEPER = {"tenant": "key", "key": "model", "model": "provider", "provider": "model"}
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
    total: tuple[str, ...]


def _cells(row: Any) -> tuple[str, ...]:
    return (
        *(f"{getattr(row, name):,}" for name in COUNTS),
        rounded(row.cost),
        duration(row.p50_us),
        duration(row.p95_us),
    )


def table(rows: Sequence[Any], query: Query) -> Table:
    headers = (
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
    sums = [sum(getattr(row, name) for row in rows) for name in COUNTS]
    total = (*(f"{number:,}" for number in sums), rounded(sum(row.cost for row in rows)), "", "")
    return Table(
        query.by, headers, [Line(row.name or "(none)", _url(row.name, query), _cells(row)) for row in rows], total
    )


def _url(name: str, query: Query) -> str:
    """The same period, one level deeper into ``name``; "" for what has no name to filter by."""
    if not name:
        return ""
    if query.by == "day":
        return ""
    asked = {
        **query.filters,
        query.by: name,
        "by": DEEPER[query.by],
        "start": f"{query.start:%Y-%m-%dT%H:%M}",
        "end": f"{query.end:%Y-%m-%dT%H:%M}",
    }
    return "?" + urlencode(asked)


def charted(rows: Sequence[Any], query: Query) -> dict[str, Any]:
    """Labels and numbers for the chart: all days, or the most used of anything else."""
    shown = list(rows) if query.by == "day" else sorted(rows, key=lambda row: -row.requests)[:TOP]
    return {
        "labels": [row.name or "(none)" for row in shown],
        "time": query.by == "day",
        "good": [row.requests - row.errors for row in shown],
        "errors": [row.errors for row in shown],
        "tokens": [row.input_tokens + row.output_tokens for row in shown],
    }
