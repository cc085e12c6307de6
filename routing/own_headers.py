"""What the gateway itself says in the headers of a reply: where it is from, what is left of limits, what it cost."""

from __future__ import annotations

from providers.light import Header
from routing import headers
from routing.account import Account
from routing.call import Call
from routing.explain import told
from tenants.leases import Counter, Lease


def own_headers(call: Call) -> list[Header]:
    entry = call.entry
    found = [(b"x-gateway-attempts", b"%d" % entry.attempts)]
    if call.target is not None:
        found += [
            (b"x-gateway-provider", entry.provider.encode()),
            (b"x-gateway-model", headers.safe(entry.upstream_model)),
            (b"x-gateway-target", b"%d" % entry.target_id),
        ]
        if entry.upstream_request_id:
            found.append((b"x-gateway-upstream-request-id", headers.safe(entry.upstream_request_id)))
    if call.priced and entry.cost is not None:
        found.append((b"x-gateway-cost", b"%d" % entry.cost))
    if call.account is not None:
        found += limits_left(call.account)
    if call.key.may_explain and call.decision is not None and call.header(b"x-gateway-explain") == "1":
        found.append((b"x-gateway-explain", told(call, call.decision)))
    return found


def limits_left(account: Account) -> list[Header]:
    """Of requests and of tokens, the limit of which the least is left, as far as this process knows."""
    leases, counted = account.reservation.leases, account.counted
    found: list[Header] = []
    for unit, places in counted.told:
        place = places[0] if len(places) == 1 else min(places, key=lambda each: _left(leases[each]))
        fixed = counted.written.get(place)
        if fixed is None:
            fixed = counted.written[place] = _fixed(unit, counted.counters[place])
        limit, remaining, reset = fixed
        found += (limit, (remaining, b"%d" % _left(leases[place])), reset)
    return found


def _fixed(unit: bytes, counter: Counter) -> tuple[Header, bytes, Header]:
    """The limit, the name of what remains, and the reset."""
    limit = b"x-ratelimit-limit-" + unit, b"%d" % counter.cap
    return limit, b"x-ratelimit-remaining-" + unit, (b"x-ratelimit-reset-" + unit, b"%ds" % round(counter.seconds))


def _left(lease: Lease) -> int:
    left, cap = lease.granted - lease.spent - lease.reserved + lease.pool, lease.counter.cap
    return 0 if left < 0 else min(cap, left)
