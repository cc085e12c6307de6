"""Forms of the admin: lists of names as lines of text, and keys."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

SEPARATORS = re.compile(r"[,\s]+")


class NamesWidget(UnfoldAdminTextareaWidget):  # type: ignore[misc]
    """A list of names as lines of text."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"rows": 2, "spellcheck": "false", **(attrs or {})})

    def format_value(self, value: Any) -> str:
        return "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")


class NamesField(forms.Field):
    """Names separated by commas, spaces or lines, as a list without repetitions. No JSON to get wrong."""

    widget = NamesWidget

    def __init__(self, *, help_text: str = "", **kwargs: Any) -> None:
        for unused in ("encoder", "decoder", "max_length"):
            kwargs.pop(unused, None)
        super().__init__(help_text=f"{help_text} One a line, or separated by commas.", **kwargs)

    def to_python(self, value: Any) -> list[str]:
        return list(dict.fromkeys(filter(None, SEPARATORS.split(value or ""))))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A key's settings. Its secret is made by the server and is no field."""

    class Meta:
        field_classes = {"allowed_models": NamesField, "allowed_providers": NamesField}
        widgets = {"allowed_models": NamesWidget, "allowed_providers": NamesWidget}
