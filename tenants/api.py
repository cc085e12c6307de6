"""REST: tenants, their keys, and what they spent."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, TypeAlias

from rest_framework import exceptions, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants import reports
from tenants.models import ApiKey, Tenant, Usage
from tenants.report_form import ReportForm
from tenants.serializers import ApiKeySerializer, TenantSerializer, UsageSerializer
from tenants.tokens import ChangePermission

Filters: TypeAlias = dict[str, tuple[str, serializers.Field[Any, Any, Any, Any]]]


class TenantViewSet(viewsets.ModelViewSet[Tenant]):
    """Who calls the gateway. Deleting one deletes its keys; usage rows stay."""

    queryset = Tenant.objects.all()
    serializer_class = TenantSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    filters: ClassVar[Filters] = {
        "enabled": ("enabled", serializers.BooleanField()),
        "anonymous": ("anonymous", serializers.BooleanField()),
    }


class ApiKeyViewSet(viewsets.ModelViewSet[ApiKey]):
    """Clients' keys. A new key stands in the answer that makes it, and nowhere else."""

    queryset = ApiKey.objects.select_related("tenant")
    serializer_class = ApiKeySerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "tenant": ("tenant__name", serializers.CharField()),
        "prefix": ("prefix", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
    }

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def rotate(self, request: Request, pk: str = "") -> Response:
        """Replace the key by a new one, told in this answer only. The old one is refused within a second."""
        key = self.get_object()
        plain = key.issue()
        key.save()
        key.issued = plain
        return Response(self.get_serializer(key).data)


class NewestFirst(CursorPagination):
    """Ids are UUIDv7: in order of time, and found by the primary key's index however deep the page."""

    ordering = "-id"
    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"


class UsageRowViewSet(viewsets.ReadOnlyModelViewSet[Usage]):
    """One row for each request, newest first. Immutable."""

    queryset = Usage.objects.all()
    serializer_class = UsageSerializer
    pagination_class = NewestFirst
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    filters: ClassVar[Filters] = {
        "request_id": ("request_id", serializers.CharField()),
        "tenant": ("tenant", serializers.CharField()),
        "tenant_id": ("tenant_id", serializers.IntegerField()),
        "key_id": ("key_id", serializers.IntegerField()),
        "provider_id": ("provider_id", serializers.IntegerField()),
        "route": ("route", serializers.CharField()),
        "error_kind": ("error_kind", serializers.CharField(allow_blank=True)),
        "since": ("created_at__gte", serializers.DateTimeField()),
        "until": ("created_at__lt", serializers.DateTimeField()),
    }


class UsageReportView(APIView):
    """The usage report: ``period`` (7d) or ``start`` and ``end``, grouped ``by`` (day), of one ``tenant``, ``key``,
    ``model`` or ``provider``. Costs are nano-dollars, times microseconds; what is asked for is widened to whole hours."""

    queryset = Usage.objects.none()  # whose permission it needs

    def get(self, request: Request) -> Response:
        form = ReportForm(request.query_params)
        if unknown := request.query_params.keys() - form.fields.keys():
            known = ", ".join(form.fields)
            raise exceptions.ValidationError(
                {name: [f"There is no such parameter. Known: {known}."] for name in unknown}
            )
        if not form.is_valid():
            raise exceptions.ValidationError(
                {name: [str(word) for word in words] for name, words in form.errors.items()}
            )
        query = form.query()
        start, end = reports.whole_hours(query.start, query.end)
        rows = [asdict(row) for row in reports.report(start, end, query.by, query.filters)]
        return Response({"start": start, "end": end, "by": query.by, "rows": rows})
