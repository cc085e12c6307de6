"""Forms of the admin: lists of names as lines of text, scopes as check boxes, and what tenants, projects and keys share."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from tenants.terms import SCOPES

SEPARATORS = re.compile(r"[,\s]+")


class NamesWidget(UnfoldAdminTextareaWidget):  # type: ignore[misc]
    """A list of names as lines of text."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"rows": 2, "spellcheck": "false", **(attrs or {})})

    def format_value(self, value: Any) -> str:
        return "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a JSON field as those of a field that knows no JSON."""
    return {name: value for name, value in kwargs.items() if name not in ("encoder", "decoder", "max_length")}


class NamesField(forms.Field):
    """Names separated by commas, spaces or lines, as a list without repetitions. No JSON to get wrong."""

    widget = NamesWidget

    def __init__(self, *, help_text: str = "", **kwargs: Any) -> None:
        super().__init__(help_text=f"{help_text} One a line, or separated by commas.", **_plain(kwargs))

    def to_python(self, value: Any) -> list[str]:
        return list(dict.fromkeys(filter(None, SEPARATORS.split(value or ""))))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class ScopesField(forms.MultipleChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=[(scope, scope) for scope in SCOPES], **_plain(kwargs))


LISTS = ("allowed_models", "denied_models", "allowed_providers", "networks", "default_tags", "tags")


class LevelForm(forms.ModelForm):  # type: ignore[type-arg]
    """The settings that a tenant, a project and a key may each have."""

    class Meta:
        field_classes: dict[str, Any] = dict.fromkeys(LISTS, NamesField)
        widgets: dict[str, Any] = dict.fromkeys(LISTS, NamesWidget)


class ApiKeyForm(LevelForm):
    """A key's settings. Its secret is made by the server and is no field."""

    class Meta(LevelForm.Meta):
        field_classes = LevelForm.Meta.field_classes | {"scopes": ScopesField}
        widgets = LevelForm.Meta.widgets | {"scopes": UnfoldAdminCheckboxSelectMultipleWidget}
