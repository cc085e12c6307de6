"""The last day at a glance, for the admin's index: the sums and the models behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

from django.utils import timezone

from tenants import reports
from tenants.figures import rounded
from tenants.report_form import Query, preset
from tenants.report_table import Table, table

MOST = 10


@dataclass(frozen=True, slots=True)
class Day:
    cards: list[tuple[str, str, str]]
    table: Table


def last_day() -> Day:
    start, end = preset("24h", timezone.now().astimezone(UTC))
    rows = sorted(reports.report(start, end, "model", {}), key=lambda row: -row.requests)
    requests, errors = sum(row.requests for row in rows), sum(row.errors for row in rows)
    tokens_in, tokens_out = sum(row.input_tokens for row in rows), sum(row.output_tokens for row in rows)
    unpriced = sum(row.unpriced for row in rows)
    cards = [
        ("Requests", f"{requests:,}", f"{len(rows):,} model{'' if len(rows) == 1 else 's'}"),
        ("Errors", f"{errors:,}", f"{errors / requests:.1%} of requests" if requests else ""),
        ("Tokens in", f"{tokens_in:,}", f"{sum(row.cache_read_tokens for row in rows):,} read from caches"),
        ("Tokens out", f"{tokens_out:,}", f"{sum(row.reasoning_tokens for row in rows):,} of them reasoning"),
        ("Cost", rounded(sum(row.cost for row in rows)), f"without {unpriced:,} unpriced requests" if unpriced else ""),
    ]
    return Day(cards, table(rows[:MOST], Query(start, end, "model", {})))
