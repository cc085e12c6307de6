"""Asks a URL whose request this is, and remembers what it said.

The URL gets a POST of ``{"headers": {…}}`` with the headers that are asked for. It answers 200 and ``{"tenant", "key",
"user", "models", "tags"}``, of which only the tenant must be there, or 401 or 403 for nobody. Everything else is a failure,
which is not remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from providers.light import Header
from routing.hooks import Identity, Means, option

REFUSED = (401, 403)


class WebhookAuth:
    on_failure = "closed"
    seconds = 5.0

    @dataclass(frozen=True)
    class Options:
        url: str = option(help="Who is asked, over https.")
        secret: str = option("", "Sent as a bearer token, so that the URL knows who asks.", secret=True)
        headers: tuple[str, ...] = option(("authorization", "x-api-key"), "The headers that it is told.")
        ttl: float = option(60.0, "Seconds for which an identity is remembered.", minimum=0, maximum=86_400)
        negative_ttl: float = option(10.0, "Seconds for which a refusal is remembered.", minimum=0, maximum=3_600)
        remembered: int = option(10_000, "How many are remembered.", minimum=1, maximum=1_000_000)

        def __post_init__(self) -> None:
            if not self.url.startswith(("https://", "http://")):
                raise ValueError("the URL must begin with https://")

    def __init__(self, options: Options, means: Means) -> None:
        self.options = options
        self.post, self.clock = means.post, means.clock
        self.wanted = {name.lower().encode() for name in options.headers}
        self._known: OrderedDict[bytes, tuple[float, Identity | None]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Identity | None]] = {}

    async def authenticate(self, headers: Sequence[Header]) -> Identity | None:
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name in self.wanted}
        if not told:
            return None
        body = orjson.dumps({"headers": told}, option=orjson.OPT_SORT_KEYS)
        key = hashlib.sha256(body).digest()  # what is remembered is no credential
        if (known := self._known.get(key)) is not None and known[0] > self.clock():
            self._known.move_to_end(key)
            return known[1]
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.ensure_future(self._ask(key, body))
            task.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(task)  # others may wait for it

    def _answered(self, key: bytes, task: asyncio.Task[Identity | None]) -> None:
        self._asked.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it

    async def _ask(self, key: bytes, body: bytes) -> Identity | None:
        headers = {"content-type": "application/json"}
        if self.options.secret:
            headers["authorization"] = f"Bearer {self.options.secret}"
        async with asyncio.timeout(self.seconds):
            status, said = await self.post(self.options.url, headers, body)
        if status != 200 and status not in REFUSED:
            raise RuntimeError(f"the URL answered {status}")
        found = _identity(orjson.loads(said)) if status == 200 else None
        self._remember(key, found)
        return found

    def _remember(self, key: bytes, found: Identity | None) -> None:
        ttl = self.options.ttl if found is not None else self.options.negative_ttl
        self._known[key] = (self.clock() + ttl, found)
        self._known.move_to_end(key)
        if len(self._known) > self.options.remembered:
            self._known.popitem(last=False)


def _identity(doc: Any) -> Identity:
    tenant = doc["tenant"]
    if not isinstance(tenant, str) or not tenant:
        raise TypeError("a tenant must be a name")
    return Identity(
        tenant, str(doc.get("key") or ""), str(doc.get("user") or ""), _names(doc, "models"), _names(doc, "tags")
    )


def _names(doc: Any, name: str) -> tuple[str, ...]:
    found = doc.get(name) or []
    if not isinstance(found, list):  # a text would be taken for a list of letters, and no models for all
        raise TypeError(f"{name} must be a list")
    return tuple(map(str, found))
