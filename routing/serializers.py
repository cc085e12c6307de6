"""What routes and all that hangs on them look like in the REST API: other objects are named, not numbered.

``manage.py apply`` validates with these, too.
"""

from __future__ import annotations

from rest_framework import serializers

from providers.models import Provider
from providers.serializers import Cleaned
from routing.models import Alias, Defaults, Rewrite, Route, Target
from tenants.models import Tenant


class RouteSerializer(Cleaned):
    class Meta:
        model = Route
        validators = ()
        read_only_fields = ("id", "created_at")
        fields = ("id", "name", "title", "enabled", "reply_model", "allowed_fields", "loss", "created_at")


class TargetSerializer(Cleaned):
    route = serializers.SlugRelatedField(slug_field="name", queryset=Route.objects.all())
    provider = serializers.SlugRelatedField(slug_field="name", queryset=Provider.objects.all())

    class Meta:
        model = Target
        validators = ()
        read_only_fields = ("id",)
        fields = ("id", "route", "provider", "model", "api", "max_tokens", "weight", "priority", "enabled")


class AliasSerializer(Cleaned):
    tenant = serializers.SlugRelatedField(
        slug_field="name", queryset=Tenant.objects.all(), required=False, allow_null=True
    )

    class Meta:
        model = Alias
        validators = ()
        read_only_fields = ("id",)
        fields = ("id", "name", "model", "tenant")


class RewriteSerializer(Cleaned):
    route = serializers.SlugRelatedField(
        slug_field="name", queryset=Route.objects.all(), required=False, allow_null=True
    )
    provider = serializers.SlugRelatedField(
        slug_field="name", queryset=Provider.objects.all(), required=False, allow_null=True
    )

    class Meta:
        model = Rewrite
        validators = ()
        read_only_fields = ("id",)
        fields = ("id", "position", "route", "provider", "place", "action", "name", "value", "enabled")


class DefaultsSerializer(Cleaned):
    provider = serializers.SlugRelatedField(
        slug_field="name", queryset=Provider.objects.all(), required=False, allow_null=True
    )

    class Meta:
        model = Defaults
        validators = ()
        fields = ("provider", "model")
