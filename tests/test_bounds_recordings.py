"""Whatever an upstream told of its use, the bound that was made of the request alone is not below it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import NamedTuple

import orjson

from routing.bounds import Bounds, bound, demand
from tenants.price_catalogue import compile_catalogue
from tenants.price_table import Prices
from tenants.pricing import Price, cost
from tenants.units import INPUT, OUTPUT, PART_OF, Units, checked
from tenants.worst_case import worst_case
from tests import recordings
from tests.recorded_usage import expected
from tests.recordings import Recording
from tests.test_price_recordings import ADDRESSES, MOMENTS, asked_model, ours

#: API of a recording -> the endpoint that takes it, and the upstream's API.
ENDPOINTS = {
    "openai.chat": ("chat", "chat"),
    "openai.completions": ("completions", "completions"),
    "openai.responses": ("responses", "responses"),
    "openai.embeddings": ("embeddings", "embeddings"),
    "anthropic.messages": ("messages", "messages"),
    "gemini.generateContent": ("generate", "generate"),
    "gemini.streamGenerateContent": ("generate", "generate"),
    "gemini.embedContent": ("generate.embed", "generate"),
}
LARGEST_WINDOW = 2_000_000
#: As would be put into requests that let the upstream search as often as it likes. None of the recorded did so more often.
USES = 10


class Checked(NamedTuple):
    recording: Recording
    used: Units
    tier: str
    price: Price | None
    bounds: Bounds


@cache
def prices() -> Prices:
    return Prices(compile_catalogue().vendors)


def price_of(recording: Recording) -> Price | None:
    kind, url = ADDRESSES.get(recording.provider, ("openai-compatible", "https://nowhere.invalid"))
    return prices().find(prices().source(recording.provider, kind, url), asked_model(recording), MOMENTS[1].timestamp())


def body_of(recording: Recording) -> bytes:
    """As short as a client may write it."""
    return orjson.dumps(recording.request_body)


@cache
def rows() -> tuple[Checked, ...]:
    found = []
    for recording in recordings.require():
        if recording.api not in ENDPOINTS or not any(expected(recording) or ()):
            continue
        endpoint, api = ENDPOINTS[recording.api]
        price = price_of(recording)
        window = price.context_window if price and price.context_window else LARGEST_WINDOW
        asked = demand(endpoint, recording.request_body, body_of(recording))
        units, _, billed = ours(recording)
        bounds = bound(asked, api, window, kind=recording.kind, uses=USES)
        found.append(Checked(recording, checked(units), billed.tier, price, bounds))
    return tuple(found)


def over(row: Checked) -> list[str]:
    """What was used more than the bound says."""
    used, bounds = row.used, row.bounds
    told = [*PART_OF, "input_tokens", "output_tokens", *used.counted]
    wrong = [
        f"{name} {used.count(name)} > {bounds.units.count(_whole(name))}"
        for name in told
        if used.count(name) > bounds.units.count(_whole(name))
    ]
    wrong += [f"{name} {used.count(name)}, ruled out" for name in bounds.without if used.count(name)]
    if row.tier and bounds.tiers is not None and row.tier not in bounds.tiers:
        wrong.append(f"tier {row.tier}, ruled out")
    return wrong


def _whole(name: str) -> str:
    return "input_tokens" if name in INPUT else "output_tokens" if name in OUTPUT else name


def factors(rows: list[Checked], name: str) -> str:
    found = sorted(getattr(r.bounds.units, name) / used for r in rows if (used := getattr(r.used, name)))
    return " ".join(f"{found[int((len(found) - 1) * share)]:.1f}" for share in (0, 0.1, 0.5, 0.9, 1)) if found else "-"


def test_no_recorded_use_is_above_its_bound() -> None:
    bounded = [row for row in rows() if not row.bounds.unbounded]
    refused = Counter(row.bounds.unbounded for row in rows() if row.bounds.unbounded)
    print(f"\n{len(bounded)} of {len(rows())} recordings are bounded; how often above: least, 10 %, 50 %, 90 %, most")
    for api in ENDPOINTS:
        of_api = [row for row in bounded if row.recording.api == api]
        print(f"{api:30} {len(of_api):4}", *(f" {n} {factors(of_api, n)}" for n in ("input_tokens", "output_tokens")))
    print("without bound:", *(f"{'+'.join(names)} {count}" for names, count in refused.most_common()), sep="\n  ")
    wrong = [(row.recording.id, row.recording.provider, each) for row in bounded if (each := over(row))]
    assert wrong == []
    assert len(bounded) > 1500


def test_no_recorded_use_costs_more_than_its_worst_case() -> None:
    """Whatever the time of day and the tier that the reply told."""
    priced = [row for row in rows() if row.price is not None and not row.bounds.unbounded]
    wrong, shares = [], []
    for row in priced:
        assert row.price is not None
        most = worst_case(row.price, row.bounds.units, row.bounds.tiers, row.bounds.without)
        real = max(cost(row.price, row.used, moment.timestamp(), row.tier) for moment in MOMENTS)
        if real > most:
            wrong.append((row.recording.id, real, most))
        if real:
            shares.append(most / real)
    shares.sort()
    print(f"\n{len(priced)} priced; worst case above the real cost: median {shares[len(shares) // 2]:.0f} times")
    assert wrong == [] and len(priced) > 1000
