"""What a decision takes, in this process and on one core: alias, look-up of the route among 10,000, and the order of its
targets. No I/O; the best of some tries, spread over all routes, whose line-ups are known from the first try on.

``python -m tests.bench.decisions`` prints every strategy.
"""

from __future__ import annotations

import random
import time

import orjson

from providers.upstream import Upstream
from routing.choosing import choose
from routing.conditions import read_conditions
from routing.explain import imagined
from routing.paths import CHAT
from routing.strategies import STRATEGIES
from routing.table import Route, Table, Target, with_routes
from routing.traffic import Traffic
from tenants.keys import Key, Tenant
from tests.bench.report import Goal

ROUTES = 10_000
TARGETS = 3
TRIES, QUICK_TRIES = 20, 5
ROUNDS = 500
#: µs that one decision may take.
MOST_US = 30
CONDITIONS = {"max_input_tokens": 100_000, "images": False, "not_tags": ["batch"]}


def site(strategy: str) -> Table:
    """Half of the routes are exact names, half patterns of many lengths; every tenth name is an alias."""
    upstreams = [Upstream(n, f"up{n}", "openai", "http://up.test", frozenset({"chat"})) for n in range(TARGETS)]
    conditions = read_conditions(CONDITIONS)
    targets = tuple(
        Target(n, upstream, "real", weight=n + 1, conditions=conditions) for n, upstream in enumerate(upstreams)
    )
    names = [f"model-{n}" if n % 2 else f"family-{n}-{'x' * (n % 40)}*" for n in range(ROUTES)]
    routes = {name: Route(n, name, targets, strategy=strategy) for n, name in enumerate(names)}
    aliases = {(0, f"alias-{n}"): f"model-{n}" for n in range(1, ROUTES, 10)}
    made = Table(aliases=aliases, tenants={1: Tenant(1, "acme")}, loaded_at=1.0)
    return with_routes(made, routes)


def decision_us(strategy: str, tries: int = TRIES) -> float:
    table, traffic, rng = site(strategy), Traffic(), random.Random(1)
    key = Key(1, "key", 1)
    asked = [name.replace("*", "-1") for name in (*table.routes, *(f"{prefix}*" for prefix in table.prefixes))]
    asked += [name for _, name in table.aliases]
    rng.shuffle(asked)
    calls = []
    for name in asked[:ROUNDS]:
        body = orjson.dumps({"model": name, "messages": [{"role": "user", "content": "hello " * 50}]})
        calls.append(imagined(CHAT, {}, {}, body, key, table))
    best = float("inf")
    for _ in range(tries):
        begun = time.process_time()
        for call in calls:
            call.resolved = table.find(call.model, 1)
            choose(call, table, traffic, rng)
        best = min(best, time.process_time() - begun)
    return 1e6 * best / len(calls)


def measure(quick: bool) -> list[Goal]:
    """Print what a decision takes with each strategy; the slowest is the goal."""
    tries = QUICK_TRIES if quick else TRIES
    print(f"\n{f'Decisions among {ROUTES:,} routes, {TARGETS} targets each':<46}{'µs':>17}")
    found = {strategy: decision_us(strategy, tries) for strategy in STRATEGIES}
    for strategy, taken in found.items():
        print(f"  {strategy:<44}{taken:>17.1f}")
    return [Goal("a decision, with the slowest strategy", max(found.values()), MOST_US, False, " µs")]


if __name__ == "__main__":
    measure(quick=False)
