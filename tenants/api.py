"""REST: tenants, their keys, and what they spent."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any, ClassVar, TypeAlias

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import exceptions, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants import bulk, reports
from tenants.models import ApiKey, Project, Tenant, Usage
from tenants.report_form import ReportForm
from tenants.serializers import ApiKeySerializer, ProjectSerializer, TenantSerializer, UsageSerializer
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


class ProjectViewSet(viewsets.ModelViewSet[Project]):
    """Parts of tenants. Deleting one deletes its keys; usage rows stay."""

    queryset = Project.objects.select_related("tenant")
    serializer_class = ProjectSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "tenant": ("tenant__name", serializers.CharField()),
        "name": ("name", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
    }


class RotateSerializer(serializers.Serializer[Any]):
    overlap_seconds = serializers.IntegerField(default=0, min_value=0, max_value=30 * 86_400)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := data.keys() - self.fields.keys()):
            raise serializers.ValidationError({str(name): ["There is no such field."] for name in unknown})
        return super().to_internal_value(data)


class ApiKeyViewSet(viewsets.ModelViewSet[ApiKey]):
    """Clients' keys. A new key stands in the answer that makes it, and nowhere else."""

    queryset = ApiKey.objects.select_related("tenant", "project")
    serializer_class = ApiKeySerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "tenant": ("tenant__name", serializers.CharField()),
        "project": ("project__name", serializers.CharField()),
        "prefix": ("prefix", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
    }

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def rotate(self, request: Request, pk: str = "") -> Response:
        """Replace the key by a new one, told in this answer only. The old one is refused within a second, or accepted for
        ``overlap_seconds`` more."""
        key = self.get_object()
        asked = RotateSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        seconds = asked.validated_data["overlap_seconds"]
        plain = key.issue(timezone.now() + timedelta(seconds=seconds) if seconds else None)
        key.save()
        key.issued = plain
        return Response(self.get_serializer(key).data)

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def end_previous(self, request: Request, pk: str = "") -> Response:
        """Refuse the key before the last rotation within a second."""
        key = self.get_object()
        key.end_previous()
        key.save()
        return Response(self.get_serializer(key).data)

    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Issue all keys of the list ``keys``, or none. Each stands in this answer, and nowhere else."""
        given = request.data.get("keys") if isinstance(request.data, dict) else None
        if not isinstance(given, list) or set(request.data) != {"keys"}:
            raise exceptions.ValidationError({"keys": ["Give a list of keys, and nothing else."]})
        if wrong := [n for n, each in enumerate(given) if not isinstance(each, dict)]:
            raise exceptions.ValidationError({f"keys[{wrong[0]}]": ["Give a mapping of fields to values."]})
        try:
            rows = bulk.issue(enumerate(given))
        except bulk.Refused as refused:
            raise exceptions.ValidationError(_by_field(refused)) from None
        return Response({"keys": self.get_serializer(rows, many=True).data}, status=201)


def _by_field(refused: bulk.Refused) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for place, name, text in refused.problems:
        path = f"keys[{place}]" + (f".{name}" if name else "")
        found.setdefault(path if name else "keys", []).append(text)
    return found


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
        "project_id": ("project_id", serializers.IntegerField()),
        "key_id": ("key_id", serializers.IntegerField()),
        "end_user": ("end_user", serializers.CharField()),
        "interrupted": ("interrupted", serializers.BooleanField()),
        "bound_exceeded": ("bound_exceeded", serializers.BooleanField()),
        "without_price": ("cost__isnull", serializers.BooleanField()),
        "provider_id": ("provider_id", serializers.IntegerField()),
        "route": ("route", serializers.CharField()),
        "error_kind": ("error_kind", serializers.CharField(allow_blank=True)),
        "since": ("created_at__gte", serializers.DateTimeField()),
        "until": ("created_at__lt", serializers.DateTimeField()),
    }

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = super().filter_queryset(queryset)
        # The index has only rows with an end user, and SQLite uses it only where that is said.
        return found.exclude(end_user="") if self.request.query_params.get("end_user") else found


class UsageReportView(APIView):
    """The usage report: ``period`` (7d) or ``start`` and ``end``, grouped ``by`` (day), of one ``tenant``, ``project``,
    ``key``, ``model``, ``provider`` or ``tag``. Costs are nano-dollars, times microseconds; what is asked for is widened
    to whole hours."""

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
