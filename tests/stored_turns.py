"""What tests of stored responses share: turns of two tenants, and the stores."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from tenants import models
from tenants.responses import MemoryResponses, ResponseStore, StoredResponse
from tenants.stored_responses import DatabaseResponses

T = TypeVar("T")
PATIENCE = 60.0
PAST, FUTURE = 1_000_000_000.0, 4_000_000_000.0
CAP = 2**24
SAID = "a sentence that nobody else may read"


def run(promise: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(promise, PATIENCE))


def a_response(tenant: int, id: str = "resp_1", previous: str = "", **changes: Any) -> StoredResponse:
    facts: dict[str, Any] = {
        "model": "gpt-ünï",
        "route": "gpt-*",
        "created_at": 1_700_000_000.25,
        "expires_at": FUTURE,
        "response": json.dumps({"id": id, "output": [SAID]}).encode(),
        "input": json.dumps([{"id": f"msg_{id}", "text": SAID}]).encode(),
    }
    return StoredResponse(id, tenant, previous, **facts | changes)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def held(tenant: int) -> int:
    """The bytes that a tenant's rows take: always what is written down of them."""
    total = sum(row.size for row in models.StoredResponse.objects.filter(tenant=tenant))
    assert total == sum(row.bytes for row in models.StoredBytes.objects.filter(tenant=tenant))
    return total


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
