"""A gateway in this process whose tenant has limits and budgets, over leases that are kept in memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import httpx

from routing.table import Table
from tenants.leases import Ask, Counter, Grant, Key, Trailing
from tenants.periods import Period
from tenants.price_table import Override, Prices, Source
from tenants.pricing import Price, Rates, Tariff
from tenants.refills import Refills
from tenants.terms import Level, Rule
from tenants.wallet import Wallet
from tests.inprocess import Answer, Plane, plane, route, table, upstream
from tests.lease_books import MemoryBooks

DOLLAR = 10**9
MODEL = "gpt"
RATES = {"input_tokens": DOLLAR, "output_tokens": 10 * DOLLAR}
"""Nano-dollars for a million: an input token costs 1,000, an output token 10,000."""
IN, OUT = 1_000, 10_000


def priced(made: Table, rates: dict[str, int] | None = None, **changes: Any) -> Table:
    """``made``, in which every model of every upstream has one price."""

    price = Price("v1", {"": Tariff(Rates(rates or RATES))}, context_window=100_000)
    sources = {number: Source(each.name, each.kind, "") for number, each in made.upstreams.items()}
    return replace(made, prices=Prices(overrides=[Override("", "", "*", price)]), sources=sources, **changes)


def budget(cap: int, name: str = "b1.1", *, hard: bool = True, **rule: Any) -> Rule:
    return Rule(Counter(name, cap, Period("month"), hard=hard), title=f"budget {name}", **rule)


def limit(unit: str, cap: int, name: str = "") -> Rule:
    window = Trailing(0 if unit == "concurrent" else 60)
    return Rule(Counter(name or f"{unit}.k11", cap, window, unit), title=f"{unit} of the key")


def site(*rules: Rule, made: Table | None = None, **level: Any) -> Table:
    """One priced model, and rules for the tenant of the usual key."""
    made = priced(made or table(route(MODEL, upstream())))

    tenant = replace(made.tenants[1], level=Level("tenant", "acme", **level))
    return replace(made, tenants={**made.tenants, 1: tenant}, rules={("tenant", 1): rules})


class Bank:
    """The store of leases; ``charged`` takes in what settled requests tell, as the drain does."""

    def __init__(self, made: Table) -> None:
        self.books = MemoryBooks()
        self.sequence = 0
        self.away: Exception | None = None
        for rules in made.rules.values():
            for rule in rules:
                window = rule.counter.window
                seconds = int(window.seconds) if isinstance(window, Trailing) else 0
                self.books.define(rule.counter.name, rule.counter.cap, seconds)

    async def exchange(self, asks: Sequence[Ask]) -> list[Grant]:
        if self.away is not None:
            raise self.away
        return self.books.exchange("w1", list(asks), time.time())

    async def shortages(self) -> list[Key]:
        return self.books.shortages("w1", time.time())

    def charged(self, running: Plane) -> None:
        for entry in running.gateway.ledger.take(1_000):
            self.sequence += 1
            self.books.settle("w1", entry.charges.items(), self.sequence, time.time())

    def spent(self, counter: str) -> int:
        return sum(spent for key, spent in self.books.spent.items() if key[0] == counter)


@contextlib.asynccontextmanager
async def bank(made: Table, answer: Answer) -> AsyncIterator[tuple[Plane, Bank]]:
    store = Bank(made)
    async with plane(made, answer) as running:
        running.gateway.refills = Refills(Wallet(), store.exchange, store.shortages)
        yield running, store


def answered(prompt: int = 10, completion: int = 20, **usage: Any) -> httpx.Response:
    """A chat completion that tells this usage."""
    told = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **usage}
    message = {"role": "assistant", "content": "hello"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    doc = {"id": "c1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": told}
    return httpx.Response(200, json=doc)


def asking(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **fields}
