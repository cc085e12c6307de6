"""What another catalogue of prices does to what was used: the requests of the last days, by the one and by the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.db.models import Count

from providers.upstream import Upstream
from routing.load_prices import book, in_use
from tenants import price_rows
from tenants.models import Usage
from tenants.partitions import first_id
from tenants.price_table import Override
from tenants.price_usage import cost_of, ratable
from tenants.pricing import DAY
from tenants.units import BadUnits

MOST_ROWS = 100_000
Model = tuple[int, str, str]  # provider's id, its name, its name of the model


@dataclass(slots=True)
class Effect:
    """``before`` and ``after`` are nano-dollars of ``counted`` of ``requests``."""

    provider: str
    model: str
    requests: int
    version_before: str = ""
    version_after: str = ""
    counted: int = 0
    before: int = 0
    after: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0


class Catalogues:
    """The operator's prices over one catalogue's, for ``upstreams``. Raises BadPrice, OSError."""

    def __init__(self, path: Path, upstreams: Iterable[Upstream], overrides: Iterable[Override]) -> None:
        text, upstreams = path.read_bytes(), list(upstreams)
        found = price_rows.read(text, in_use(price_rows.sellers(text), upstreams))
        self.release = found.source
        self.book = book(found.vendors, overrides, upstreams)

    def version(self, model: Model, at: float) -> str:
        found = self.book.find(*model, at)
        return found.version if found is not None else ""

    def cost(self, row: Usage) -> int | None:
        price = self.book.find(row.provider_id, row.provider, row.upstream_model, row.created_at.timestamp())
        return cost_of(row, price) if price is not None else None


def used(since: datetime) -> dict[Model, int]:
    """All models that were used since then, with how many requests they had."""
    rows = Usage.objects.filter(id__gte=first_id(since), kind="charge").exclude(upstream_model="").order_by()
    found = rows.values_list("provider_id", "provider", "upstream_model").annotate(count=Count("id"))
    return {(provider_id, provider, model): count for provider_id, provider, model, count in found}


def effects(before: Catalogues, after: Catalogues, start: datetime, end: datetime) -> tuple[list[Effect], bool]:
    """Of each model whose price is another one, the greatest difference first; and whether all of their requests were
    counted. A version that ends later, and is the same otherwise, is no other price."""
    moments = [start.timestamp() + day * DAY for day in range((end - start) // timedelta(days=1) + 1)]
    found: dict[Model, Effect] = {}
    for model, count in used(start).items():
        pairs = [(before.version(model, at), after.version(model, at)) for at in moments]
        other = [pair for pair in pairs if pair[0] != pair[1]]
        if other:
            found[model] = Effect(model[1], model[2], count, *other[-1])
    complete = _count(found, before, after, start)
    return sorted(
        found.values(), key=lambda each: (-abs(each.after - each.before), each.provider, each.model)
    ), complete


def _count(found: dict[Model, Effect], before: Catalogues, after: Catalogues, start: datetime) -> bool:
    if not found:
        return True
    rows = Usage.objects.filter(
        id__gte=first_id(start),
        kind="charge",
        provider_id__in={provider_id for provider_id, _, _ in found},
        upstream_model__in={model for _, _, model in found},
    )
    rows = rows.order_by("-id").defer("decision", "tags", "charged_to")
    for number, row in enumerate(rows[: MOST_ROWS + 1].iterator(2000), 1):
        if number > MOST_ROWS:
            return False
        effect = found.get((row.provider_id, row.provider, row.upstream_model))
        if effect is not None and (ratable(row) or row.cost is None):
            _add(effect, row, before, after)
    return True


def _add(effect: Effect, row: Usage, before: Catalogues, after: Catalogues) -> None:
    try:
        one, other = before.cost(row), after.cost(row)
    except BadUnits:
        return
    effect.counted += 1
    effect.before += one or 0
    effect.after += other or 0
    effect.unpriced_before += one is None
    effect.unpriced_after += other is None
