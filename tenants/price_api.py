"""REST: the operator's own prices."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers, viewsets

from tenants.api import Filters
from tenants.models import Price
from tenants.price_serializers import PriceSerializer


class PriceViewSet(viewsets.ModelViewSet[Price]):
    """Versions of prices. To raise one, end the version in force and make another that begins there. Deleting one that
    requests were charged by is refused."""

    queryset = Price.objects.all()
    serializer_class = PriceSerializer
    lookup_value_regex = "[0-9]+"
    filters: ClassVar[Filters] = {
        "provider": ("provider", serializers.CharField(allow_blank=True)),
        "kind": ("kind", serializers.CharField(allow_blank=True)),
        "model": ("model__iexact", serializers.CharField()),
    }
