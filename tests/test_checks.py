"""System checks: settings and rows that will not do what the operator wants."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import DatabaseError

from gateway_project.public import Address
from providers.models import Provider
from routing import warnings
from routing.models import Route
from routing.vendors import Vendor
from tenants import price_files
from tenants.models import Tenant

LOOPBACK, EVERYWHERE = Address("", "127.0.0.1", 8080), Address("", "0.0.0.0", 8080)


def found(**options: Any) -> dict[str | None, str]:
    """Our messages by id."""
    messages = run_checks(**options)
    return {message.id: message.msg for message in messages if str(message.id).startswith("gateway.")}


@pytest.fixture(autouse=True)
def nothing_wrong(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_files, "problem", str)  # as with a catalogue: ``test_prices_command`` is without
    settings.GATEWAY_ADDRESS = LOOPBACK
    settings.GATEWAY_UNKNOWN_VARIABLES = []


def test_nothing_is_wrong_and_no_database_is_asked() -> None:
    assert found() == {}  # pytest-django fails a query here


def test_unknown_variables(settings: Any) -> None:
    settings.GATEWAY_UNKNOWN_VARIABLES = ["GATEWAY_X is set and means nothing here."]
    assert found() == {"gateway.W001": "GATEWAY_X is set and means nothing here."}


def test_a_default_provider_that_the_environment_does_not_hold(settings: Any) -> None:
    settings.GATEWAY_DEFAULT_VENDOR = "groq"
    assert "names groq" in found()["gateway.W002"]
    settings.GATEWAY_VENDORS = [Vendor("groq", "gsk")]
    assert found() == {}


def test_daphne_is_warned_of(settings: Any) -> None:
    settings.GATEWAY_SERVER = "daphne"
    assert "reads the whole body" in found()["gateway.W003"]


def test_off_loopback_the_admin_needs_its_address(settings: Any) -> None:
    settings.GATEWAY_ADDRESS = EVERYWHERE
    assert "GATEWAY_PUBLIC_URL is not set" in found()["gateway.W005"]
    settings.GATEWAY_ADDRESS = Address("https://gw.example", "0.0.0.0", 8080)
    assert found() == {}


@pytest.mark.django_db
def test_anonymous_requests_are_an_error_off_loopback(settings: Any) -> None:
    databases = {"databases": ["default"]}
    tenant = Tenant.objects.create(name="open", anonymous=True)
    assert set(found(**databases)) == {"gateway.W010"}
    settings.GATEWAY_ALLOW_ANONYMOUS = False
    assert set(found(**databases)) == {"gateway.W010", "gateway.E001"}
    settings.GATEWAY_ALLOW_ANONYMOUS = True
    assert set(found(**databases)) == {"gateway.W010"}
    tenant.delete()
    assert found(**databases) == {}


@pytest.mark.django_db
def test_a_route_without_usable_target() -> None:
    Provider.objects.create(name="demo", kind="demo")
    Route.objects.create(name="nowhere")
    assert "nowhere has no usable target" in found(databases=["default"])["gateway.W010"]


@pytest.mark.django_db
def test_a_database_that_is_away_is_not_our_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Any:
        raise DatabaseError

    monkeypatch.setattr(warnings, "warnings", away)
    assert found(databases=["default"]) == {}
