"""``manage.py apply`` with files of the gateways before this one."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django.fixtures import Settings as SettingsWrapper

from providers.models import Provider
from routing.apply_legacy import duration
from routing.apply_read import Refused
from routing.models import Defaults, Route
from routing.vendors import Vendor
from tests.apply_site import GOLDEN, SECRETS, apply_environment, run

pytestmark = pytest.mark.django_db
assert apply_environment  # the fixture


def test_a_new_provider_of_an_older_file_takes_its_key_from_the_environment(settings: SettingsWrapper) -> None:
    settings.GATEWAY_VENDORS = [Vendor("openai", "sk-from-environment", "https://eu.openai.example/v1", 77, 5)]
    run(GOLDEN / "older-unversioned.yaml")
    provider = Provider.objects.get()
    assert (provider.first_byte_timeout, provider.max_retries) == (77, 5)
    assert (provider.credentials.get().secret, provider.base_url) == (
        "sk-from-environment",
        "https://eu.openai.example/v1",
    )
    settings.GATEWAY_VENDORS = [Vendor("openai", "sk-another", "https://us.openai.example/v1")]
    assert "0 changes" in run(GOLDEN / "older-unversioned.yaml")


def test_what_an_older_file_means() -> None:
    ignored = run(GOLDEN / "older-models.yaml").splitlines()[0]
    assert ignored.endswith(": metrics, models.claude-sonnet.tier")
    assert set(Provider.objects.values_list("kind", "first_byte_timeout")) == {("openai", 90), ("anthropic", 90)}
    assert list(Defaults.objects.values_list("provider__name", "model")) == [("anthropic", "gpt-5")]
    assert Route.objects.get(name="gpt-5").title == "The large one"

    ignored = run(GOLDEN / "older-providers.yaml").splitlines()[0]
    assert ignored.endswith(": server, cache, providers.anthropic.version")
    assert Provider.objects.get(name="openai").credentials.get().secret == SECRETS["GOLDEN_API_KEY"]
    assert [Provider.objects.get(name=name).first_byte_timeout for name in ("openai", "anthropic")] == [60, 120]
    assert Provider.objects.get(name="inhouse").kind == "openai-compatible"
    assert list(Defaults.objects.values_list("provider__name", "model")) == [("ollama", "gpt-5")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("90", 90), (90, 90), ("2h0m1s", 7201)],
)
def test_durations(text: Any, seconds: float) -> None:
    assert duration(text, 1) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "5m x", "-5m", "5 minutes", None, True])
def test_what_is_no_duration(text: Any) -> None:
    if text == "5":
        assert duration(text, 1) == 5
        return
    with pytest.raises(Refused):
        duration(text, 1)
