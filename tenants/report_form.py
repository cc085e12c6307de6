"""What a usage report is asked for: a period, a grouping, filters. All times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from tenants.reports import fits, whole_hours

GROUPINGS = (
    ("day", "Day"),
    ("tenant", "Tenant"),
    ("project", "Project"),
    ("key", "Key"),
    ("model", "Model"),
    ("provider", "Provider"),
    ("tag", "Tag"),
)
PERIODS = (
    ("today", "Today"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
    ("month", "This month"),
    ("last-month", "Last month"),
    ("custom", "From … until …"),
)
FILTERS = ("tenant", "project", "key", "model", "provider", "tag")
DEFAULT = {"period": "7d", "by": "day"}


@dataclass(frozen=True, slots=True)
class Query:
    """``start`` and ``end`` are whole hours, widened to them where need be."""

    start: datetime
    end: datetime
    by: str
    filters: dict[str, str]


def preset(period: str, now: datetime) -> tuple[datetime, datetime]:
    """The bounds of a preset period: whole hours or days, the running one included."""
    hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = today.replace(day=1)
    return {
        "today": (today, hour),
        "24h": (hour - timedelta(hours=24), hour),
        "7d": (today - timedelta(days=6), hour),
        "30d": (today - timedelta(days=29), hour),
        "month": (month, hour),
        "last-month": ((month - timedelta(days=1)).replace(day=1), month),
    }[period]


class Moment(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__({"step": "3600"}, format="%Y-%m-%dT%H:%M")


def _name(longest: int) -> forms.CharField:
    return forms.CharField(required=False, max_length=longest, widget=forms.TextInput({"placeholder": "all"}))


class ReportForm(forms.Form):
    period = forms.ChoiceField(choices=PERIODS)
    start = forms.DateTimeField(label="From (UTC)", required=False, widget=Moment)
    end = forms.DateTimeField(label="Until (UTC)", required=False, widget=Moment)
    by = forms.ChoiceField(label="Grouped by", choices=GROUPINGS)
    tenant = _name(63)
    project = _name(63)
    key = _name(100)
    model = _name(255)
    provider = _name(63)
    tag = _name(64)

    def __init__(self, data: Any) -> None:
        given = {name: data[name] for name in self.base_fields if data.get(name)}
        if "period" not in given and ("start" in given or "end" in given):
            given["period"] = "custom"
        super().__init__({**DEFAULT, **given})

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = self.cleaned_data
        if data.get("period") == "custom" and not self.errors:
            if not data["start"] or not data["end"]:
                self.add_error("start" if not data["start"] else "end", "Say from when until when.")
            elif data["start"] >= data["end"]:
                self.add_error("end", "This must be later than the beginning.")
            elif data["start"].year < 2000 or data["end"].year > 2100:
                self.add_error("start", "Give years from 2000 to 2100.")
        if not self.errors and not fits(data["by"], [name for name in FILTERS if data.get(name)]):
            self.add_error("by", "Of tags only the tenant and the day are known.")
        return data

    def query(self) -> Query:
        """What was asked for. The form must be valid."""
        data = self.cleaned_data
        custom = data["period"] == "custom"
        start, end = (data["start"], data["end"]) if custom else preset(data["period"], timezone.now().astimezone(UTC))
        return Query(*whole_hours(start, end), data["by"], {name: data[name] for name in FILTERS if data[name]})
