"""What a price takes to find and to apply, in this process and on one core, and what the catalogue takes in memory.

``python -m tests.bench.pricing`` prints it; the package's own call beside it, each in the best of some tries.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tenants import price_rows
from tenants.price_catalogue import compile_catalogue
from tenants.price_rows import Catalogue
from tenants.price_table import Override, Prices
from tenants.pricing import cost
from tenants.units import Units
from tenants.worst_case import worst_case
from tests.bench.report import Goal
from tests.recordings import REPOSITORY

TRIES, QUICK_TRIES = 20, 5
ROUNDS = 2000
OVERRIDES = 1000
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
#: µs that finding a price and applying it may take.
MOST_US = 10
MEMORY = """
import sys
def taken(): return int(open("/proc/self/statm").read().split()[1]) * 4096
{before}
was = taken()
{load}
print((taken() - was) / 2**20)
"""
LOADED = "kept = Prices(price_rows.read(sys.stdin.buffer.read(){only}).vendors)"


def best_us(call: Callable[[], object], tries: int) -> float:
    """The best of ``tries`` for each of ROUNDS."""
    best = float("inf")
    for _ in range(tries):
        begun = time.process_time()
        call()
        best = min(best, time.process_time() - begun)
    return 1e6 * best / ROUNDS


def megabytes(load: str, text: str = "", before: str = "") -> float:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY.format(before=before, load=load)],
        cwd=REPOSITORY,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def site(catalogue: Catalogue) -> Prices:
    """The whole catalogue, behind a thousand prices of an operator's own."""
    (price, *_) = (version.price for version in catalogue.vendors[0].listings[0].versions)
    assert price is not None
    own = [Override(f"up{number % 10}", "", f"own-{number}*", price) for number in range(OVERRIDES)]
    return Prices(catalogue.vendors, own)


def measure(quick: bool) -> list[Goal]:
    """Print what each step takes; finding a price that was asked for before, and applying it, is the goal."""
    tries, rng, catalogue = QUICK_TRIES if quick else TRIES, random.Random(1), compile_catalogue()
    prices, second = site(catalogue), AT.timestamp()
    named = [
        (prices.source("up1", "", "")._replace(vendor=vendor.name), listing.model)
        for vendor in catalogue.vendors
        for listing in vendor.listings
    ]
    asked = [rng.choice(named) for _ in range(ROUNDS)]
    used = [Units(rng.randrange(10**6), rng.randrange(10**4), 500, 100, reasoning_tokens=90) for _ in range(ROUNDS)]
    rows = [(prices.find(*each, second), units) for each, units in zip(asked, used, strict=True)]
    found = {
        "find for the first time": best_us(lambda: [prices._look_up(*each) for each in asked], tries),
        "find": best_us(lambda: [prices.find(*each, second) for each in asked], tries),
        "cost": best_us(lambda: [cost(price, units, second) for price, units in rows if price], tries),
        "worst case": best_us(lambda: [worst_case(price, units, {""}) for price, units in rows if price], tries),
    }
    print(f"\n{f'Prices of {len(named):,} models, {OVERRIDES:,} overrides':<46}{'µs':>17}")
    for name, taken in {**found, "the package's own call": package_us(used, tries)}.items():
        print(f"  {name:<44}{taken:>17.1f}")
    memory(catalogue)
    return [Goal("find a price and apply it", found["find"] + found["cost"], MOST_US, False, " µs")]


def package_us(used: list[Units], tries: int) -> float:
    import genai_prices
    from genai_prices.types import Usage

    rows = [(Usage(input_tokens=each.input_tokens, output_tokens=each.output_tokens), "gpt-5") for each in used]

    def call() -> None:
        for usage, model in rows:
            genai_prices.calc_price(usage, model, provider_id="openai", genai_request_timestamp=AT)

    return best_us(call, min(tries, 3))


def memory(catalogue: Catalogue) -> None:
    text = price_rows.write(catalogue)
    modules = "from tenants import price_rows; from tenants.price_table import Prices"
    begun = time.process_time()
    price_rows.read(text)
    taken = time.process_time() - begun
    print(f"\n{'Memory':<46}{'MB':>17}")
    for name, load, before in (
        ("the package, imported", "from genai_prices import data", ""),
        ("all compiled prices", LOADED.format(only=""), modules),
        ("those of three vendors", LOADED.format(only=', {"openai", "anthropic", "google"}'), modules),
    ):
        print(f"  {name:<44}{megabytes(load, text, before):>17.1f}")
    print(f"  {len(text) / 2**20:.1f} MB of text, read in {1000 * taken:.0f} ms")


if __name__ == "__main__":
    for goal in measure(quick=False):
        print(goal.line())
