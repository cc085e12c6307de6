"""The snapshot has the prices of the vendors in use, under the operator's own; nothing wrong stops a refresh."""

from __future__ import annotations

import logging
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.models import Provider
from routing.load import Loader
from routing.table import Table
from tenants import price_files
from tenants.models import Price
from tenants.price_compile import compile_to
from tenants.pricing import cost
from tenants.units import Units
from tests.prices import catalogue, compiled

__all__ = ["catalogue"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)
NOW = time.time()


def provider(name: str = "main", kind: str = "openai", **fields: Any) -> Provider:
    return Provider.objects.create(name=name, kind=kind, **fields)


def version(table: Table, provider: Provider, model: str = "gpt-4o", at: float = NOW) -> str:
    found = table.price(table.upstreams[provider.id], model, at)
    return found.version if found else ""


def own(model: str = "gpt-4o", rate: int = 10**9, **fields: Any) -> Price:
    return Price.objects.create(model=model, rates={"input_tokens": rate, "output_tokens": rate}, **fields)


def test_the_catalogue_is_loaded_for_the_vendors_in_use(catalogue: Path) -> None:
    ours, azure, off = provider(), provider("blue", "azure-openai"), provider("off", "groq", enabled=False)
    loader = Loader()
    table = loader.refresh()
    assert version(table, ours).startswith("openai/gpt-4o")
    assert version(table, azure).startswith(("azure/gpt-4o", "openai/gpt-4o"))
    assert {"openai", "azure"} <= set(table.prices.vendors) < {"openai", "azure", "groq", *table.prices.vendors}
    assert off.id not in table.sources and "groq" not in table.prices.vendors
    off.enabled = True
    off.save()
    assert "groq" in loader.refresh().prices.vendors
    assert version(loader.table, off, "llama-3.1-8b-instant").startswith("groq/")


def test_a_provider_of_ones_own_has_no_price(catalogue: Path) -> None:
    ours = provider("ours", "openai-compatible", base_url="http://127.0.0.1:9/v1")
    assert version(Loader().refresh(), ours) == ""
    assert Table().price(Loader().refresh().upstreams[ours.id], "gpt-4o", NOW) is None


def test_an_own_price_is_in_force_at_the_next_refresh_and_between_its_moments(catalogue: Path) -> None:
    ours, loader = provider(), Loader()
    day = datetime(2026, 3, 29, 1, tzinfo=UTC)  # in much of Europe an hour is left out here: it is none of ours
    start = day.timestamp()
    before = version(loader.refresh(), ours, at=start)
    row = own(effective_from=day, effective_until=datetime(2026, 3, 29, 2, tzinfo=UTC))
    table = loader.refresh()
    seen = [version(table, ours, at=start + second) for second in (-1, 0, 3599.9, 3600)]
    assert seen == [before, row.version, row.version, before]
    price = table.price(table.upstreams[ours.id], "GPT-4o", start)
    assert price is not None and cost(price, Units(1000, 1000), start) == 2 * 10**6
    row.delete()
    assert version(loader.refresh(), ours, at=start) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"rates": {"input_tokens": -1}},
        {"rates": {"input_tokens": 0.5}},
        {"rates": {"nonsense": 1}},
        {"rates": [1]},
        {"rates": {"input_tokens": 1}, "long": [[5, {"input_tokens": 2}], [4, {}]]},
        {"rates": {"input_tokens": 1}, "long": [5]},
        {"rates": {"input_tokens": 1}, "tiers": {"batch": 5}},
        {"rates": {"input_tokens": 1}, "provider": "main", "kind": "openai"},
        {"rates": {"input_tokens": 1}, "model": "a*b"},
        {
            "rates": {"input_tokens": 1},
            "effective_from": datetime(2026, 1, 2, tzinfo=UTC),
            "effective_until": datetime(2026, 1, 1, tzinfo=UTC),
        },
    ],
)
def test_a_wrong_price_is_left_out_and_said_once(wrong: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    ours, loader = provider(), Loader()
    good = own("good")
    bad = Price.objects.create(**{"model": "bad", **wrong})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert version(loader.refresh(), ours, "good") == good.version
            assert version(loader.table, ours, "bad") == ""
            good.save()
    assert [r.getMessage() for r in caplog.records if f"price {bad.pk} is left out" in r.getMessage()] != []
    assert sum(f"price {bad.pk} " in r.getMessage() for r in caplog.records) == 1


def test_of_two_that_overlap_the_older_stays() -> None:
    ours, loader = provider(), Loader()
    first = own(effective_from=datetime(2026, 1, 1, tzinfo=UTC))
    second = own("GPT-4o")
    later = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    assert version(loader.refresh(), ours, at=later) == first.version
    assert version(loader.table, ours, at=1_000_000_000) == ""
    first.delete()
    assert version(loader.refresh(), ours, at=later) == second.version


def test_a_file_that_is_missing_damaged_or_cut(settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings.GATEWAY_PRICES_FILE = path = tmp_path / "prices.json"
    ours, loader = provider(), Loader()
    assert version(loader.refresh(), ours) == "" and price_files.problem()
    shutil.copy(compiled(), path)
    found = version(loader.refresh(), ours)  # no revision is needed
    assert found and not price_files.problem()
    whole = path.read_bytes()
    for damaged in (whole[:-20], b"", b"[]", b"\xff\xfe", whole.replace(b'"format": 1', b'"format": 2')):
        path.write_bytes(damaged)
        own("other").delete()
        table = loader.refresh()
        assert version(table, ours) == found and loader.refresh() is table
        assert "prices.json" in price_files.problem()
    path.unlink()
    assert version(loader.refresh(), ours) == found
    said = [record.getMessage() for record in caplog.records if record.name == "routing.load_prices"]
    assert sum("there is no catalogue" in text for text in said) == 1
    assert sum("cannot be read" in text for text in said) == 5


def test_it_is_compiled_by_another_process_where_it_is_missing(settings: Any, tmp_path: Path) -> None:
    settings.GATEWAY_PRICES_FILE = path = tmp_path / "prices.json"
    assert price_files.ensure() == "" and path.read_bytes() == compiled().read_bytes()
    made = path.stat()
    assert price_files.ensure() == "" and path.stat() == made
    path.write_bytes(path.read_bytes()[:1000])
    assert price_files.ensure() == "" and path.read_bytes() == compiled().read_bytes()
    assert price_files.previous(path) == path.with_suffix(".before.json")
    assert sorted(os.listdir(tmp_path)) == ["prices.before.json", "prices.json"]
    settings.GATEWAY_PRICES_FILE = tmp_path / "none" / "prices.json"
    assert "none" in price_files.ensure()


def test_compiling_again_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "prices-1.json"
    assert compile_to(path) and not compile_to(path)
    assert price_files.previous(path) is None
    path.write_text("before")
    assert compile_to(path) and path.with_suffix(".before.json").read_text() == "before"
