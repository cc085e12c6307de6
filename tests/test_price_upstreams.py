"""What recorded replies of APIs that only upstreams speak cost, by the gateway and by ``genai-prices`` itself."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import genai_prices
import pytest
from genai_prices import data_snapshot

from providers.billed import Billed, read_billed
from providers.usage import Usage, read_usage
from tenants.price_catalogue import compile_catalogue
from tenants.price_table import Prices
from tenants.pricing import cost
from tenants.units import Units
from tests import recordings

Doc = dict[str, Any]
FILES = {"converse": ("bedrock.converse", "bedrock.converseStream"), "cohere": ("cohere.chat",)}
KINDS = {
    "converse": ("bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com"),
    "cohere": ("cohere", "https://api.cohere.com"),
}
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
TIERS = {"flex": {"service_tier": "flex"}, "batch": {"processing": "batch"}}


class Told(NamedTuple):
    """A reply, or the event of a stream that tells usage."""

    model: str
    doc: Doc


@cache
def prices() -> Prices:
    return Prices(compile_catalogue().vendors)


def _document(row: Doc) -> Doc:
    if row.get("response_events"):
        named = {each["headers"].get(":event-type"): each["payload"] for each in row["response_events"]}
        return {"metadata": named.get("metadata", {})}
    if not row.get("response_text"):
        return dict(row["response_body"])
    events = [json.loads(line[5:]) for line in row["response_text"].splitlines() if line.startswith("data: {")]
    return next((event for event in events if event["type"] == "message-end"), {})


def told(api: str) -> list[Told]:
    """Every good reply; a skip, or a failure where nothing may be skipped, without recordings."""
    recordings.require()
    lines = [
        line for name in FILES[api] for line in (recordings.folder() / f"{name}.jsonl").read_text("utf-8").split("\n")
    ]
    rows = [row for row in map(json.loads, filter(None, lines)) if row["status"] < 300]
    models = [(row["request_body"] or {}).get("model") or unquote(row["path"].split("/")[2]) for row in rows]
    return [Told(model, _document(row)) for model, row in zip(models, rows, strict=True)]


def theirs(api: str, each: Told, context: Doc | None) -> int | None:
    """By the package's own extractor and price."""
    vendor = data_snapshot.get_snapshot().find_provider(None, "aws" if api == "converse" else "cohere", None)
    doc = each.doc.get("metadata") or each.doc.get("delta") or each.doc
    try:
        _, usage = vendor.extract_usage(doc, api_flavor="default")
        found = genai_prices.calc_price(
            usage, each.model, provider_id=vendor.id, genai_request_timestamp=AT, price_context=context
        )
    except LookupError:
        return None
    return round(Fraction(found.total_price) * 10**9)


def ours(api: str, each: Told, tier: str) -> tuple[int | None, Usage, Billed]:
    usage, billed = read_usage(api, each.doc) or Usage(), read_billed(api, each.doc) or Billed()
    plain = {name: getattr(usage, name) for name in (each.name for each in fields(Usage))}
    price = prices().find(prices().source("up", *KINDS[api]), each.model, AT.timestamp())
    units = Units(**(plain | billed.tokens), counted=billed.counted)
    return (None if price is None else cost(price, units, AT.timestamp(), tier)), usage, billed


@pytest.mark.parametrize("tier", ["", *TIERS])
@pytest.mark.parametrize("api", FILES)
def test_every_recording_costs_what_genai_prices_says(api: str, tier: str) -> None:
    counts, wrong = Counter[str](), []
    for each in told(api):
        if read_usage(api, each.doc) is None:
            counts["tells no usage"] += 1
            continue
        found, usage, billed = ours(api, each, tier)
        expected = theirs(api, each, TIERS.get(tier))
        counts["equal"] += found == expected
        counts["no price at either"] += found is None
        counts["cached tokens"] += usage.cache_read_tokens + usage.cache_write_tokens > 0
        counts["cached for an hour"] += "cache_write_1h_tokens" in billed.tokens
        counts["of a tier that is not standard"] += bool(billed.tier)
        if found != expected:
            wrong.append((each.model, found, expected, each.doc))
    print(f"\n{api} {tier or 'standard'}: {dict(counts)}")
    assert not wrong, wrong[:3]
    assert counts["equal"] > counts["no price at either"]
