"""What a tenant, a project and a key may each say of what they allow; the tightest holds: see ``tenants.terms``."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

SLUG = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]{0,62}\Z", "Use 1 to 63 of: a-z 0-9 . _ - and start with a letter or digit."
)
TAG = RegexValidator(r"^[A-Za-z0-9_.:/-]{1,64}\Z", "A tag has 1 to 64 of: A-Z a-z 0-9 _ . : / -")
TAGS = 8
MOST_TOKENS = 10**9
COUNT = [MinValueValidator(1), MaxValueValidator(MOST_TOKENS)]


def validate_names(value: Any) -> None:
    """A list of names or patterns; ``*`` stands only at the end of one."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValidationError("Give a list of names.")
    for name in value:
        if "*" in name[:-1]:
            raise ValidationError(f"{name}: * may stand only at the end.")


def validate_networks(value: Any) -> None:
    """A list of addresses and networks."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValidationError("Give a list of networks, such as 10.0.0.0/8.")
    for text in value:
        try:
            ip_network(text)
        except ValueError:
            raise ValidationError(f"{text}: no address or network, such as 10.0.0.0/8 or 2001:db8::/32.") from None


def validate_tags(value: Any) -> None:
    """At most 8 tags of 64 characters."""
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise ValidationError("Give a list of tags.")
    if len(value) > TAGS:
        raise ValidationError(f"At most {TAGS} tags.")
    for tag in value:
        try:
            TAG(tag)
        except ValidationError:  # whose code the field would answer in its own words, of JSON
            raise ValidationError(f"{tag[:64]}: {TAG.message}") from None


class Level(models.Model):
    """What is empty says nothing. Numbers that are set become counters of ``tenants.lease_rows``, by ``tenants.counting``."""

    allowed_models = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_names],
        help_text="Public model names, or patterns such as gpt-*, that may be called. Empty: all.",
    )
    denied_models = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_names],
        help_text="Public model names, or patterns, that may not be called, whatever else says that they may.",
    )
    allowed_providers = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_names],
        help_text="Names of the providers that requests may go to. Empty: all.",
    )
    networks = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text="Networks that requests may come from, such as 10.0.0.0/8; behind proxies see GATEWAY_TRUSTED_PROXIES. Empty: all.",
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNT, help_text="Requests admitted in any 60 seconds. Empty: no limit."
    )
    requests_per_day = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNT, help_text="Requests admitted in any 24 hours. Empty: no limit."
    )
    tokens_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=COUNT,
        help_text="Tokens, input and output, of the requests admitted in any 60 seconds: each counts with the most that it may use until it has ended. Empty: no limit.",
    )
    concurrent_requests = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNT, help_text="Requests at once. Empty: no limit."
    )
    max_input_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=COUNT,
        help_text="The longest input of one request, counted as a token for each byte of its text. Empty: any.",
    )
    max_output_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=COUNT,
        help_text="The longest output of one request: more is refused, and where a request says nothing this is put in. Empty: any.",
    )
    default_tags = models.JSONField(
        default=list, blank=True, validators=[validate_tags], help_text="Tags that every request gets."
    )
    log_bodies = models.BooleanField(
        default=True, help_text="Off: no hook stores what these requests and their replies say."
    )

    class Meta:
        abstract = True
