"""What routes and all that hangs on them look like in the REST API: other objects are named, not numbered.

``manage.py apply`` validates with these, too.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from providers.models import Provider
from providers.serializers import NO_REFERENCE, Cleaned
from routing.hook_choice import classes, secret_options
from routing.models import Alias, Defaults, Hook, Rewrite, Route, Target
from tenants.models import Tenant


class RouteSerializer(Cleaned):
    class Meta:
        model = Route
        validators = ()
        read_only_fields = ("id", "created_at")
        fields = (
            *("id", "name", "title", "enabled", "strategy", "sticky_by"),
            *("deadline", "connect_timeout", "first_byte_timeout", "idle_timeout", "keep_alive"),
            *("reply_model", "allowed_fields", "loss", "created_at"),
        )


class TargetSerializer(Cleaned):
    route = serializers.SlugRelatedField(slug_field="name", queryset=Route.objects.all())
    provider = serializers.SlugRelatedField(slug_field="name", queryset=Provider.objects.all())

    class Meta:
        model = Target
        validators = ()
        read_only_fields = ("id",)
        fields = (
            *("id", "route", "provider", "model", "api", "max_tokens", "weight", "priority"),
            *("conditions", "fallback_for", "enabled"),
        )


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


class HookSerializer(Cleaned):
    """Secret options go in and never come out: ``********`` stands for one that is stored, and keeps it."""

    tenant = serializers.SlugRelatedField(
        slug_field="name", queryset=Tenant.objects.all(), required=False, allow_null=True
    )
    route = serializers.SlugRelatedField(
        slug_field="name", queryset=Route.objects.all(), required=False, allow_null=True
    )

    class Meta:
        model = Hook
        validators = ()
        read_only_fields = ("id",)
        fields = (*("id", "name", "title", "options", "tenant", "route", "order", "on_failure", "seconds", "enabled"),)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        name = attrs.get("name", getattr(self.instance, "name", ""))
        options, hook = attrs.get("options"), classes().get(name)
        given: dict[str, Any] = options if isinstance(options, dict) else {}
        for secret in secret_options(hook) if hook is not None else ():
            if str(given.get(secret)).startswith("env:"):
                raise serializers.ValidationError({"options": [f"{secret}: {NO_REFERENCE}"]})
        return super().validate(attrs)


class DefaultsSerializer(Cleaned):
    provider = serializers.SlugRelatedField(
        slug_field="name", queryset=Provider.objects.all(), required=False, allow_null=True
    )

    class Meta:
        model = Defaults
        validators = ()
        fields = ("provider", "model")
