"""REST: routes, targets, aliases, rewrites, hooks and defaults."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import generics, serializers, viewsets

from providers.api import Filters
from routing.models import Alias, Defaults, Hook, Rewrite, Route, Target
from routing.serializers import (
    AliasSerializer,
    DefaultsSerializer,
    HookSerializer,
    RewriteSerializer,
    RouteSerializer,
    TargetSerializer,
)


class RouteViewSet(viewsets.ModelViewSet[Route]):
    """Public model names and patterns. Deleting one deletes its targets and rewrites."""

    queryset = Route.objects.all()
    serializer_class = RouteSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "name": ("name", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
    }


class TargetViewSet(viewsets.ModelViewSet[Target]):
    """Where the requests of a route can go."""

    queryset = Target.objects.select_related("route", "provider")
    serializer_class = TargetSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "route": ("route__name", serializers.CharField()),
        "provider": ("provider__name", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
    }


class AliasViewSet(viewsets.ModelViewSet[Alias]):
    """Other names of models, for all or for one tenant."""

    queryset = Alias.objects.select_related("tenant")
    serializer_class = AliasSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "name": ("name", serializers.CharField()),
        "tenant": ("tenant__name", serializers.CharField()),
    }


class RewriteViewSet(viewsets.ModelViewSet[Rewrite]):
    """Edits of body fields and headers, made after the target is chosen."""

    queryset = Rewrite.objects.select_related("route", "provider")
    serializer_class = RewriteSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "route": ("route__name", serializers.CharField()),
        "provider": ("provider__name", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
    }


class HookViewSet(viewsets.ModelViewSet[Hook]):
    """Classes that see, edit, answer and refuse requests."""

    queryset = Hook.objects.select_related("tenant", "route")
    serializer_class = HookSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "name": ("name", serializers.CharField()),
        "tenant": ("tenant__name", serializers.CharField()),
        "route": ("route__name", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
    }


class DefaultsView(generics.RetrieveUpdateAPIView[Defaults]):
    """What happens to a model that no route names. There is one, always."""

    queryset = Defaults.objects.all()
    serializer_class = DefaultsSerializer

    def get_object(self) -> Defaults:
        return self.get_queryset().select_related("provider").first() or Defaults()
