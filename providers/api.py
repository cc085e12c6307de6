"""REST: providers, their credentials and their models."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

from rest_framework import serializers, viewsets

from providers.models import Credential, Provider, UpstreamModel
from providers.serializers import CredentialSerializer, ProviderSerializer, UpstreamModelSerializer

Filters: TypeAlias = dict[str, tuple[str, serializers.Field[Any, Any, Any, Any]]]


class ProviderViewSet(viewsets.ModelViewSet[Provider]):
    """Who is called. Changing scheme, host or port of the address deletes the credentials."""

    queryset = Provider.objects.all()
    serializer_class = ProviderSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    filters: ClassVar[Filters] = {
        "kind": ("kind", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
        "breaker": ("breaker", serializers.CharField(allow_blank=True)),
    }


class CredentialViewSet(viewsets.ModelViewSet[Credential]):
    """The secrets that a provider accepts; they go in and never come out."""

    queryset = Credential.objects.select_related("provider")
    serializer_class = CredentialSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "provider": ("provider__name", serializers.CharField()),
        "enabled": ("enabled", serializers.BooleanField()),
    }


class UpstreamModelViewSet(viewsets.ModelViewSet[UpstreamModel]):
    """The models that providers list, and what the operator says that they can do. One that is deleted comes back, without
    abilities, when its provider lists it again."""

    queryset = UpstreamModel.objects.select_related("provider")
    serializer_class = UpstreamModelSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "provider": ("provider__name", serializers.CharField()),
        "name": ("name", serializers.CharField()),
    }
