"""What budgets and their increases look like in the REST API and in files for ``manage.py apply``. Amounts are US dollars
as text, exact."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from rest_framework import serializers

from tenants.budget_figures import Figures, figures
from tenants.budget_forms import check_raise, check_until
from tenants.budget_money import read_dollars, write_dollars
from tenants.budget_rows import Budget
from tenants.lease_rows import LeaseIncrease
from tenants.models import ApiKey, Project, Tenant
from tenants.sealed import Unreadable
from tenants.serializers import Cleaned

PARTS: dict[str, Any] = {"project": Project, "key": ApiKey}


class Dollars(serializers.CharField):
    """Nano-dollars as dollars. Text, since a JSON number may have lost digits before anyone could see them."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, str | int):
            raise serializers.ValidationError('Write dollars as text, such as "12.50", so that they are exact.')
        try:
            return read_dollars(str(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None

    def to_representation(self, value: Any) -> str:
        return write_dollars(value)


class Name(serializers.CharField):
    """A part of the same tenant, by its name."""

    def to_representation(self, value: Any) -> str:
        return str(value.name)


class BudgetSerializer(Cleaned):
    """``now`` is the window of now. ``secret`` signs webhooks: made by the server unless given, and told once, in the
    answer that makes it."""

    tenant = serializers.SlugRelatedField(slug_field="name", queryset=Tenant.objects.all())
    amount = Dollars()
    project = Name(required=False, allow_null=True)
    key = Name(required=False, allow_null=True)
    secret = serializers.CharField(write_only=True, required=False, max_length=200)
    plain = ""

    class Meta:
        model = Budget
        validators = ()
        read_only_fields = ("id", "created_at")
        fields = (
            *("id", "tenant", "name", "enabled", "amount", "hard", "of", "project", "key", "tag", "end_user"),
            *("period", "zone", "first_day", "begins_at", "ends_at"),
            *("thresholds", "emails", "webhook", "secret", "created_at"),
        )

    def validate_secret(self, plain: str) -> str:
        try:
            size = len(base64.b64decode(plain.removeprefix("whsec_"), validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if not plain.startswith("whsec_") or not 24 <= size <= 64:
            raise serializers.ValidationError("A secret is whsec_ and base64 of 24 to 64 bytes.")
        return plain

    def fill(self, attrs: dict[str, Any]) -> None:
        self.plain = attrs.pop("secret", "")
        parts = {name: attrs.pop(name) for name in PARTS if name in attrs}
        super().fill(attrs)
        for name, text in parts.items():
            setattr(self.row, name, self._part(name, text) if text else None)
        if self.plain and self.row.pk and not _holds(self.row, self.plain):
            self.row.set_secret(self.plain)

    def _part(self, name: str, text: str) -> Any:
        found = PARTS[name].objects.filter(tenant_id=self.row.tenant_id, name=text).first()
        if found is None:
            raise serializers.ValidationError({name: [f"{self.row.tenant.name} has no {name} {text}."]})
        return found

    def write(self) -> Any:
        with transaction.atomic():
            budget = super().write()
            if self.plain and not budget.webhook_secret:
                budget.set_secret(self.plain)
                budget.save(update_fields=("webhook_secret",))
            elif budget.webhook and not budget.webhook_secret:
                budget.issued = budget.issue_secret()
                budget.save(update_fields=("webhook_secret",))
        return budget

    def to_representation(self, instance: Any) -> dict[str, Any]:
        now = getattr(instance, "now", None) or figures([instance])[instance.pk]
        issued = getattr(instance, "issued", "")
        shown = {**super().to_representation(instance), "now": told(instance, now)}
        return shown | ({"secret": issued} if issued else {})


class IncreaseSerializer(Cleaned):
    """More, for a while. ``context`` has its ``budget``."""

    amount = Dollars()
    until = serializers.DateTimeField(source="ends_at")

    class Meta:
        model = LeaseIncrease
        validators = ()
        read_only_fields = ("id", "begins_at", "made_by")
        fields = ("id", "amount", "begins_at", "until", "reason", "made_by")

    def fill(self, attrs: dict[str, Any]) -> None:
        super().fill(attrs)
        changed = self.instance is None or any(getattr(self.instance, name) != attrs[name] for name in attrs)
        try:
            if changed and "amount" in attrs:
                check_raise(self.context["budget"], self.row.amount, self.row.pk)
        except ValidationError as error:
            raise serializers.ValidationError({"amount": error.messages}) from None
        try:
            if changed and "ends_at" in attrs:
                check_until(self.row.ends_at)
        except ValidationError as error:
            raise serializers.ValidationError({"until": error.messages}) from None

    def write(self) -> Any:
        with transaction.atomic():
            made = super().write()
            self.context["budget"].save(update_fields=("changed_revision",))  # workers look again
        return made


def told(budget: Budget, now: Figures) -> dict[str, Any]:
    """Where each end user is counted alone, ``left`` and ``percent`` are of who spent most."""
    renews = budget.windows().renews_at(now.at)
    return {
        "spent": write_dollars(now.spent),
        "held": write_dollars(now.held),
        "left": write_dollars(max(0, now.left)),
        "increase": write_dollars(now.increase),
        "percent": now.percent,
        "end_users": now.users,
        "period_start": _time(now.window.start if now.window else None),
        "renews_at": _time(renews),
    }


def _time(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _holds(budget: Budget, plain: str) -> bool:
    try:
        return budget.secret == plain
    except Unreadable:
        return False
