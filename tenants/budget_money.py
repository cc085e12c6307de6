"""Dollars as people type them, exactly, and as forms and the API show them again. No floats."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.figures import dollars
from tenants.leases import MOST

PLACES = 9
NANO = 10**PLACES
AMOUNT = re.compile(r"(-?)([0-9]*)(?:\.([0-9]*))?")
WRITTEN = "Write dollars like 250 or 0.05: digits, and at most 9 of them after the point."


def read_dollars(text: str) -> int:
    """Nano-dollars. Commas between thousands and a dollar sign are let through. Raises ValueError, in words for people."""
    plain = text.strip().removeprefix("$").strip()
    if "," in plain:
        if not re.fullmatch(r"-?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?", plain):
            raise ValueError(WRITTEN)  # 1,5 may mean 1.5: nobody guesses about money
        plain = plain.replace(",", "")
    found = AMOUNT.fullmatch(plain)
    if found is None or not (found[2] or found[3]):
        raise ValueError(WRITTEN)
    rest = (found[3] or "").rstrip("0")
    if len(rest) > PLACES:
        raise ValueError(f"A nano-dollar is the least there is: at most {PLACES} digits after the point.")
    if len(found[2].lstrip("0")) > len(str(MOST // NANO)):
        raise ValueError(_too_much())
    nano: int = int(found[2] or 0) * NANO + int(rest.ljust(PLACES, "0"))
    if found[1] and nano:
        raise ValueError("No less than nothing: an amount is 0 or more.")
    if nano > MOST:
        raise ValueError(_too_much())
    return nano


def write_dollars(nano: int) -> str:
    """What ``read_dollars`` reads as the same: without a sign or commas, with two digits after the point or more."""
    return dollars(nano).replace("$", "").replace(",", "")


def _too_much() -> str:
    return f"That is too much: at most ${MOST // NANO:,}."


class DollarsField(forms.CharField):
    """Nano-dollars, typed and shown as dollars."""

    def __init__(self, **kwargs: Any) -> None:
        for unused in ("max_length", "min_value", "max_value"):
            kwargs.pop(unused, None)
        widget = UnfoldAdminTextInputWidget({"inputmode": "decimal", "placeholder": "0.00", "autocomplete": "off"})
        super().__init__(**{"max_length": 60, **kwargs, "widget": widget})

    def prepare_value(self, value: Any) -> Any:
        return write_dollars(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if text in self.empty_values:
            return None
        try:
            return read_dollars(str(text))
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def run_validators(self, value: Any) -> None:
        """What text must be has been checked as it was read."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True
