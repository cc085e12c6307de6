"""Responses that one WebSocket remembers: the last of each of its lanes, in memory, until it closes."""

from __future__ import annotations

from routing.body import BodyError, Budget, Hold
from tenants.responses import ResponseStore, StoredResponse, weight


class ConnectionResponses:
    """A ``ResponseStore`` that looks first into the connection's memory, then into the store ``behind`` it.

    What is remembered holds its conversation whole, so its chain is itself alone; its ``previous_id`` is that of a
    response that an upstream keeps. All of it takes at most ``most`` bytes, counted in ``budget``.
    """

    calls = 0
    seconds = 0.0

    def __init__(self, behind: ResponseStore, budget: Budget, most: int) -> None:
        self.behind = behind
        self.budget = budget
        self.most = most
        self._lanes: dict[str, tuple[StoredResponse, Hold]] = {}

    # the connection's memory

    def remember(self, lane: str, item: StoredResponse) -> None:
        """``item`` is the lane's last now; if it is too large for the memory, the lane has none."""
        self.forget_lane(lane)
        size = weight(item)
        while self._lanes and self._size() + size > self.most:
            self.forget_lane(next(iter(self._lanes)))
        hold = self.budget.hold()
        try:
            if size <= self.most:
                hold.take(size)
                self._lanes[lane] = (item, hold)
        except BodyError:
            return

    def forget_lane(self, lane: str, id: str = "") -> None:
        """Drop the lane's last response, or only if it is ``id``."""
        found = self._lanes.get(lane)
        if found is not None and id in ("", found[0].id):
            del self._lanes[lane]
            found[1].__exit__()

    def remembers(self, tenant_id: int, id: str) -> bool:
        return self._find(tenant_id, id) is not None

    def clear(self) -> None:
        for lane in tuple(self._lanes):
            self.forget_lane(lane)

    def _size(self) -> int:
        return sum(weight(item) for item, _ in self._lanes.values())

    def _find(self, tenant_id: int, id: str) -> StoredResponse | None:
        return next((i for i, _ in self._lanes.values() if i.id == id and i.tenant_id == tenant_id), None)

    # the protocol

    async def save(self, item: StoredResponse, cap: int) -> None:
        await self.behind.save(item, cap)

    async def find(self, tenant_id: int, id: str) -> StoredResponse | None:
        return self._find(tenant_id, id) or await self.behind.find(tenant_id, id)

    async def chain(self, tenant_id: int, id: str) -> list[StoredResponse]:
        found = self._find(tenant_id, id)
        return [found] if found is not None else await self.behind.chain(tenant_id, id)

    async def forget(self, tenant_id: int, id: str) -> bool:
        there = self._find(tenant_id, id) is not None
        for lane in tuple(self._lanes):
            self.forget_lane(lane, id)
        return await self.behind.forget(tenant_id, id) or there
