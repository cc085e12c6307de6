"""The most that a request may use over all targets that it may go to, and the cap that is put into one that asks for none."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from routing import bound_splice
from routing.apis import api_of
from routing.bounds import FLOOR, Bounds, bound, demand_and_text, fitting
from routing.call import Call
from routing.decision import Decision
from routing.errors import GatewayError
from routing.quotes import MOST_REMEMBERED, Quote
from routing.table import Table, Target
from tenants.leases import MONEY, MOST
from tenants.pricing import Price
from tenants.units import BadUnits
from tenants.worst_case import worst_case

DEFAULT_CAP: Final = 4_096
"""What is put in where nobody has said what a model writes at most: nearly all take it."""
MEASURED: Final = frozenset({"tokens", MONEY})
DEFAULT_USES: Final = 5
"""Of each tool that the upstream runs, where nothing bounds them."""


class Candidate(NamedTuple):
    target: Target
    price: Price | None
    api: str
    window: int


class Estimate:
    """``cap`` is what is put in, None where the request has a cap of its own or none is wanted. ``money`` and ``tokens``
    are what to reserve: the most over all candidates; ``unpriced``: one of the targets has no price; ``outputs`` are the most tokens that each target
    writes, by its id."""

    def __init__(self, call: Call, decision: Decision, table: Table) -> None:
        self.call = call
        self.asked, self._text = demand_and_text(call)
        self.table = table
        self.targets = [*decision.targets, *decision.spare] if decision.spare else decision.targets
        self.prices: list[Price | None] = []
        self.unpriced = False
        for target in self.targets:
            price = _price(call, target, table)
            self.prices.append(price)
            if price is None:
                self.unpriced = True
        self._candidates: list[Candidate] | None = None
        self.cap: int | None = None
        self.uses: int | None = None
        self.money = self.tokens = 0
        self.outputs: dict[int, int]  # made by ``require``
        self._given = 0
        self._loose = ""
        self._shrunk = False

    @property
    def candidates(self) -> list[Candidate]:
        if self._candidates is None:
            pairs = zip(self.targets, self.prices, strict=True)
            self._candidates = [_candidate(self.call, target, price, self.table) for target, price in pairs]
        return self._candidates

    def require(self, *, hard: bool, tokens: bool, capped: int | None) -> None:
        """Find bounds; with ``hard`` there must be some. ``tokens``: they are counted, by what can be seen where nothing
        bounds them. Raises GatewayError that names the field that has none."""
        asked = self.asked
        if asked.cap_at and asked.cap is None and (hard or tokens or capped is not None):
            most = 0
            for each in self.targets:
                most = max(most, each.max_tokens or DEFAULT_CAP)
            most = most or DEFAULT_CAP
            self.cap = min(capped // max(1, asked.choices) if capped else MOST, most if hard or tokens else MOST)
        if hard and asked.served and any(tool.most is None for tool in asked.served):
            self.uses = DEFAULT_USES
        self._rebound()
        if hard and self._loose:
            message = f"Nothing bounds what {self._loose} may cost: it cannot be used under a hard budget."
            raise GatewayError("invalid_request", message, param=self._loose, code="unbounded_cost")

    def shrink(self, unit: str, available: int) -> bool:
        """Make do with ``available``, where the cap is ours to choose; whether that can be."""
        if self.cap is None or self.cap <= FLOOR or unit not in MEASURED:
            return False
        before = self.cap
        if unit == "tokens":
            self.cap = min(before, (available - self._given) // max(1, self.asked.choices) - 16)
        else:
            fits = [
                fitting(each.price, available, partial(self._bound, each), before)
                for each in self.candidates
                if each.price
            ]
            self.cap = min(fits, default=0)
        if self.cap < FLOOR or self.cap >= before:
            self.cap = before
            return False
        self._shrunk = True  # to what nobody will ask for again
        self._rebound()
        return True

    def put_cap(self) -> None:
        """Write the cap into the request."""
        call = self.call
        if (self.cap is None and self.uses is None) or not self.targets:
            return
        first = self.targets[0]
        if (
            self.uses is None
            and self.cap is not None
            and self.asked.endpoint == "chat"
            and bound_splice.uncapped(call.doc)
        ):
            model = first.model or call.model
            call.body = bound_splice.capped(call.body, call.doc, self.cap, model, first.upstream.lacks)
            return
        changed = bound_splice.changes(
            self.asked,
            call.doc,
            cap=self.cap,
            uses=self.uses,
            model=first.model or call.model,
            lacks=first.upstream.lacks,
        )
        if changed:
            call.body = bound_splice.written(call.body, call.doc, changed)
            call.doc.update(changed)

    def _rebound(self) -> None:
        self._given, self._loose, self.outputs = 0, "", {}
        money = tokens = 0
        for place, target in enumerate(self.targets):
            quote = self._quote(place, target) if self.asked.plain and not self._shrunk else None
            if quote is not None:
                given, made, unbounded = quote.given(self._text), quote.made, quote.unbounded
                cost = quote.cost(given)
            else:
                each = self.candidates[place]
                found = self._bound(each, self.cap)
                given, made, unbounded = found.units.input_tokens, found.units.output_tokens, found.unbounded
                cost = self._cost(each, found)
            self.outputs[target.id] = made
            self._given = max(self._given, given)
            tokens = max(tokens, given + made)
            money = max(money, cost)
            if unbounded and not self._loose:
                self._loose = unbounded[0]
        self.money, self.tokens = money, tokens

    def _quote(self, place: int, target: Target) -> Quote | None:
        """What all who ask alike are told, found at the first of them; None where it is not made of tokens alone."""
        asked, quotes, price = self.asked, self.table.quotes, self.prices[place]
        key = (
            target.id,
            asked.endpoint,
            target.model or self.call.model,
            asked.cap,
            asked.cap_at,
            asked.choices,
            self.cap,
        )
        found = quotes.get(key)
        if found is None or found.price is not price or found.target is not target:
            if len(quotes) >= MOST_REMEMBERED:
                quotes.clear()
            each = self.candidates[place]
            found = quotes[key] = Quote(target, price, self._bound(each, self.cap), each.api, each.window)
        return found if found.whole else None

    def _bound(self, each: Candidate, cap: int | None) -> Bounds:
        upstream, asked = each.target.upstream, self.asked
        return bound(
            asked._replace(text=self._text) if asked.plain else asked,
            each.api,
            each.window,
            model=each.target.model or self.call.model,
            kind=upstream.kind,
            lacks=upstream.lacks,
            cap=cap,
            uses=self.uses,
        )

    def _cost(self, each: Candidate, found: Bounds) -> int:
        if each.price is None:
            return 0
        try:
            return min(MOST, worst_case(each.price, found.units, found.tiers, found.without))
        except BadUnits:
            return MOST


def _price(call: Call, target: Target, table: Table) -> Price | None:
    return table.price(target.upstream, target.model or call.model, call.entry.created_at)


def _candidate(call: Call, target: Target, price: Price | None, table: Table) -> Candidate:
    ability = table.abilities.get((target.upstream.id, target.model or call.model))
    window = (ability.context_length if ability is not None else 0) or (price.context_window if price else 0)
    return Candidate(target, price, api_of(call, target), window)
