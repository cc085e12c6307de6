"""The page that issues keys from a CSV file. The answer to the upload is the file with the keys: nothing keeps them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.contrib.admin.models import ADDITION, LogEntry
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminFileFieldWidget

from tenants import bulk
from tenants.bulk import COLUMNS, MOST_BYTES, MOST_KEYS, Refused

SHOWN = 50
EXAMPLE = """tenant,project,name,expires_at,allowed_models,requests_per_minute
acme,web,alice,2027-01-31,"gpt-*, claude-*",60
acme,,bob,,,
"""


class Upload(forms.Form):
    file = forms.FileField(widget=UnfoldAdminFileFieldWidget({"accept": ".csv,text/csv"}))


def bulk_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    problems: list[tuple[int, str, str]] = []
    if request.method == "POST":
        try:
            return _issued(request)
        except Refused as refused:
            problems = refused.problems
    context = {
        **site.each_context(request),
        "title": "Issue many keys",
        "problems": problems[:SHOWN],
        "more": len(problems) - SHOWN,
        "form": Upload(),
        "columns": COLUMNS,
        "example": EXAMPLE,
        "most_keys": MOST_KEYS,
        "most_kib": MOST_BYTES // 1024,
        "back": reverse("admin:tenants_apikey_changelist"),
    }
    return TemplateResponse(request, "tenants/bulk.html", context, status=400 if problems else 200)


def _issued(request: HttpRequest) -> HttpResponse:
    """Raises Refused."""
    file: Any = request.FILES.get("file")
    if file is None:
        raise Refused((0, "", "Choose a file."))
    if file.size > MOST_BYTES:
        raise Refused((0, "", f"The file is larger than {MOST_BYTES} bytes."))
    entries = bulk.read(file.read())
    with transaction.atomic():
        rows = bulk.issue(entries)
        LogEntry.objects.log_actions(request.user.pk, rows, ADDITION, change_message="Issued from a file.")  # type: ignore[arg-type]
    response = HttpResponse(bulk.as_csv(rows), content_type="text/csv; charset=utf-8")
    response["content-disposition"] = 'attachment; filename="keys.csv"'
    response["cache-control"] = "no-store, private"
    response["referrer-policy"] = "no-referrer"
    response["x-content-type-options"] = "nosniff"
    return response
