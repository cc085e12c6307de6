"""What providers, their credentials and models look like in the REST API. ``manage.py apply`` validates with these, too."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from rest_framework import serializers

from providers.models import Credential, Provider, UpstreamModel

SECRET = RegexValidator(
    r"^[\x20-\x7e]+\Z", "A key is printable ASCII: this one holds something else, perhaps a line break."
)
NO_REFERENCE = "env:NAME is understood in a file for `manage.py apply` only. Give the key itself."


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


class ProviderSerializer(Cleaned):
    """``api_key`` is write-only: it replaces the secret of the credential named default, and an empty one drops it."""

    api_key = serializers.CharField(
        write_only=True, required=False, allow_blank=True, max_length=10_000, validators=[SECRET]
    )
    plain: str | None = None

    class Meta:
        model = Provider
        validators = ()
        read_only_fields = ("id", "address", "api_names", "models_refreshed_at")
        fields = (
            *(
                "id",
                "name",
                "title",
                "kind",
                "enabled",
                "base_url",
                "address",
                "strip_path",
                "apis",
                "api_names",
                "extra_headers",
            ),
            *(
                "connect_timeout",
                "first_byte_timeout",
                "idle_timeout",
                "max_retries",
                "stream_usage",
                "api_version",
                "lacks",
                "proxy_url",
                "ca_file",
            ),
            *("max_concurrent", "max_waiting", "queue_wait"),
            *("breaker", "breaker_ratio", "breaker_requests", "breaker_pause"),
            *("models_refreshed_at", "api_key"),
        )

    def validate_api_key(self, plain: str) -> str:
        return _no_reference(plain)

    def fill(self, attrs: dict[str, Any]) -> None:
        self.plain = attrs.pop("api_key", None)
        super().fill(attrs)

    def write(self) -> Provider:
        provider: Provider = super().write()
        if self.plain is not None and not holds(provider, self.plain):
            _store(provider, self.plain)
        return provider


class CredentialSerializer(Cleaned):
    """``secret`` is write-only. A credential stays with its provider: a key never follows to another address."""

    provider = serializers.SlugRelatedField(slug_field="name", queryset=Provider.objects.all())
    secret = serializers.CharField(write_only=True, max_length=10_000, validators=[SECRET])

    class Meta:
        model = Credential
        validators = ()
        read_only_fields = ("id", "hint")
        fields = ("id", "provider", "name", "weight", "enabled", "hint", "secret")

    def validate_provider(self, provider: Provider) -> Provider:
        if self.instance is not None and self.instance.provider_id != provider.pk:
            raise serializers.ValidationError("A credential cannot be moved to another provider. Add one there.")
        return provider

    def validate_secret(self, plain: str) -> str:
        return _no_reference(plain)

    def fill(self, attrs: dict[str, Any]) -> None:
        plain = attrs.pop("secret", None)
        super().fill(attrs)
        if plain is not None and not opens(self.row, plain):
            self.row.secret = plain


class UpstreamModelSerializer(Cleaned):
    """``abilities`` are the operator's to say; ``details`` are the provider's own, and ``seen_at`` is null for a model
    that it does not list."""

    provider = serializers.SlugRelatedField(slug_field="name", queryset=Provider.objects.all())

    class Meta:
        model = UpstreamModel
        validators = ()
        read_only_fields = ("id", "details", "seen_at")
        fields = ("id", "provider", "name", "abilities", "details", "seen_at")

    def validate_provider(self, provider: Provider) -> Provider:
        self._refuse(self.instance is not None and self.instance.provider_id != provider.pk)
        return provider

    def validate_name(self, name: str) -> str:
        self._refuse(self.instance is not None and self.instance.name != name)
        return name

    def _refuse(self, changed: bool) -> None:
        if changed:
            raise serializers.ValidationError("A model's provider and name cannot be changed. Add another.")


def opens(credential: Credential, plain: str) -> bool:
    """Whether ``plain`` is what is stored."""
    try:
        return bool(credential.sealed) and credential.secret == plain
    except ValueError:
        return False


def holds(provider: Provider, plain: str) -> bool:
    """Whether the provider's default credential is ``plain`` already; an empty one means that there is none."""
    found = provider.credentials.filter(name="default").first()
    return opens(found, plain) if found is not None else not plain


def _store(provider: Provider, plain: str) -> None:
    """As Provider.set_api_key, but a secret that no configured encryption key opens is replaced like any other."""
    found = provider.credentials.filter(name="default").first()
    if not plain:
        if found is not None:
            found.delete()
        return
    credential = found or Credential(provider=provider, name="default")
    credential.secret = plain
    credential.save()


def _no_reference(plain: str) -> str:
    if plain.startswith("env:"):
        raise serializers.ValidationError(NO_REFERENCE)
    return plain
