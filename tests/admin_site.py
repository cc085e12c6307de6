"""What tests of admin pages share: hostile text, forms as a browser would send them, usage rows."""

from __future__ import annotations

from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils import timezone

from tenants.models import Usage

SECRET = "sk-live-0123456789abcdefghijklmnop"
EVIL = "<script>alert('x')</script>\"&amp;"


class _Form(HTMLParser):
    """The fields of the page's largest form with their values, as a browser would send them untouched."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.text = ""
        self.area = self.select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self.forms.append({})
        elif tag == "input" and name and self.forms:
            self._input(name, given)
        elif tag == "textarea":
            self.area, self.text = name, ""
        elif tag == "select":
            self.select = name
            self.forms[-1].setdefault(name, "")
        elif tag == "option" and "selected" in given and self.select:
            self.forms[-1][self.select] = given.get("value", "")

    def _input(self, name: str, given: dict[str, str]) -> None:
        form, kind = self.forms[-1], given.get("type", "text")
        if kind in ("submit", "button", "image", "file"):
            return
        if kind in ("checkbox", "radio"):
            if "checked" in given:
                value = given.get("value", "on")
                form[name] = (
                    value
                    if name not in form
                    else [*(form[name] if isinstance(form[name], list) else [form[name]]), value]
                )
        else:
            form[name] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self.area:
            self.forms[-1][self.area] = self.text.removeprefix("\r\n").removeprefix("\n")
            self.area = ""
        elif tag == "select":
            self.select = ""


def form_data(reply: Any) -> dict[str, Any]:
    parser = _Form()
    parser.feed(reply.content.decode())
    return max(parser.forms, key=len)


def usage_id(at: datetime, number: int = 0) -> UUID:
    return UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | number)


_number = 0


def add_usage(at: datetime | None = None, **values: Any) -> Usage:
    global _number
    _number += 1
    at = at or timezone.now()
    given = {
        "dialect": "openai",
        "endpoint": "chat",
        "status": 200,
        "duration_us": 250_000,
        "created_at": at,
        "request_id": f"r{_number}",
        **values,
    }
    return Usage.objects.create(id=usage_id(at, _number), **given)


def urls_of(model: type[Any], row: Any) -> dict[str, str]:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    return {
        "list": reverse(f"{name}_changelist"),
        "add": reverse(f"{name}_add"),
        "page": reverse(f"{name}_change", args=[row.pk]),
        "history": reverse(f"{name}_history", args=[row.pk]),
    }
