"""Forms of the admin: conditions of targets, values of rewrites, and lists of names."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from providers.forms import ObjectField, ObjectWidget
from routing.models import Rewrite, Target
from tenants.forms import NamesField, NamesWidget


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        field_classes = {"allowed_fields": NamesField}
        widgets = {"allowed_fields": NamesWidget}


class TargetForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Target
        fields = (
            "provider",
            "model",
            "api",
            "max_tokens",
            "priority",
            "weight",
            "fallback_for",
            "conditions",
            "enabled",
        )
        field_classes = {"conditions": ObjectField}
        widgets = {"conditions": ObjectWidget}


class ValueWidget(UnfoldAdminTextareaWidget):  # type: ignore[misc]
    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"rows": 1, "spellcheck": "false", **(attrs or {})})


class RewriteForm(forms.ModelForm):  # type: ignore[type-arg]
    """A header's value is typed as it is; a body field's value is JSON."""

    written = forms.CharField(
        label="Value",
        required=False,
        widget=ValueWidget,
        help_text='For a header: the text itself. For a body field: JSON, so text stands in quotes: 0.7, true, "high", {"type": "auto"}. Not used by remove.',
    )

    class Meta:
        model = Rewrite
        fields = ("position", "route", "provider", "place", "action", "name", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rewrite = self.instance
        if rewrite.pk and rewrite.action != "remove":
            self.initial["written"] = (
                rewrite.value if rewrite.place == "header" else json.dumps(rewrite.value, ensure_ascii=False)
            )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        text = data.get("written", "")
        try:
            self.instance.value = self._value(text, data.get("place"), data.get("action"))
        except ValueError as error:
            self.add_error("written", str(error))
        return data

    def _value(self, text: str, place: str | None, action: str | None) -> Any:
        if action == "remove":
            return None
        if not text:
            raise ValueError("Give the value to write.")
        if place == "header":
            return text
        try:
            return json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise ValueError('This is not JSON. Text stands in quotes: "high".') from None

    def add_error(self, field: str | None, error: Any) -> None:
        # The model speaks of its own field, which this form writes as another.
        if isinstance(error, forms.ValidationError) and hasattr(error, "error_dict") and "value" in error.error_dict:
            error.error_dict["written"] = error.error_dict.pop("value")
        super().add_error(field, error)


def _refuse(name: str) -> None:
    raise ValueError(name)
