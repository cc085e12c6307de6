"""What tests of stored responses share: turns of a conversation, and what is written down of them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from tenants import models
from tenants.responses import StoredResponse

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
