"""Fixtures of the tests of stored responses: two tenants, and the stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenants import models
from tenants.responses import MemoryResponses, ResponseStore
from tenants.stored_responses import DatabaseResponses
from tests.stored_turns import PATIENCE


@pytest.fixture
def tenants() -> tuple[int, int]:
    mine, theirs = (models.Tenant.objects.create(name=name).pk for name in ("acme", "rival"))
    return mine, theirs


@pytest.fixture
def database() -> Iterator[DatabaseResponses]:
    store = DatabaseResponses(timeout=PATIENCE)
    yield store
    store.close()


@pytest.fixture(params=["memory", "database"])
def store(request: pytest.FixtureRequest) -> ResponseStore:
    made: ResponseStore = MemoryResponses() if request.param == "memory" else request.getfixturevalue("database")
    return made
