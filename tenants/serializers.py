"""What tenants, keys and usage rows look like in the REST API. ``manage.py apply`` validates with these, too."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from rest_framework import serializers

from tenants import keys
from tenants.models import ApiKey, Project, Tenant, Usage

KEY = RegexValidator(r"^[\x21-\x7e]{20,200}\Z", "A key has 20 to 200 printable ASCII characters and no spaces.")


class Cleaned(serializers.ModelSerializer[Any]):
    """Validates by the model's own rules, so that REST and apply refuse what the admin's forms refuse, in the same words.

    ``validate`` leaves the checked row in ``row``, and saving saves that very row. Two entries of ``context`` serve whoever
    validates many rows: ``preset`` holds values that are no fields here, ``unique`` False leaves uniqueness to the caller.
    A test holds the copies of this class in providers and tenants equal, for neither may import the other.
    """

    row: Any = None

    def build_standard_field(self, field_name: str, model_field: models.Field[Any, Any]) -> Any:
        field, kwargs = super().build_standard_field(field_name, model_field)
        kwargs["validators"] = []  # the model runs them
        if isinstance(model_field, models.JSONField) and model_field.has_default():
            kwargs["validators"] = [partial(self.same_type, type(model_field.get_default()))]
        return field, kwargs

    @staticmethod
    def same_type(expected: type, value: Any) -> None:
        """Full cleaning lets any empty value of an optional field pass, so "" and {} where a list is meant."""
        if not isinstance(value, expected):
            raise serializers.ValidationError(
                "Give a list." if expected is list else "Give a mapping of names to values."
            )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := data.keys() - self.fields.keys()):
            raise serializers.ValidationError(
                {str(name): ["There is no such field."] for name in sorted(unknown, key=str)}
            )
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        model: Any = self.Meta.model
        self.row = model(**self.context.get("preset", {})) if self.instance is None else copy.copy(self.instance)
        self.fill(attrs)
        hidden = {field.name for field in self.row._meta.fields if field.is_relation or not field.editable}
        try:
            self.row.full_clean(exclude=hidden, validate_unique=False, validate_constraints=False)
            if self.context.get("unique", True):
                self.row.validate_unique()
                self.row.validate_constraints()
        except ValidationError as error:
            detail = serializers.as_serializer_error(error)
            if "__all__" in detail:
                detail["non_field_errors"] = detail.pop("__all__")
            raise serializers.ValidationError(detail) from None
        return attrs

    def fill(self, attrs: dict[str, Any]) -> None:
        for name, value in attrs.items():
            setattr(self.row, name, value)

    def write(self) -> Any:
        self.row.save()
        return self.row

    def create(self, validated_data: dict[str, Any]) -> Any:
        with transaction.atomic():
            return self.write()

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        return self.create(validated_data)


LEVEL = (
    *("allowed_models", "denied_models", "allowed_providers", "networks"),
    *("requests_per_minute", "requests_per_day", "tokens_per_minute", "concurrent_requests"),
    *("max_input_tokens", "max_output_tokens", "default_tags", "log_bodies"),
)
"""What tenants, projects and keys may each say."""


class TenantSerializer(Cleaned):
    class Meta:
        model = Tenant
        validators = ()
        read_only_fields = ("id", "created_at")
        fields = (
            *("id", "name", "title", "enabled", "anonymous"),
            *("queue_weight", "store_responses", "response_days", "response_bytes", "created_at"),
            *LEVEL,
            *("unpriced", "interrupted", "tags", "user_requests_per_minute", "user_requests_per_day"),
            *("user_tokens_per_minute", "user_concurrent_requests"),
        )


class ProjectSerializer(Cleaned):
    tenant = serializers.SlugRelatedField(slug_field="name", queryset=Tenant.objects.all())

    class Meta:
        model = Project
        validators = ()
        read_only_fields = ("id", "created_at")
        fields = ("id", "tenant", "name", "title", "enabled", *LEVEL, "created_at")


class ProjectField(serializers.CharField):
    """The name of one of the tenant's projects; null or "" for none."""

    def to_representation(self, value: Any) -> str:
        return str(value.name)


class ApiKeySerializer(Cleaned):
    """``key`` is told once, in the answer that makes it. A key that exists elsewhere may be given instead, and is never told.

    ``context["taken"]`` may say which digests are in use, where many keys are validated.
    """

    tenant = serializers.SlugRelatedField(slug_field="name", queryset=Tenant.objects.all())
    known: dict[tuple[int, str], Project]
    project = ProjectField(required=False, allow_null=True, allow_blank=True)
    key = serializers.CharField(write_only=True, required=False, validators=[KEY])

    class Meta:
        model = ApiKey
        validators = ()
        read_only_fields = ("id", "prefix", "previous_prefix", "previous_until", "created_at")
        fields = (
            *(
                "id",
                "tenant",
                "project",
                "name",
                "prefix",
                "previous_prefix",
                "previous_until",
                "enabled",
                "expires_at",
            ),
            *(*LEVEL, "scopes", "may_choose_provider", "may_explain", "created_at", "key"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = {}

    def validate_tenant(self, tenant: Tenant) -> Tenant:
        if self.instance is not None and self.instance.tenant_id != tenant.pk:
            raise serializers.ValidationError(
                "A key cannot be moved to another tenant: usage rows refer to it. Make one there."
            )
        return tenant

    def fill(self, attrs: dict[str, Any]) -> None:
        plain = attrs.pop("key", "")
        named = "project" in attrs
        project = attrs.pop("project", None)
        super().fill(attrs)
        if named:
            self.row.project = self._project(project) if project else None
        if plain:
            self._take(plain)
        elif self.instance is None:
            self.row.issued = self.row.issue()

    def _project(self, name: str) -> Project:
        """Remembered, where many keys are validated."""
        known = self.known
        of = (self.row.tenant_id, name)
        if of not in known:
            found = Project.objects.filter(tenant_id=self.row.tenant_id, name=name).first()
            if found is None:
                raise serializers.ValidationError({"project": ["The tenant has no such project."]})
            known[of] = found
        project: Project = known[of]
        return project

    def _take(self, plain: str) -> None:
        digests = [keys.digest(plain, pepper).hex() for pepper in settings.GATEWAY_KEY_PEPPERS]
        if self.row.digest in digests:
            return
        taken = self.context.get("taken")
        if (
            any(digest in taken for digest in digests)
            if taken is not None
            else ApiKey.objects.filter(digest__in=digests).exists()
        ):
            raise serializers.ValidationError({"key": ["This key is in use already."]})
        self.row.set_key(plain)

    def to_representation(self, instance: ApiKey) -> dict[str, Any]:
        issued = getattr(instance, "issued", "")
        return {**super().to_representation(instance), **({"key": issued} if issued else {})}


class UsageSerializer(serializers.ModelSerializer[Usage]):
    """One request, as the ledger wrote it; cost in nano-dollars."""

    class Meta:
        model = Usage
        fields = "__all__"
