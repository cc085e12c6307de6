"""Prices of a file for ``manage.py apply``: a version is found by its provider, kind, model and the moment it begins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils.dateparse import parse_date, parse_datetime

from routing.apply_read import Map
from tenants.models import Price

if TYPE_CHECKING:
    from routing.apply import _Work

Identity = tuple[str, ...]
IDENTITY = ("provider", "kind", "model", "effective_from")


def prices(work: _Work, document: Map, line: int) -> None:
    """The oldest first: a version that ends comes before the one that follows it."""
    entries = sorted(work.entries(document, "prices"), key=lambda entry: folded("", "", "", _start(entry))[3])
    work.section("price", entries, Price.objects.all(), line)


def _start(entry: Map) -> str:
    return str(entry.text("effective_from") or "")


def of_row(row: Any) -> Identity:
    start = row.effective_from
    return folded(row.provider, row.kind, row.model, start.isoformat() if start else "")


def folded(provider: str, kind: str, model: str, start: str) -> Identity:
    """Names of models know no case; times are told in many ways."""
    return provider, kind, model.lower(), _moment(start)


def _moment(text: str) -> str:
    try:
        found = parse_datetime(text) or parse_date(text)
    except ValueError:
        found = None
    if found is None:
        return text
    moment = found if isinstance(found, datetime) else datetime(found.year, found.month, found.day, tzinfo=UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def described(provider: str, kind: str, model: str, start: str) -> str:
    scope = provider or kind
    return f"{model}{f' at {scope}' if scope else ''}{f' from {start[:10]}' if start else ''}"
