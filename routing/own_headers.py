"""What the gateway itself says in the head of a reply, line by line: where it is from, what is left of limits, what it cost."""

from __future__ import annotations

from functools import lru_cache

from routing.account import Account
from routing.call import Call
from routing.explain import told
from routing.headers import safe
from tenants.leases import Counter, Lease


def own_lines(call: Call) -> list[bytes]:
    """In pieces, as they go over the wire."""
    entry = call.entry
    found = [f"x-gateway-attempts: {entry.attempts}\r\n".encode()]
    if call.target is not None:
        found.append(_place(entry.provider, entry.upstream_model, entry.target_id))
        if entry.upstream_request_id:
            found.append(b"x-gateway-upstream-request-id: ")
            found.append(safe(entry.upstream_request_id))
            found.append(b"\r\n")
    if call.priced and entry.cost is not None:
        found.append(f"x-gateway-cost: {entry.cost}\r\n".encode())
    if call.account is not None:
        _add_limits(found, call.account)
    if call.key.may_explain and call.decision is not None and call.header(b"x-gateway-explain") == "1":
        found.append(b"x-gateway-explain: " + told(call, call.decision) + b"\r\n")
    return found


@lru_cache(4096)
def _place(provider: str, model: str, target_id: int) -> bytes:
    """The lines of a target."""
    lines = b"x-gateway-provider: %b\r\nx-gateway-model: %b\r\nx-gateway-target: %d\r\n"
    return lines % (provider.encode(), safe(model), target_id)


def _add_limits(found: list[bytes], account: Account) -> None:
    """Of requests and of tokens, the limit of which the least is left, as far as this process knows."""
    leases, counted = account.reservation.leases, account.counted
    for unit, places in counted.told:
        place = places[0] if len(places) == 1 else _tightest(leases, places)
        fixed = counted.written.get(place)
        if fixed is None:
            fixed = counted.written[place] = _fixed(unit, counted.counters[place])
        found.append(fixed)
        found.append(f"{_left(leases[place])}\r\n".encode())


def _fixed(unit: str, counter: Counter) -> bytes:
    """The lines of a limit, up to what is left of it."""
    lines = f"x-ratelimit-limit-{unit}: {counter.cap}\r\nx-ratelimit-reset-{unit}: {round(counter.seconds)}s\r\n"
    return f"{lines}x-ratelimit-remaining-{unit}: ".encode()


def _tightest(leases: list[Lease], places: list[int]) -> int:
    return min(places, key=lambda place: _left(leases[place]))


def _left(lease: Lease) -> int:
    left, cap = lease.granted - lease.spent - lease.reserved + lease.pool, lease.counter.cap
    return 0 if left < 0 else min(cap, left)
