"""What the bench prints: figures in tables, then each goal as ok or MISSED."""

from dataclasses import dataclass

from tests.bench.measure import Series
from tests.bench.upstream import EVENTS

TITLES = {
    "nginx": "upstream alone",
    "forwarder": "bare ASGI forwarder",
    "small": "this gateway",
    "programmed": "this gateway, all of routing configured",
    "money": "this gateway, limits and three budgets",
    "large": "this gateway, 10,000 routes, 100,000 keys",
    "litellm": "LiteLLM proxy",
}


@dataclass(frozen=True)
class Goal:
    """A figure and its bound. An aim is printed; a goal that is asserted also decides the exit code."""

    text: str
    value: float
    bound: float
    at_least: bool
    unit: str = ""
    asserted: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self) -> str:
        word = "ok" if self.met else "MISSED"
        bound = f"{'at least' if self.at_least else 'at most'} {self.bound:g}{self.unit}"
        note = "" if self.asserted else "  (an aim, not asserted)"
        return f"  {word:<7}{self.text:<46}{self.value:>9.2f}{self.unit:<4} {bound}{note}"


def throughput(title: str, found: dict[str, Series]) -> None:
    print(f"\n{title:<46}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs/req':>12}{'errors':>8}")
    for name, series in found.items():
        cpu = f"{series.cpu_us:.0f}" if series.cpu_us else "-"
        row = f"{series.rate:>11,.0f}{series.p50_ms:>9.2f}{series.p99_ms:>9.2f}{cpu:>12}{series.errors:>8}"
        print(f"  {TITLES[name]:<44}{row}")


def latency(found: dict[str, Series]) -> None:
    print(f"\n{'One connection':<46}{'p50 ms':>11}{'p99 ms':>9}")
    for name, series in found.items():
        print(f"  {TITLES[name]:<44}{series.p50_ms:>11.3f}{series.p99_ms:>9.3f}")


def streams(fast: dict[str, Series], paced: dict[str, Series]) -> None:
    print(f"\n{f'Streams of {EVENTS} events':<46}{'events/s':>11}{'CPU µs/event, paced':>21}{'errors':>8}")
    for name, series in fast.items():
        cpu = paced[name].cpu_us / EVENTS
        errors = series.errors + paced[name].errors
        print(f"  {TITLES[name]:<44}{series.rate * EVENTS:>11,.0f}{cpu:>21.1f}{errors:>8}")


def goals(found: list[Goal]) -> bool:
    """Print them; true if all that are asserted are met."""
    print("\nGoals")
    for goal in found:
        print(goal.line())
    return all(goal.met for goal in found if goal.asserted)
