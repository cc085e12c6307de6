"""Pages about prices: what a model costs, models used without one, what an upgrade changed and does."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from providers.models import Provider
from routing import price_effect
from tenants.drain import write
from tenants.ledger import Entry
from tenants.models import Price
from tests.admin_site import EVIL, form_data
from tests.prices import catalogue, compiled
from tests.usage_entries import an_entry

__all__ = ["catalogue"]  # a fixture

pytestmark = pytest.mark.django_db
ASK, WITHOUT, UPGRADE = (f"/admin/prices/{name}/" for name in ("ask", "unpriced", "upgrade"))


@pytest.fixture
def provider() -> Provider:
    return Provider.objects.create(name="main", kind="openai")


def used(provider: Provider, **changes: Any) -> Entry:
    facts = {"provider_id": provider.pk, "provider": provider.name, "upstream_model": "gpt-4o", "input_tokens": 1000}
    entry = an_entry(**{"created_at": datetime.now(UTC).timestamp() - 60, **facts, **changes})
    write([entry])
    return entry


def test_what_a_model_costs(admin_client: Client, provider: Provider, catalogue: Path) -> None:
    assert admin_client.get(ASK).status_code == 200
    asked = {
        "provider": "main",
        "model": "gpt-4o",
        "input_tokens": 1_000_000,
        "output_tokens": 0,
        "cache_read_tokens": 0,
    }

    def answer(**changes: Any) -> Any:
        return admin_client.get(ASK, {**asked, **changes})

    page = answer(at="2026-01-01T00:00").content.decode()
    assert "<strong>$2.50</strong>" in page and "openai/gpt-4o" in page and "genai-prices" in page
    own = Price.objects.create(
        model="gpt-4o", rates={"input_tokens": 10**9}, effective_from=datetime(2026, 2, 1, tzinfo=UTC)
    )
    page = answer(at="2026-02-01T00:00", output_tokens=5).content.decode()
    assert (
        "<strong>$1.00</strong>" in page
        and f"/price/{own.pk}/change/" in page
        and "output_tokens, so that is free" in page
    )
    page = answer(model=EVIL).content.decode()
    assert "Nobody knows" in page and EVIL not in page and "price/add/?provider=main&amp;model=%3Cscript" in page
    assert answer(provider="none").status_code == 400
    assert answer(input_tokens="-1").status_code == 400


def test_models_used_without_a_price(admin_client: Client, provider: Provider) -> None:
    old = datetime.now(UTC) - timedelta(days=31)
    used(provider, upstream_model="gone", id=UUID(int=int(old.timestamp() * 1000) << 80), created_at=old.timestamp())
    used(provider, upstream_model="priced", cost=5)
    used(provider, upstream_model="refused", status=404, input_tokens=0)
    for _ in range(2):
        used(provider, upstream_model=EVIL, output_tokens=7)
    used(provider, upstream_model="later")
    Price.objects.create(model="later", rates={"input_tokens": 1})
    page = admin_client.get(WITHOUT).content.decode()
    assert EVIL not in page and "<td>2</td><td>2000</td><td>14</td>" in page.replace("2,000", "2000")
    assert [name in page for name in ("gone", "<td>priced", "<td>refused")] == [False] * 3
    assert "own-" in page and "manage.py rerate --from" in page
    (link,) = [
        part.split('"')[0].replace("&amp;", "&")
        for part in page.split('href="')[1:]
        if "price/add/?" in part.split('"')[0]
    ]
    data = form_data(admin_client.get(link))
    assert (data["provider"], data["model"]) == ("main", EVIL)


def test_nothing_is_without_a_price(admin_client: Client) -> None:
    assert "All models that were used have prices." in admin_client.get(WITHOUT).content.decode()


def other(path: Path, rate: int) -> None:
    """The catalogue with another price of gpt-4o's input."""
    document = json.loads(compiled().read_text())
    openai = next(vendor for vendor in document["vendors"] if vendor["name"] == "openai")
    for model in openai["models"]:
        for version in model["versions"]:
            if model["model"] == "gpt-4o" and "rates" in version:
                version["rates"]["input_tokens"] = rate
                version["version"] += "-other"
    document["source"] = "genai-prices 0.0.1"
    path.write_text(json.dumps(document))


def test_what_an_upgrade_changed(admin_client: Client, provider: Provider, settings: Any, tmp_path: Path) -> None:
    settings.GATEWAY_PRICES_FILE = path = tmp_path / "prices-2.json"
    shutil.copy(compiled(), path)
    assert "no catalogue of before" in admin_client.get(UPGRADE).content.decode()
    other(tmp_path / "prices-1.json", 5 * 10**9)
    used(provider, cost=1, price_version="openai/gpt-4o", input_tokens=1_000_000)
    used(provider, cost=1, price_version="openai/gpt-4o", input_tokens=1_000_000, interrupted=True)
    used(provider, upstream_model="gpt-4o-mini", cost=1, price_version="v")
    page = admin_client.get(UPGRADE).content.decode()
    assert "genai-prices 0.0.1" in page and "openai/gpt-4o" in page
    assert "input_tokens: $5 / 1M tokens -&gt; $2.5 / 1M tokens" in page
    assert "<td>$5.0000</td><td>$2.5000</td><td>$-2.5000</td>" in page and "<td>gpt-4o-mini</td>" not in page
    Price.objects.create(model="gpt-4o", rates={"input_tokens": 1})
    assert "No model that was used has another price." in admin_client.get(UPGRADE).content.decode()
    (tmp_path / "prices-1.json").write_text("{}")
    assert "cannot be compared" in admin_client.get(UPGRADE).content.decode()


def test_only_so_many_requests_are_counted(
    admin_client: Client, provider: Provider, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.GATEWAY_PRICES_FILE = path = tmp_path / "prices-2.json"
    shutil.copy(compiled(), path)
    other(tmp_path / "prices-1.json", 5 * 10**9)
    for _ in range(3):
        used(provider, cost=1, price_version="v", input_tokens=1_000_000)
    monkeypatch.setattr(price_effect, "MOST_ROWS", 2)
    page = admin_client.get(UPGRADE).content.decode()
    assert "Only the latest" in page and "<td>$10.0000</td><td>$5.0000</td>" in page
