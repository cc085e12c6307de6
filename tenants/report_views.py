"""The usage report: a page of the admin with chart and table, and the same as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from tenants import reports
from tenants.report_form import FILTERS, Query, ReportForm
from tenants.report_table import charted, table
from tenants.reports import Row

CHUNK = 16384


def usage_report(request: HttpRequest) -> HttpResponseBase:
    """The report as a page, or with ``format=csv`` as a file."""
    if not request.user.has_perm("tenants.view_usage"):
        raise PermissionDenied
    with timezone.override(UTC):
        form = ReportForm(request.GET)
        query = form.query() if form.is_valid() else None
        rows = reports.report(query.start, query.end, query.by, query.filters) if query else []
        if query and request.GET.get("format") == "csv":
            return _csv(request, query, rows)
        return _page(request, form, query, rows)


def _page(request: HttpRequest, form: ReportForm, query: Query | None, rows: list[Row]) -> HttpResponse:
    parameters = request.GET.copy()
    parameters["format"] = "csv"
    context = {
        **admin.site.each_context(request),
        "title": "Usage report",
        "form": form,
        "query": query,
        "filters": [form[name] for name in FILTERS],
        "table": table(rows, query) if query else None,
        "chart": charted(rows, query) if query and rows else None,
        "csv": parameters.urlencode(),
    }
    return TemplateResponse(request, "tenants/usage_report.html", context, status=200 if query else 400).render()


def _csv(request: HttpRequest, query: Query, rows: list[Row]) -> StreamingHttpResponse:
    pieces = _pieces(reports.as_csv(rows))
    response = StreamingHttpResponse(
        _waited(pieces) if isinstance(request, ASGIRequest) else pieces, content_type="text/csv; charset=utf-8"
    )
    name = f"usage-by-{query.by}-{query.start:%Y%m%d}-{query.end:%Y%m%d}.csv"
    response["content-disposition"] = f'attachment; filename="{name}"'
    response["x-content-type-options"] = "nosniff"
    return response


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Lines gathered to pieces worth sending."""
    piece = ""
    for line in lines:
        piece += line
        if len(piece) >= CHUNK:
            yield piece
            piece = ""
    if piece:
        yield piece


async def _waited(pieces: Iterator[str]) -> AsyncIterator[str]:
    # Under ASGI Django would first collect what a plain iterator gives.
    for piece in pieces:
        yield piece


def urls() -> list[URLPattern]:
    return [path("usage-report/", admin.site.admin_view(usage_report), name="usage_report")]
