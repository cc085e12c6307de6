"""Forms of the admin: APIs as check boxes, headers as lines, JSON on a line, secrets that go in and never come out."""

from __future__ import annotations

from typing import Any

import orjson
from django import forms
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from providers.dialects.lacks import LACKS
from providers.models import Credential, UpstreamModel
from providers.presets import api_choices


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a JSON field as those of a field that knows no JSON."""
    return {name: value for name, value in kwargs.items() if name not in ("encoder", "decoder", "show_hidden_initial")}


class ApisField(forms.MultipleChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=api_choices, **_plain(kwargs))


class LacksField(forms.MultipleChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=list(LACKS.items()), **_plain(kwargs))


class HeadersWidget(UnfoldAdminTextareaWidget):  # type: ignore[misc]
    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"rows": 3, "spellcheck": "false", "placeholder": "name: value", **(attrs or {})})

    def format_value(self, value: Any) -> str:
        return (
            "\n".join(f"{name}: {text}" for name, text in value.items())
            if isinstance(value, dict)
            else str(value or "")
        )


class DictField(forms.Field):
    """A dict that is written as text: what it says counts, not how it is written."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or {}) != self.to_python(data))
        except forms.ValidationError:
            return True


class HeadersField(DictField):
    """Headers as lines ``name: value``, as a dict."""

    widget = HeadersWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{
                **_plain(kwargs),
                "help_text": "Headers added to every call, one a line as name: value. Not for keys: those belong to a credential, where they are encrypted.",
            }
        )

    def to_python(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in filter(None, map(str.strip, (value or "").splitlines())):
            name, colon, text = line.partition(":")
            if not colon or not name.strip():
                raise forms.ValidationError(f"Write each header as name: value, not {line!r}.")
            if name.strip().lower() in map(str.lower, found):
                raise forms.ValidationError(f"The header {name.strip()} stands there twice.")
            found[name.strip()] = text.strip()
        return found


class ObjectWidget(UnfoldAdminTextareaWidget):  # type: ignore[misc]
    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"rows": 1, "spellcheck": "false", "placeholder": "{…}", **(attrs or {})})

    def format_value(self, value: Any) -> str:
        return orjson.dumps(value).decode() if value and not isinstance(value, str) else value or ""


class ObjectField(DictField):
    """A JSON object, typed as it is; nothing typed is an empty one."""

    widget = ObjectWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**_plain(kwargs))

    def to_python(self, value: Any) -> dict[str, Any]:
        try:
            found = orjson.loads(value) if value and value.strip() else {}
        except ValueError:
            raise forms.ValidationError(
                'This is not JSON. Names and texts stand in double quotes: {"name": "value"}.'
            ) from None
        if not isinstance(found, dict):
            raise forms.ValidationError('Give an object: {"name": "value"}.')
        if b"\\u0000" in orjson.dumps(found):  # PostgreSQL stores no NUL
            raise forms.ValidationError("Null characters are not allowed.")
        return found


class UpstreamModelForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = UpstreamModel
        fields = ("provider", "name", "abilities")
        field_classes = {"abilities": ObjectField}
        widgets = {"abilities": ObjectWidget({"rows": 2})}


class ProviderForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        field_classes = {"apis": ApisField, "lacks": LacksField, "extra_headers": HeadersField}
        widgets = {
            "apis": UnfoldAdminCheckboxSelectMultipleWidget,
            "lacks": UnfoldAdminCheckboxSelectMultipleWidget,
            "extra_headers": HeadersWidget,
        }


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    secret = forms.CharField(
        required=False,
        max_length=10_000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="The provider's key. Stored encrypted and never shown again. Leave empty to keep the one that is stored.",
    )

    class Meta:
        model = Credential
        fields = ("name", "weight", "enabled")

    def clean_secret(self) -> str:
        plain = str(self.cleaned_data["secret"])
        if not plain and not self.instance.sealed:
            raise forms.ValidationError("Give the key that the provider issued.")
        if not plain.isprintable() or not plain.isascii():
            raise forms.ValidationError(
                "A key is printable ASCII: this one holds something else, perhaps a line break."
            )
        return plain

    def save(self, commit: bool = True) -> Credential:
        if self.cleaned_data["secret"]:
            self.instance.secret = self.cleaned_data["secret"]
        saved: Credential = super().save(commit)
        return saved


class CredentialFormSet(PaginationInlineFormSet):  # type: ignore[misc]
    def save_existing(self, form: CredentialForm, obj: Credential, commit: bool = True) -> Credential:
        """Save a row that was there, unless a change of the provider's address has just deleted it:
        then it comes back only with a secret that was typed in anew, never with the one that is stored."""
        if Credential.objects.filter(pk=obj.pk).exists():
            saved: Credential = super().save_existing(form, obj, commit)
            return saved
        if form.cleaned_data["secret"]:
            obj.pk = None
            obj._state.adding = True
            return form.save(commit)
        return obj
