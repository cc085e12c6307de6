"""What own prices look like in the REST API and in files for ``manage.py apply``. Amounts are US dollars as text, exact:
for a million tokens, an hour of sound, one picture or request (``tenants.price_figures``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework import serializers

from tenants import price_words
from tenants.models import Price
from tenants.price_figures import BadAmount, amounts
from tenants.serializers import Cleaned


class Told(serializers.JSONField):
    """A tree of rates."""

    def __init__(self, read: Callable[[Any], Any], write: Callable[[Any], Any], **options: Any) -> None:
        super().__init__(**options)
        self.read_tree, self.write_tree = read, write

    def to_internal_value(self, data: Any) -> Any:
        try:
            return self.read_tree(data)
        except BadAmount as error:
            raise serializers.ValidationError(str(error)) from None

    def to_representation(self, value: Any) -> Any:
        return self.write_tree(value)


class PriceSerializer(Cleaned):
    """One version of a price. One that requests were charged by can only be ended."""

    rates = Told(price_words.rates_of, amounts)
    long = Told(price_words.long_of, price_words.tree_of_long, required=False)
    tiers = Told(price_words.tiers_of, price_words.tree_of_tiers, required=False)
    version = serializers.CharField(read_only=True)

    class Meta:
        model = Price
        validators = ()
        read_only_fields = ("id", "version", "created_at")
        fields = (
            *("id", "version", "provider", "kind", "model", "effective_from", "effective_until"),
            *("rates", "long", "beyond", "tiers", "context_window", "note", "created_at"),
        )
