"""What every recorded reply cost, by the gateway and by ``genai-prices`` itself: equal to the nano-dollar.

Theirs: the package reads the recorded JSON by its own extractors, where it has one for the API that was called, else it
is given the tests' own look-up; it finds the model and multiplies. Ours: the gateway's readers, its compiled prices.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import genai_prices
import pytest
from genai_prices import data_snapshot
from genai_prices import types as catalogue

from providers.billed import Billed, read_billed
from providers.sse import Parser
from providers.usage import Usage
from routing.tap import Tap
from tenants.price_catalogue import compile_catalogue
from tenants.price_table import Prices, Source
from tenants.pricing import cost
from tenants.units import Units
from tests import recordings
from tests.recorded_usage import expected
from tests.recordings import Json, Recording

#: The API that the gateway reads a recording as, and the names that the package has for it, first that a vendor has.
APIS = {
    "openai.chat": ("chat", ("chat", "default")),
    "openai.completions": ("completions", ("chat", "default")),
    "openai.responses": ("responses", ("responses",)),
    "openai.embeddings": ("embeddings", ("embeddings",)),
    "anthropic.messages": ("messages", ("anthropic", "default")),
    "gemini.generateContent": ("generate", ("default",)),
    "gemini.streamGenerateContent": ("generate", ("default",)),
    "gemini.embedContent": ("generate", ("default",)),
}
#: Where a vendor's extractor of that name reads another API: Bedrock's Converse, OpenRouter's Responses.
FLAVOURS = {("aws", "openai.chat"): "", ("openrouter", "openai.responses"): "default"}
#: Who answered -> where it is, as an operator would write it, and the kind of provider.
ADDRESSES = {
    "anthropic": ("anthropic", "https://api.anthropic.com"),
    "api.voyageai.com": ("voyage", "https://api.voyageai.com/v1"),
    "avian": ("openai-compatible", "https://api.avian.io/v1"),
    "azure": ("azure-openai", "https://example.openai.azure.com/openai/v1"),
    "bedrock": ("bedrock", "https://bedrock-mantle.us-east-1.api.aws/v1"),
    "cerebras": ("cerebras", "https://api.cerebras.ai/v1"),
    "copilot": ("openai-compatible", "https://api.githubcopilot.com"),
    "deepseek": ("deepseek", "https://api.deepseek.com"),
    "doubleword": ("openai-compatible", "https://api.doubleword.ai/v1"),
    "gemini": ("gemini", "https://generativelanguage.googleapis.com"),
    "groq": ("groq", "https://api.groq.com/openai/v1"),
    "mistral": ("mistral", "https://api.mistral.ai/v1"),
    "openai": ("openai", "https://api.openai.com/v1"),
    "openrouter": ("openrouter", "https://openrouter.ai/api/v1"),
    "perplexity": ("perplexity", "https://api.perplexity.ai"),
    "vertex": ("vertex", "https://us-east5-aiplatform.googleapis.com"),
    "xai": ("xai", "https://api.x.ai/v1"),
    "zai": ("openai-compatible", "https://api.z.ai/api/paas/v4"),
}
#: Who is in no catalogue: routers and servers of one's own. Huggingface's router serves many in one address.
NOBODY = {
    "chatgpt",
    "crusoe",
    "heroku",
    "huggingface",
    "llamacpp",
    "local",
    "mistralrs",
    "ollama",
    "snowflake",
    "venice",
}
NOBODY |= {"vercel-gateway"}
#: Before, in and after the hours and days at which prices change.
MOMENTS = [datetime(2025, 3, 1, 2, tzinfo=UTC), datetime(2026, 8, 20, 17, tzinfo=UTC)]
MOMENTS += [datetime(2026, 11, 20, 3, 59, 59, tzinfo=UTC), datetime(2026, 11, 20, 4, tzinfo=UTC)]
CONTEXTS: dict[str, Json | None] = {
    "": None,
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}


class Asked(NamedTuple):
    """A recording whose usage both sides price."""

    recording: Recording
    model: str
    vendor: catalogue.Provider
    source: Source
    usage: catalogue.Usage
    own_extractor: bool


@cache
def prices() -> Prices:
    return Prices(compile_catalogue().vendors)


def documents(recording: Recording) -> Iterator[Json]:
    """The JSON objects that may have usage at their top."""
    for each in recording.events() if recording.stream else [json.loads(recording.reply)]:
        inner = each.get("response") or each.get("message")
        yield inner if isinstance(inner, dict) else each


def told(recording: Recording) -> Json:
    """The reply as the package wants it: one object with all usage. Streams of Anthropic's tell it twice, in parts."""
    found: Json = {}
    for each in documents(recording):
        groq = each.get("x_groq")
        usage = each.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)
        if usage:
            before = found.get("usage", {}) if recording.dialect == "anthropic" else {}
            found |= {"usage": before | {name: value for name, value in usage.items() if value is not None}}
        found |= {
            name: each[name] for name in ("usageMetadata", "model", "modelVersion", "service_tier") if each.get(name)
        }
    return found


def theirs(recording: Recording, vendor: catalogue.Provider) -> tuple[catalogue.Usage, bool]:
    """Usage by the package's extractor for this API, and whether it has one."""
    flavours = {extractor.api_flavor for extractor in vendor.extractors or ()}
    usual = next((name for name in APIS[recording.api][1] if name in flavours), "")
    if name := FLAVOURS.get((vendor.id, recording.api), usual):
        return vendor.extract_usage(told(recording), api_flavor=name)[1], True
    tokens = expected(recording)
    assert tokens is not None
    given, made, read, written, thought = tokens
    values = {"cache_read_tokens": read, "cache_write_tokens": written, "output_reasoning_tokens": thought}
    return catalogue.Usage(input_tokens=given, output_tokens=made, **values), False


def ours(recording: Recording) -> tuple[Units, Usage, Billed]:
    """Usage as the gateway reads it off the reply."""
    tap, billed = Tap(APIS[recording.api][0]), None
    if recording.stream:
        parser = Parser()
        tap.feed(parser.feed(recording.reply) + parser.flush())
    else:
        tap.whole(json.loads(recording.reply))
    for each in documents(recording):
        billed = read_billed(tap.api, each, billed)
    usage, billed = tap.usage or Usage(), billed or Billed()
    plain = {name: getattr(usage, name) for name in (each.name for each in fields(Usage))}
    return Units(**(plain | billed.tokens), counted=billed.counted), usage, billed


def asked_model(recording: Recording) -> str:
    named = recording.request_body.get("model")
    return named if isinstance(named, str) else recording.path.rpartition("/models/")[2].partition(":")[0]


@cache
def asked() -> tuple[tuple[Asked, ...], Counter[str]]:
    """All recordings that both sides know the vendor of; why the others are none."""
    snapshot, found, without = data_snapshot.get_snapshot(), [], Counter[str]()
    for recording in recordings.require():
        if expected(recording) is None:
            without["tells no usage"] += 1
        elif recording.provider in NOBODY:
            without["of nobody in the catalogue"] += 1
        elif not any(expected(recording) or ()):
            without["tells usage without a count"] += 1
        else:
            kind, url = ADDRESSES[recording.provider]
            source = prices().source(recording.provider, kind, url)
            vendor = snapshot.find_provider(None, source.vendor, None)
            models = sorted({asked_model(recording), told(recording).get("model") or asked_model(recording)})
            found += [Asked(recording, model, vendor, source, *theirs(recording, vendor)) for model in models]
    return tuple(found), without


def their_cost(each: Asked, at: datetime, context: Json | None) -> int | None:
    """None where the package has no such model, or knows no amount for it, which it takes for nothing."""
    try:
        found = genai_prices.calc_price(
            each.usage, each.model, provider_id=each.vendor.id, genai_request_timestamp=at, price_context=context
        )
    except LookupError:
        return None
    if not found.model_price.__dict__ and not found.model.id.endswith(":free"):
        return None
    return round(Fraction(found.total_price) * 10**9)


def our_cost(each: Asked, units: Units, at: datetime, tier: str) -> int | None:
    price = prices().find(each.source, each.model, at.timestamp())
    return None if price is None else cost(price, units, at.timestamp(), tier)


def _usage(each: Asked) -> Json:
    return told(each.recording).get("usage") or {}


def _hidden_thoughts(each: Asked) -> bool:
    """xAI and Gemini behind OpenAI's API count thoughts in the total alone; the package knows that of xAI alone."""
    usage = Counter({name: count for name, count in _usage(each).items() if isinstance(count, int)})
    return usage["total_tokens"] > usage["prompt_tokens"] + usage["completion_tokens"] > 0


def _old_cache(each: Asked) -> bool:
    """Mistral's older name for cached tokens, which the package does not read: it charges them as fresh."""
    return "num_cached_tokens" in _usage(each)


#: Why a charge may differ, by the shape of what was told.
DIFFERENCES: dict[str, Callable[[Asked], bool]] = {
    "thoughts in the total alone": _hidden_thoughts,
    "cached tokens by an older name": _old_cache,
}


@pytest.mark.parametrize("tier", CONTEXTS)
def test_every_recording_costs_what_genai_prices_says(tier: str) -> None:
    rows, without = asked()
    counts, wrong = Counter[str](), []
    for each in rows:
        units, usage, billed = ours(each.recording)
        pairs = {(our_cost(each, units, at, tier), their_cost(each, at, CONTEXTS[tier])) for at in MOMENTS}
        if all(one == other for one, other in pairs):
            counts["equal"] += 1
            counts["equal: no price at either"] += pairs == {(None, None)}
            counts["equal: cached tokens"] += usage.cache_read_tokens + usage.cache_write_tokens > 0
            counts["equal: cached for an hour"] += "cache_write_1h_tokens" in billed.tokens
            counts["equal: reasoning tokens"] += usage.reasoning_tokens > 0
            counts["equal: searches"] += "web_searches" in billed.counted
            counts["equal: sound"] += usage.input_audio_tokens + usage.output_audio_tokens > 0
            counts["equal: usage by the package's own extractor"] += each.own_extractor
        elif reason := next((reason for reason, holds in DIFFERENCES.items() if holds(each)), ""):
            counts[f"differs: {reason}"] += 1
        else:
            wrong.append((each.recording.api, each.recording.provider, each.model, pairs, _usage(each)))
    ids = len({each.recording.id for each in rows})
    print(
        f"\n{tier or 'standard'}: {ids} of {len(recordings.require())} recordings, {len(rows)} with models as told too"
    )
    for name, count in sorted((counts + without).items()):
        print(f"  {count:>5}  {name}")
    assert not wrong, wrong[:5]
    assert counts["equal"] > 100 * sum(count for name, count in counts.items() if name.startswith("differs"))


def test_each_reason_to_differ_is_one() -> None:
    """No reason excuses what is equal without it: at its shape, the package charges otherwise."""
    rows, _ = asked()
    for reason, holds in DIFFERENCES.items():
        differing = [
            each
            for each in rows
            if holds(each)
            and any(our_cost(each, ours(each.recording)[0], at, "") != their_cost(each, at, None) for at in MOMENTS)
        ]
        assert differing, reason


def test_all_vendors_are_found_by_address_as_the_package_finds_them() -> None:
    snapshot = data_snapshot.get_snapshot()
    for provider, (kind, url) in ADDRESSES.items():
        vendor = prices().source(provider, kind, url).vendor
        if provider != "bedrock":  # its OpenAI API has an address that the package does not know; the kind tells
            assert snapshot.find_provider(None, None, url).id == vendor
        assert vendor


def test_prices_know_a_recorded_model_or_neither_does() -> None:
    """Of all recorded models, by the vendor that was asked."""
    rows, _ = asked()
    seen = {(each.vendor.id, each.model, our_cost(each, Units(), MOMENTS[0], "") is None) for each in rows}
    unknown = sorted((vendor, model) for vendor, model, missing in seen if missing)
    print(
        f"\n{len(seen)} models of {len({vendor for vendor, _, _ in seen})} vendors, {len(unknown)} without a price: {unknown}"
    )
    assert len(unknown) < len(seen) / 4
