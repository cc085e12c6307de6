"""The orders in which a route's targets are tried. A literal dict of small functions; no I/O, no clock.

All of them keep to priorities: a lower number comes first, and the strategy decides among equals. Weight 0 stands in
when the others fail. The same targets, state, key and seed give the same order: Explain relies on it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from providers.chat import BadRequest
from routing.facts import Facts
from routing.table import Target, in_order

SMOOTHING: Final = 0.2  # what the newest first byte counts for in the average
EXPLORE: Final = 0.02  # the share of requests that go to see whether a slow target still is
#: A failure counts as a first byte that came this late, or a quick one would attract requests.
FAILED_SECONDS: Final = 30.0
MAX_HEADER: Final = 512
MASK: Final = 2**64 - 1
STICKY: Final = ("key", "user", "conversation", "header:NAME")


class State:
    """What one process has seen of its targets, by their ids. ``order`` only reads it; who sends a request writes it."""

    __slots__ = ("credit", "first_byte", "in_flight")

    def __init__(self) -> None:
        self.in_flight: dict[int, int] = {}
        self.first_byte: dict[int, float] = {}
        self.credit: dict[int, int] = {}

    def enter(self, target_id: int) -> None:
        """An attempt at this target begins."""
        self.in_flight[target_id] = self.in_flight.get(target_id, 0) + 1

    def leave(self, target_id: int) -> None:
        """An attempt is over, its reply with it."""
        left = self.in_flight.get(target_id, 0) - 1
        if left > 0:
            self.in_flight[target_id] = left
        else:
            self.in_flight.pop(target_id, None)

    def measure(self, target_id: int, seconds: float, ok: bool = True) -> None:
        """An attempt had its first byte, or failed, after so many seconds. A refusal of the client's is neither."""
        value = seconds if ok else max(seconds, FAILED_SECONDS)
        before = self.first_byte.get(target_id)
        self.first_byte[target_id] = value if before is None else before + SMOOTHING * (value - before)

    def take(self, ordered: Sequence[Target]) -> None:
        """A request is sent to the first of ``ordered``: its equals move up in the round. Only round_robin reads it."""
        if not ordered or not ordered[0].weight:
            return
        first, credit = ordered[0], self.credit
        group = [target for target in ordered if target.priority == first.priority]
        total = sum([target.weight for target in group])
        for target in group:
            owed = credit.get(target.id, 0) + target.weight - (total if target is first else 0)
            # Within one set of targets no credit passes the bounds; they matter when sets and weights change.
            credit[target.id] = max(-total, min(total, owed))

    def keep(self, target_ids: Collection[int]) -> None:
        """Forget all other targets: after the snapshot has changed."""
        for known in (self.first_byte, self.credit):
            for target_id in [found for found in known if found not in target_ids]:
                del known[target_id]


Order = Callable[[list[Target], State, str, random.Random], list[Target]]
Score = tuple[float, float]


def by_score(targets: list[Target], scores: Sequence[Score]) -> list[Target]:
    """By priority, then those with a weight, then the lowest score, then as listed."""
    ranks = [(t.priority, t.weight <= 0, score, n) for n, (t, score) in enumerate(zip(targets, scores, strict=True))]
    ranks.sort()
    return [targets[rank[3]] for rank in ranks]


def drawn(targets: list[Target], state: State, key: str, rng: random.Random) -> list[Target]:
    """A draw by weight."""
    return in_order(targets, rng)


def round_robin(targets: list[Target], state: State, key: str, rng: random.Random) -> list[Target]:
    """In turn, by weight and evenly mixed: a target gains its weight each round and pays the whole when it is chosen."""
    return by_score(targets, [(-(state.credit.get(t.id, 0) + t.weight), 0) for t in targets])


def least_in_flight(targets: list[Target], state: State, key: str, rng: random.Random) -> list[Target]:
    """The fewest requests under way for its weight; a draw by weight among equals."""
    return by_score(targets, [(state.in_flight.get(t.id, 0) / (t.weight or 1), _draw(t, rng)) for t in targets])


def lowest_latency(targets: list[Target], state: State, key: str, rng: random.Random) -> list[Target]:
    """The quickest to its first byte. One request at a time goes to a target that was never measured, and a few go to
    any, since who is not asked is not measured."""
    if len(targets) < 2:
        return targets
    scores = [_latency(target, state) for target in targets]
    if rng.random() < EXPLORE:
        best = min(target.priority for target in targets)
        scores[rng.choice([n for n, target in enumerate(targets) if target.priority == best])] = (-2, 0)
    return by_score(targets, scores)


def sticky(targets: list[Target], state: State, key: str, rng: random.Random) -> list[Target]:
    """Rendezvous hashing: each key has an order of its own, in which a target that is lost moves nobody else's."""
    if not key:
        return in_order(targets, rng)
    hashed = int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return by_score(targets, [(_distance(t, hashed), 0) for t in targets])


def cheapest_first(targets: list[Target], costs: Mapping[int, int | None]) -> list[Target]:
    """By what each will cost about, nano-dollars by its id; one whose price nobody knows comes last, and those that cost
    the same stay in their order."""
    known = [costs.get(target.id) for target in targets]
    return by_score(targets, [(math.inf if each is None else each, 0) for each in known])


#: Failing over by priority and sharing by weight is one thing here; operators look for it under both words.
STRATEGIES: Final[dict[str, Order]] = {
    "priority": drawn,
    "weighted": drawn,
    "round_robin": round_robin,
    "least_in_flight": least_in_flight,
    "lowest_latency": lowest_latency,
    "sticky": sticky,
    "cheapest": drawn,  # among those that cost the same: who knows the prices puts the cheapest first
}


def _draw(target: Target, rng: random.Random) -> float:
    return -math.pow(rng.random(), 1 / (target.weight or 1))


def _latency(target: Target, state: State) -> Score:
    seconds = state.first_byte.get(target.id)
    if seconds is not None:
        return seconds, 0
    return (math.inf, 0) if state.in_flight.get(target.id) else (-1, 0)


def _distance(target: Target, hashed: int) -> float:
    """An exponential draw that depends on key and target alone; the weight is its rate. Both are mixed as splitmix64
    mixes its states: a hash of its own for each target would take most of a decision's time."""
    mixed = (hashed + (target.id + 1) * 0x9E3779B97F4A7C15) & MASK
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & MASK
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & MASK
    return -math.log(((mixed ^ mixed >> 31) + 0.5) / 2**64) / (target.weight or 1)


def sticky_key(by: str, facts: Facts) -> str:
    """What a request sticks by (one of STICKY); "" where it has no such thing, and a draw decides."""
    return _KEYS[by](facts) if by in _KEYS else _header(by.removeprefix("header:"), facts)


def check_sticky(by: str) -> None:
    """Raises BadRequest for what ``sticky_key`` does not know."""
    if by not in _KEYS and not (by.startswith("header:") and by.removeprefix("header:").strip()):
        raise BadRequest("sticky_by", f"must be one of {', '.join(STICKY)}")


def _header(name: str, facts: Facts) -> str:
    value = facts.headers.get(name.strip().lower().encode("latin-1", "replace"), b"")[:MAX_HEADER]
    return f"{facts.tenant_id}:{value.decode('latin-1')}" if value else ""


def _user(facts: Facts) -> str:
    return f"{facts.tenant_id}:{facts.end_user}" if facts.end_user else ""


_KEYS: Final[Mapping[str, Callable[[Facts], str]]] = {
    "key": lambda facts: str(facts.key_id) if facts.key_id else "",
    "user": _user,
    "conversation": lambda facts: facts.conversation,
}
