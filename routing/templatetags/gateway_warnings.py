"""``warnings_of``: what is dangerous about the object that a page shows."""

from __future__ import annotations

from typing import Any

from django import template

from routing.warnings import Danger, warnings

register = template.Library()


@register.simple_tag
def warnings_of(page: Any) -> list[Danger]:
    return warnings(page)
