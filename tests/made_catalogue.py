"""Catalogues as ``genai-prices`` has them, made up."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from genai_prices import types as catalogue

from tenants.price_catalogue import compile_catalogue
from tenants.price_rows import Catalogue
from tenants.price_table import Listing

Money = catalogue.ModelPrice
By = catalogue.ConditionalPrice


def money(dollars: str | int, **more: str) -> Money:
    return Money(input_mtok=Decimal(dollars), **{name: Decimal(value) for name, value in more.items()})


def model(prices: Any, name: str = "m", match: Any = None, variants: Any = None) -> catalogue.ModelInfo:
    return catalogue.ModelInfo(name, match or catalogue.ClauseEquals(name), prices=prices, price_variants=variants)


def compiled(*models: catalogue.ModelInfo) -> Catalogue:
    return compile_catalogue([catalogue.Provider("v", "V", r"https://v\.test", models=list(models))], "made up")


def listing(*models: catalogue.ModelInfo) -> Listing:
    return compiled(*models).vendors[0].listings[0]


def from_day(day: int, dollars: int) -> catalogue.ConditionalPrice:
    return By(catalogue.StartDateConstraint(date(2026, 1, day)), prices=money(dollars))
