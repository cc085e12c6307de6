"""``decision_of``: why a request went where it went. ``state_of``: what this process knows of a provider."""

from __future__ import annotations

from typing import Any

from django import template

from routing import decision_page

register = template.Library()
register.simple_tag(decision_page.of_provider, name="state_of")


@register.simple_tag
def decision_of(row: Any) -> dict[str, Any]:
    return decision_page.of_request(row)
