"""What a request costs: nano-dollars, exact, rounded once. No Django here: requests use it.

A rate is nano-dollars for a million units: many models cost no whole nano-dollars a token. A part that has no rate of its
own costs what its whole costs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

from tenants.units import COUNTED, INPUT, JOINT, NAMES, OUTPUT, PART_OF, TOKENS, BadUnits, Units, checked

MILLION: Final = 1_000_000
HOUR_MS: Final = COUNTED["audio_ms"]
DAY: Final = 86_400
#: A thousand dollars for one unit.
MOST_RATE: Final = 10**18
#: What the database's integers hold: nine billion dollars.
MOST_COST: Final = 2**63 - 1
FLAT_PARTS: Final = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
LAST_SECOND: Final = 253_402_300_799  # of the year 9999

_CACHE: Final = {"cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"}


class BadPrice(ValueError):
    """A price that cannot be meant."""


class PriceOverlap(BadPrice):
    """Two versions of one price are in force at one time."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars for a million of each unit of ``told``. All else is made of it: ``apart`` is by how much a part costs
    more, or less, than the whole that it is counted in.
    """

    told: Mapping[str, int]
    input: int = field(init=False, repr=False, compare=False)
    output: int = field(init=False, repr=False, compare=False)
    apart: tuple[tuple[str, int], ...] = field(init=False, repr=False, compare=False)
    counted: tuple[tuple[str, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, rate in self.told.items():
            if name not in NAMES:
                raise BadPrice(f"{name}: there is no such unit.")
            if type(rate) is not int or not 0 <= rate <= MOST_RATE:
                raise BadPrice(f"{name}: {rate!r} is no whole number of nano-dollars from 0 to {MOST_RATE}.")
        more = {part: self.rate(part) - self.rate(whole) for part, whole in PART_OF.items()}
        for joint, (one, other) in JOINT.items():
            more[joint] = self.rate(joint) - self.rate(one) - self.rate(other) + self.rate("input_tokens")
        counted = {name: more.get(name, self.rate(name)) for name in COUNTED}
        made = {
            "input": self.rate("input_tokens"),
            "output": self.rate("output_tokens"),
            "apart": tuple((name, more[name]) for name in TOKENS if more.get(name)),
            "counted": tuple((name, rate) for name, rate in counted.items() if rate),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    def rate(self, name: str) -> int:
        """What a million of ``name`` cost. Where it is within two parts that have rates, and has none, the dearer."""
        own = self.told.get(name)
        if own is None and name in PART_OF:
            return self.rate(PART_OF[name])
        if own is None and name in JOINT:
            return max(
                (self.told[part] for part in JOINT[name] if part in self.told), default=self.rate("input_tokens")
            )
        return own or 0

    def dearest(self, names: Collection[str], without: Collection[str]) -> int:
        """The most that a million of any of ``names`` cost: what has no rate of its own costs as much as another."""
        return max((rate for name, rate in self.told.items() if name in names and name not in without), default=0)

    def tokens(self, units: Units) -> int:
        """Nano-dollars for a million times all tokens of ``units``."""
        total = units.input_tokens * self.input + units.output_tokens * self.output
        for name, more in self.apart:
            total += getattr(units, name) * more
        return total


@dataclass(frozen=True, slots=True)
class Tariff:
    """Rates, and other rates for long input: each of ``long`` has the number of input tokens above which it applies.

    They apply to the whole request; with ``beyond`` only to the input tokens above that number. A cache holds the
    beginning of a prompt, so what was read from it comes first and fresh tokens last.
    """

    rates: Rates
    long: tuple[tuple[int, Rates], ...] = ()
    beyond: bool = False

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.long]
        if any(type(start) is not int or start < 1 for start in starts) or starts != sorted(set(starts)):
            raise BadPrice("Rates for long input apply above rising numbers of tokens.")
        if self.beyond:
            modal = {*INPUT} - _CACHE - {"input_tokens"}
            if modal & set(self.rates.told) or any(
                set(rates.told) - _CACHE - {"input_tokens"} for _, rates in self.long
            ):
                raise BadPrice("Rates for the part beyond a length are for plain input and its cache alone.")

    def applying(self, units: Units) -> Rates:
        """The rates of all that is no input beyond a length."""
        found = self.rates
        if not self.beyond:
            for start, rates in self.long:
                if units.input_tokens > start:
                    found = rates
        return found

    def tokens(self, units: Units) -> int:
        """Nano-dollars for a million times all tokens of ``units``."""
        if not self.beyond or not self.long or units.input_tokens <= self.long[0][0]:
            return self.applying(units).tokens(units)
        starts = [0, *(start for start, _ in self.long if start < units.input_tokens), units.input_tokens]
        rates = [self.rates, *(rates for _, rates in self.long)]
        made: int = units.output_tokens * self.rates.output
        made += sum(getattr(units, name) * more for name, more in self.rates.apart if name in OUTPUT)
        shares = [_share(units, *edges) for edges in pairwise(starts)]
        return made + sum(each.tokens(share) for each, share in zip(rates, shares, strict=False))


def _share(units: Units, start: int, end: int) -> Units:
    """The input tokens of ``units`` from number ``start`` until before number ``end``."""
    short = units.cache_write_tokens - units.cache_write_1h_tokens
    edges, first = [], 0
    for count in (units.cache_read_tokens, units.cache_write_1h_tokens, short):
        edges.append(max(0, min(end, first + count) - max(start, first)))
        first += count
    read, hour, minutes = edges
    return Units(end - start, 0, read, hour + minutes, hour)


@dataclass(frozen=True, slots=True)
class Window:
    """Other tariffs every day from ``start`` until ``end``, in seconds on the clock of the price's zone; over midnight
    where it ends before it starts."""

    start: int
    end: int
    tariffs: Mapping[str, Tariff]

    def spans(self) -> list[tuple[int, int]]:
        return [(self.start, self.end)] if self.start < self.end else [(self.start, DAY), (0, self.end)]

    def holds(self, second: int) -> bool:
        return any(start <= second < end for start, end in self.spans())


@dataclass(frozen=True, slots=True)
class Price:
    """One version of a model's price, in force from ``effective_from`` until ``effective_until``, seconds since the
    epoch. ``tariffs`` are by service tier; "" is the standard one, and stands for every tier that is not named.

    Any sound is charged for ``least_audio_ms``. ``context_window`` is the tokens that the model takes, 0 if unknown.
    ``remembered`` is for what ``tenants.worst_case`` makes of it. ``flat`` is there where the same rates always hold, and
    tokens alone have any: a million of input, of output, and by how much those read from a cache, written to it and
    of reasoning cost more.
    """

    version: str
    tariffs: Mapping[str, Tariff]
    effective_from: int | None = None
    effective_until: int | None = None
    source: str = ""
    windows: tuple[Window, ...] = ()
    zone: str = "UTC"
    least_audio_ms: int = 0
    context_window: int = 0
    clock: ZoneInfo | None = field(init=False, repr=False, compare=False)
    flat: tuple[int, int, int, int, int] | None = field(init=False, repr=False, compare=False)
    remembered: dict[Any, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        start, end = self.effective_from, self.effective_until
        if any(type(each) is not int or not 0 <= each <= LAST_SECOND for each in (start, end) if each is not None):
            raise BadPrice(f"{self.version}: it is in force outside of the years from 1970 to 9999.")
        if start is not None and end is not None and end <= start:
            raise BadPrice(f"{self.version}: it ends before it begins.")
        if any("" not in tariffs for tariffs in self._daily()):
            raise BadPrice(f"{self.version}: it has no standard rates.")
        edges = [edge for span in sorted(span for each in self.windows for span in each.spans()) for edge in span]
        if edges != sorted(edges) or not all(0 <= edge <= DAY for edge in edges):
            raise BadPrice(f"{self.version}: its times of day overlap, or are none.")
        if any(type(each) is not int or each < 0 for each in (self.least_audio_ms, self.context_window)):
            raise BadPrice(f"{self.version}: its least sound or its context window is no count.")
        try:
            object.__setattr__(self, "clock", None if self.zone == "UTC" else ZoneInfo(self.zone))
        except (KeyError, ValueError, OSError) as error:
            raise BadPrice(f"{self.version}: {self.zone!r} is no time zone.") from error
        object.__setattr__(self, "flat", self._flat())

    def _flat(self) -> tuple[int, int, int, int, int] | None:
        standard = self.tariffs[""]
        rates = standard.rates
        if self.windows or len(self.tariffs) > 1 or standard.long or rates.counted:
            return None
        more = dict(rates.apart)
        read, written, thought = (more.get(name, 0) for name in FLAT_PARTS)
        return rates.input, rates.output, read, written, thought

    def _daily(self) -> Iterator[Mapping[str, Tariff]]:
        yield self.tariffs
        for window in self.windows:
            yield window.tariffs

    def tariff(self, at: float, tier: str = "") -> Tariff:
        """What holds at the second ``at`` for a request of the service tier ``tier``."""
        tariffs = self.tariffs
        if self.windows:
            second = self._second(at)
            tariffs = next((window.tariffs for window in self.windows if window.holds(second)), tariffs)
        return tariffs.get(tier) or tariffs[""]

    def _second(self, at: float) -> int:
        if self.clock is None:
            return int(at // 1) % DAY
        local = datetime.fromtimestamp(at, self.clock)
        return local.hour * 3600 + local.minute * 60 + local.second

    def possible(self, tiers: Collection[str] | None) -> list[Tariff]:
        """What may hold at any time of day, for a request of one of ``tiers`` or of the standard one; None: of any."""
        found = []
        for tariffs in self._daily():
            found += [tariffs.get(tier) or tariffs[""] for tier in (tariffs if tiers is None else {"", *tiers})]
        return found


def cost(price: Price, units: Units, at: float, tier: str = "") -> int:
    """Nano-dollars for ``units`` of a request that began at the second ``at``, rounded half-even. Raises BadUnits."""
    units, tariff = checked(units), price.tariff(at, tier)
    total, rates = tariff.tokens(units), tariff.applying(units)
    if not rates.counted:
        return rounded(total // MILLION, total % MILLION, MILLION)
    more, sound = counted_apart(price, rates, units)
    total, divisor = (total + more) * HOUR_MS + sound, MILLION * HOUR_MS
    return rounded(total // divisor, total % divisor, divisor)


def counted_apart(price: Price, rates: Rates, units: Units) -> tuple[int, int]:
    """Nano-dollars for a million times all that is no token, and, for a million hours, times milliseconds of sound."""
    more = sound = 0
    for name, rate in rates.counted:
        count = units.count(name)
        if name == "audio_ms":
            sound = rate * (max(count, price.least_audio_ms) if count else 0)
        else:
            more += rate * count
    return more, sound


def rounded(whole: int, rest: int, divisor: int) -> int:
    """A charge of ``whole`` and the part ``rest`` of ``divisor``, half to the even. Raises BadUnits above MOST_COST."""
    twice = 2 * rest
    charge = whole + (twice > divisor or (twice == divisor and whole % 2 == 1))
    if charge > MOST_COST:
        raise BadUnits("No request costs that much.")
    return charge


def unpriced(price: Price, units: Units, at: float, tier: str = "") -> tuple[str, ...]:
    """What ``units`` have that ``price`` says nothing about, and so is free of charge: wholes, and what is counted."""
    told = price.tariff(at, tier).applying(units).told
    wholes = (
        "input_tokens",
        "output_tokens",
        *(name for name in COUNTED if name not in ("requests", "annotated_pages")),
    )
    return tuple(name for name in wholes if units.count(name) and name not in told)
