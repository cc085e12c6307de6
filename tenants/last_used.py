"""When keys were last used: by their newest usage rows, and where those are pruned by the days of the rollups."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Max, OuterRef, Subquery
from unfold.views import ChangeList

from tenants.models import ApiKey, Usage, UsageDay


def last_used(ids: Iterable[int]) -> dict[int, str]:
    """In words, by key; "never" where nothing is known. One look into an index for each key, all in one query; the days
    are asked only for keys without rows, and only those days of which rows are pruned."""
    keys = list(ids)
    newest = Usage.objects.filter(key_id=OuterRef("pk")).order_by("-id").values("created_at")[:1]
    found = dict(ApiKey.objects.filter(pk__in=keys).order_by().values_list("pk", Subquery(newest)))
    missing = [key for key, at in found.items() if at is None]
    days = _days(missing) if missing else {}
    return {key: _words(at, days.get(key)) for key, at in found.items()}


def _days(keys: list[int]) -> dict[int, datetime]:
    oldest = Usage.objects.order_by("id").values("created_at")[:1]
    days = UsageDay.objects.filter(key_id__in=keys)
    if Usage.objects.exists():
        days = days.filter(start__lt=Subquery(oldest))
    return dict(days.values("key_id").annotate(last=Max("start")).values_list("key_id", "last"))


def _words(at: datetime | None, day: datetime | None) -> str:
    if at is not None:
        return f"{at:%Y-%m-%d %H:%M} UTC"
    return f"{day:%Y-%m-%d}" if day is not None else "never"


class Listed(ChangeList):  # type: ignore[misc]
    """Keys of a page, each with when it was last used."""

    result_list: Any

    def get_results(self, request: object) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        found = last_used(row.pk for row in rows)
        for row in rows:
            row.used = found.get(row.pk, "never")
        self.result_list = rows
