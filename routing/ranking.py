"""Who has the least of a number that changes all the time."""

from __future__ import annotations

from heapq import heapify, heappop, heappush


class Ranking:
    """Ids by a number that changes; the least is first. A heap whose outdated items are passed over, and dropped
    when they are more than the others."""

    __slots__ = ("_heap", "_ranks")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._ranks: dict[int, float] = {}

    def put(self, id: int, rank: float) -> None:
        if self._ranks.get(id) != rank:
            self._ranks[id] = rank
            heappush(self._heap, (rank, id))
            if len(self._heap) > 2 * len(self._ranks) + 64:
                self._heap = [(rank, each) for each, rank in self._ranks.items()]
                heapify(self._heap)

    def drop(self, id: int) -> None:
        self._ranks.pop(id, None)

    def first(self) -> tuple[float, int] | None:
        while self._heap:
            if self._ranks.get(self._heap[0][1]) == self._heap[0][0]:
                return self._heap[0]
            heappop(self._heap)
        return None
