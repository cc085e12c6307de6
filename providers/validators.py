"""The rules of ``providers.rules`` as Django's validators. Admin and REST API both come through here, by full_clean."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError

from providers import rules
from providers.abilities import read_ability
from providers.addresses import Network
from providers.chat import BadRequest
from providers.rules import PROTECTED_HEADERS

__all__ = ["PROTECTED_HEADERS"]


def allowed_addresses() -> tuple[Network, ...]:
    """The networks that the operator lets through although they are link-local or metadata services."""
    return tuple(ip_network(str(text), strict=False) for text in settings.GATEWAY_ALLOWED_UPSTREAM_ADDRESSES)


def _check(rule: Callable[..., None], *values: Any) -> None:
    try:
        rule(*values)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def validate_base_url(value: str) -> None:
    _check(rules.check_base_url, value, allowed_addresses())


def validate_proxy_url(value: str) -> None:
    _check(rules.check_proxy_url, value)


def validate_api_version(value: str) -> None:
    _check(rules.check_api_version, value)


def validate_lacks(value: Any) -> None:
    _check(rules.check_lacks, value)


def validate_abilities(value: Any) -> None:
    try:
        read_ability(value)
    except BadRequest as error:
        raise ValidationError(f"{error.field} {error.message}.") from None


def validate_apis(value: Any) -> None:
    _check(rules.check_apis, value)


def validate_headers(value: Any) -> None:
    _check(rules.check_headers, value)


def validate_ca_file(value: str) -> None:
    _check(rules.check_ca_file, value)


def validate_strip_path(value: str) -> None:
    _check(rules.check_strip_path, value)


def validate_seconds(value: float) -> None:
    _check(rules.check_seconds, value)
