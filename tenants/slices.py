"""How large a worker's slices are, and how long it keeps them. No Django here, and no I/O.

Slices follow appetite: one that lasts for less than STRETCH seconds grows until it does, one that lasts for much longer
halves, and what nobody uses goes back. Near the cap the store gives less; and whoever cannot be served makes the counter scarce to all
workers for a while: then nobody keeps what it does not use, and all can use what is left.
"""

from __future__ import annotations

from typing import Final

from tenants.leases import MOST, Lease

STRETCH: Final = 8.0
"""Seconds that a slice should last."""
FIRST: Final = 4
"""Requests that a slice is for, at least."""
SCARCE: Final = 2.0
"""Seconds for which nobody keeps what it does not use, after somebody could not be served."""
HASTE: Final = 0.05
"""Seconds within which a slice does not grow again."""
MOST_GROWTH: Final = 8
"""Times its size, at once."""
IDLE: Final = 50.0
"""Seconds after which a lease that is not used goes back."""
RECHECK, RECHECK_SPENT = 0.25, 2.0
"""Seconds for which the store's "no" is believed: when others may give something back, and when nobody has anything."""


def excess(lease: Lease, all_of_it: bool) -> int:
    free = lease.free
    return free if all_of_it else free - lease.slice if free > 2 * lease.slice else 0


def appetite(lease: Lease, need: int, tick: float) -> int:
    """What to ask for so that it lasts for a while."""
    if tick < lease.scarce_until:
        return need
    since = tick - lease.refilled_at
    if since > HASTE:
        if since < STRETCH:
            lease.slice *= min(MOST_GROWTH, max(2, int(STRETCH / since)))
        elif since > 4 * STRETCH:
            lease.slice //= 2
        lease.refilled_at = tick
    lease.slice = min(MOST, max(lease.slice, FIRST * need))
    return lease.slice
