"""REST: budgets and their temporary increases."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import exceptions, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api import Filters
from tenants.budget_figures import figures, increases_of
from tenants.budget_pages import end_early
from tenants.budget_rows import Budget
from tenants.budget_serializers import BudgetSerializer, IncreaseSerializer
from tenants.tokens import ChangePermission


class BudgetViewSet(viewsets.ModelViewSet[Budget]):
    """What may be spent, and what stands of it now. A change of what is counted, or of its periods, counts anew: the running
    period begins with what the ledger has for it. Deleting one keeps its history."""

    queryset = Budget.objects.select_related("tenant", "project", "key")
    serializer_class = BudgetSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "tenant": ("tenant__name", serializers.CharField()),
        "name": ("name", serializers.CharField()),
        "project": ("project__name", serializers.CharField()),
        "of": ("of", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
        "hard": ("hard", serializers.BooleanField()),
    }

    def paginate_queryset(self, queryset: Any) -> Any:
        rows = super().paginate_queryset(queryset)
        if rows is not None:
            found = figures(rows)
            for row in rows:
                row.now = found[row.pk]
        return rows

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def rotate(self, request: Request, pk: str = "") -> Response:
        """Give its webhook another secret, told in this answer only; the one before signs nothing any more."""
        budget: Any = self.get_object()
        budget.issued = budget.issue_secret()
        budget.save(update_fields=("webhook_secret",))
        return Response(self.get_serializer(budget).data)

    @action(detail=True, methods=["get", "post"], permission_classes=[ChangePermission])
    def increases(self, request: Request, pk: str = "") -> Response:
        """All increases, the last first; or another one, made by who asks."""
        budget = self.get_object()
        if request.method != "POST":
            return Response([IncreaseSerializer(row).data for row in increases_of(budget)])
        by = request.user.get_username()[:150]
        context = {"budget": budget, "preset": {"counter": budget.counter, "made_by": by}}
        asked = IncreaseSerializer(data=request.data, context=context)
        asked.is_valid(raise_exception=True)
        asked.save()
        return Response(asked.data, status=201)

    @action(
        detail=True,
        methods=["post"],
        permission_classes=[ChangePermission],
        url_path="increases/(?P<increase>[0-9]{1,18})/end",
    )
    def end(self, request: Request, pk: str = "", increase: str = "") -> Response:
        """End an increase early. What workers hold of it already may still be spent."""
        budget = self.get_object()
        found = next((row for row in increases_of(budget) if row.pk == int(increase)), None)
        if found is None:
            raise exceptions.NotFound
        end_early(budget, found)
        found.refresh_from_db()
        return Response(IncreaseSerializer(found).data)
