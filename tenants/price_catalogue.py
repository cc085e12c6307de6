"""The price catalogue of ``genai-prices``, compiled into prices of ours. Never imported by what answers requests.

The package takes 120 MB and is imported inside ``compile_catalogue`` alone; nothing is fetched. What its own functions
decide, which price holds at a moment and for a request's context, they decide here too: at every moment at which
something may change.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tenants.price_rows import Catalogue, Unexpressed, price_row
from tenants.price_table import MATCHES, Listing, Match, Vendor, Version
from tenants.pricing import DAY, Price, Rates, Tariff, Window

if TYPE_CHECKING:
    from genai_prices import types

#: The catalogue's name of a price -> our unit, and how many nano-dollars for a million one dollar of it is.
UNITS = {
    "input_mtok": ("input_tokens", 10**9),
    "output_mtok": ("output_tokens", 10**9),
    "cache_read_mtok": ("cache_read_tokens", 10**9),
    "cache_write_mtok": ("cache_write_tokens", 10**9),
    "cache_write_1h_mtok": ("cache_write_1h_tokens", 10**9),
    "input_audio_mtok": ("input_audio_tokens", 10**9),
    "input_image_mtok": ("input_image_tokens", 10**9),
    "input_video_mtok": ("input_video_tokens", 10**9),
    "output_audio_mtok": ("output_audio_tokens", 10**9),
    "output_image_mtok": ("output_image_tokens", 10**9),
    "output_video_mtok": ("output_video_tokens", 10**9),
    "output_reasoning_mtok": ("reasoning_tokens", 10**9),
    "output_citation_mtok": ("citation_tokens", 10**9),
    "cache_audio_read_mtok": ("cache_read_audio_tokens", 10**9),
    "cache_image_read_mtok": ("cache_read_image_tokens", 10**9),
    "cache_video_read_mtok": ("cache_read_video_tokens", 10**9),
    "input_mchars": ("characters", 10**9),
    "input_text_messages_kcount": ("messages", 10**12),
    "input_document_kpages": ("pages", 10**12),
    "input_annotated_document_kpages": ("annotated_pages", 10**12),
    "web_searches_kcount": ("web_searches", 10**12),
    "social_searches_kcount": ("social_searches", 10**12),
    "storage_searches_kcount": ("storage_searches", 10**12),
    "rerank_searches_kcount": ("rerank_searches", 10**12),
    "code_executions_kcount": ("code_executions", 10**12),
    "requests_kcount": ("requests", 10**12),
    "audio_hours": ("audio_ms", 10**15),
    "input_audio_hours": ("audio_ms", 10**15),
    "output_audio_hours": ("audio_ms", 10**15),
}
#: What one context of a request is called as a service tier; any other is ``key=value``.
TIERS = {"service_tier": "{}", "processing": "{}", "speed": "{}"}
#: What the package charges at least, by a rule in its code that is not in its data.
LEAST_AUDIO_MS = {("groq", "whisper-large-v3"): 10_000, ("groq", "whisper-large-v3-turbo"): 10_000}
SOURCE = "genai-prices"
#: Routers' name for what costs nothing.
FREE = ":free"

ROUNDED = "more digits than nano-dollars for a million units: rounded half-even"
NO_AMOUNT = "listed without any amount: has no price, and is not free"
NO_UNIT = "no such unit here: what it counts is charged as what it is within"
TWO_SOUNDS = "sound has several prices: the dearest is taken"
TOGETHER = "contexts that may hold together: only one at a time has its price"
ONE_NAME = "two contexts have one name as a service tier: the first has it"
NO_MATCH = "its pattern cannot be read: never matches"


def compile_catalogue(providers: Iterable[types.Provider] | None = None, source: str = "") -> Catalogue:
    """The installed catalogue, or ``providers``. The same for the same data."""
    if providers is None:
        import genai_prices
        from genai_prices import data

        providers, source = data.providers, f"{SOURCE} {genai_prices.__version__}"
    compilers = [(Compiler(provider.id), provider) for provider in providers]
    vendors = tuple(compiler.compile(provider) for compiler, provider in compilers)
    return Catalogue(source, vendors, tuple(sorted(each for compiler, _ in compilers for each in compiler.unexpressed)))


@dataclass(slots=True)
class Compiler:
    """Of one vendor. What it cannot say, it keeps."""

    vendor: str
    unexpressed: set[Unexpressed] = field(default_factory=set)
    model: str = ""

    def compile(self, provider: types.Provider) -> Vendor:
        listings = tuple(self.listing(model) for model in provider.models)
        return Vendor(provider.id, provider.api_pattern, listings, tuple(provider.fallback_model_providers or ()))

    def miss(self, reason: str, detail: str) -> None:
        self.unexpressed.add(Unexpressed(self.vendor, self.model, reason, detail))

    def listing(self, model: types.ModelInfo) -> Listing:
        self.model = model.id
        contexts = self.contexts(model)
        versions: list[Version] = []
        for start, end in pairwise([None, *_dates(model), None]):
            day = start or (end - timedelta(1) if end else date(2000, 1, 1))
            version = Version(_second(start), _second(end), self.price(model, contexts, day))
            if versions and versions[-1].price == version.price:
                version = version._replace(effective_from=versions.pop().effective_from)
            versions.append(version)
        return Listing(model.id, self.match(model.match), tuple(self.named(version) for version in versions))

    def contexts(self, model: types.ModelInfo) -> dict[str, dict[str, str]]:
        """Service tier -> the context of a request that has it."""
        found: dict[str, dict[str, str]] = {}
        for variant in model.price_variants or ():
            tier = "&".join(TIERS.get(key, key + "={}").format(value) for key, value in sorted(variant.when.items()))
            if found.setdefault(tier, variant.when) != variant.when:
                self.miss(ONE_NAME, f"{tier}: {variant.when}")
        if len(keys := {key for when in found.values() for key in when}) > 1:
            self.miss(TOGETHER, ", ".join(sorted(keys)))
        return found

    def price(self, model: types.ModelInfo, contexts: dict[str, dict[str, str]], day: date) -> Price | None:
        """The price on ``day``, without a version: what holds for most of the day, and what in the rest of it."""
        spans: dict[int, Mapping[str, Tariff]] = {}
        edges = [*_times(model), DAY]
        for start in edges[:-1]:
            moment = datetime.combine(day, time(), UTC) + timedelta(seconds=start)
            found = self.tariffs(model, contexts, moment)
            if found is None:
                self.miss(NO_AMOUNT, "")
                return None
            spans[start] = found
        windows: list[Window] = []
        for (start, tariffs), end in zip(spans.items(), edges[1:], strict=True):
            first = windows.pop().start if windows and windows[-1].tariffs == tariffs else start
            windows.append(Window(first, end, tariffs))
        usual = max(windows, key=lambda window: sum(e.end - e.start for e in windows if e.tariffs == window.tariffs))
        rest = tuple(window for window in windows if window.tariffs != usual.tariffs)
        least = LEAST_AUDIO_MS.get((self.vendor, model.id), 0)
        return Price("", usual.tariffs, None, None, SOURCE, rest, "UTC", least, model.context_window or 0)

    def tariffs(
        self, model: types.ModelInfo, contexts: dict[str, dict[str, str]], moment: datetime
    ) -> dict[str, Tariff] | None:
        standard = self.tariff(model.get_prices(moment))
        if standard is None:
            return None
        found = {tier: self.tariff(model.get_prices(moment, context)) for tier, context in contexts.items()}
        return {"": standard} | {tier: each for tier, each in sorted(found.items()) if each and each != standard}

    def tariff(self, prices: types.ModelPrice) -> Tariff | None:
        told = {key: value for key, value in sorted(vars(prices).items()) if value is not None}
        if not told:
            return Tariff(Rates({"input_tokens": 0, "output_tokens": 0})) if self.model.endswith(FREE) else None
        starts = {tier.start for value in told.values() if not isinstance(value, Decimal) for tier in value.tiers}
        base, *long = (Rates(self.rates(told, start + 1)) for start in sorted(starts | {0}))
        return Tariff(base, tuple(zip(sorted(starts - {0}), long, strict=True)))

    def rates(self, told: Mapping[str, Any], length: int) -> dict[str, int]:
        """The rates of a request with ``length`` input tokens."""
        found: dict[str, int] = {}
        for key, value in told.items():
            if key not in UNITS:
                self.miss(NO_UNIT, key)
                continue
            unit, scale = UNITS[key]
            exact = Fraction(_amount(value, length)) * scale
            if found.setdefault(unit, rate := round(exact)) != rate:
                self.miss(TWO_SOUNDS, key)
                found[unit] = max(found[unit], rate)
            if rate != exact:
                self.miss(ROUNDED, f"{unit} ${_amount(value, length)}")
        return found

    def named(self, version: Version) -> Version:
        """With a version name that tells one content from another."""
        if version.price is None:
            return version
        price = replace(version.price, effective_from=version.effective_from, effective_until=version.effective_until)
        money = replace(price, effective_until=None, context_window=0)  # a version that ends later stays itself
        content = json.dumps(price_row(money), sort_keys=True)
        digest = hashlib.blake2b(content.encode(), digest_size=4).hexdigest()
        day = "" if price.effective_from is None else f"@{datetime.fromtimestamp(price.effective_from, UTC):%Y-%m-%d}"
        return version._replace(price=replace(price, version=f"{self.vendor}/{self.model}{day}#{digest}"))

    def match(self, clause: types.MatchLogic) -> Match:
        found: dict[str, list[str]] = {test: [] for test in MATCHES}
        for each in _either(clause):
            test, text = _test(each)
            try:
                re.compile(text if test == "regex" else "")
            except re.error as error:
                self.miss(NO_MATCH, f"{text}: {error}")
            else:
                found[test].append(text)
        return Match(**{test: tuple(dict.fromkeys(texts)) for test, texts in found.items()})


def _amount(value: Any, length: int) -> Decimal:
    """What the catalogue asks for a request with ``length`` input tokens."""
    if isinstance(value, Decimal):
        return value
    price: Decimal = next((tier.price for tier in reversed(value.tiers) if length > tier.start), value.base)
    return price


# ---------------------------------------------------------------- names


def _either(clause: types.MatchLogic) -> Iterator[types.MatchLogic]:
    if (clauses := getattr(clause, "or_", None)) is None:
        yield clause
    else:
        for each in clauses:
            yield from _either(each)


def _test(clause: Any) -> tuple[str, str]:
    """The field of Match that says ``clause``, and its text. Names are matched in lower case."""
    for test, name in {
        "equals": "equals",
        "starts": "starts_with",
        "ends": "ends_with",
        "contains": "contains",
    }.items():
        if (text := getattr(clause, name, None)) is not None:
            return test, text.lower()
    return "regex", clause.regex if hasattr(clause, "regex") else rf"\A{_ahead(clause)}"


def _ahead(clause: Any) -> str:
    """An expression that holds at the beginning of a name, and takes nothing of it, where ``clause`` holds for the name."""
    if (clauses := getattr(clause, "and_", None)) is not None:
        return "".join(map(_ahead, clauses))
    if getattr(clause, "or_", None) is not None:
        return f"(?:{'|'.join(map(_ahead, clause.or_))})"
    test, text = _test(clause)
    forms = {"equals": r"(?={}\Z)", "starts": "(?={})", "ends": r"(?=(?s:.*){}\Z)", "contains": "(?=(?s:.*){})"}
    return forms[test].format(re.escape(text)) if test in forms else f"(?=(?s:.*?)(?:{text}))"


# ---------------------------------------------------------------- times


def _constraints(model: types.ModelInfo) -> Iterator[Any]:
    for each in (*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())):
        if each.constraint is not None:
            yield each.constraint


def _dates(model: types.ModelInfo) -> list[date]:
    return sorted({each.start_date for each in _constraints(model) if hasattr(each, "start_date")})


def _times(model: types.ModelInfo) -> list[int]:
    """The seconds of a UTC day at which a price of ``model`` may change, 0 first."""
    found = {0}
    for each in _constraints(model):
        for clock in (getattr(each, "start_time", None), getattr(each, "end_time", None)):
            if clock is not None:
                aware = clock if clock.tzinfo else clock.replace(tzinfo=UTC)
                moment = datetime.combine(date(1970, 1, 1), aware).astimezone(UTC)
                found.add(moment.hour * 3600 + moment.minute * 60 + moment.second)
    return sorted(found)


def _second(day: date | None) -> int | None:
    """The first of a UTC day."""
    return None if day is None else int(datetime.combine(day, time(), UTC).timestamp())
