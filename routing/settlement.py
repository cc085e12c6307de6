"""Money around one request: an intent before it is sent, what each of its attempts has cost, the settlement at its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from providers.billed import NOTHING
from routing import funds
from routing.background import under_way
from routing.call import GENERATING, UNMETERED, Call
from routing.charging import charge
from routing.decision import Decision
from routing.errors import GatewayError
from routing.retries import CONNECT, REFUSED, Outcome
from routing.table import Table
from tenants.ledger import Entry
from tenants.spool_owners import SpoolUnavailable
from tenants.uuid7 import uuid7

if TYPE_CHECKING:
    from routing.gateway import Gateway

#: How attempts end that no upstream bills, beside error statuses: it has not seen them.
UNSEEN: Final = frozenset({CONNECT, REFUSED, "breaker open", "queue full", "credentials rest"})

#: Endpoints whose upstream reads text before it answers: that has its cost, though the client leaves at once.
READING: Final = GENERATING | {"embeddings", "generate.embed"}


def free(outcome: Outcome) -> bool:
    """Whether no upstream bills an attempt that ended so."""
    if isinstance(outcome, int):
        return outcome >= 400
    return outcome in UNSEEN or outcome.startswith("cannot express")


async def prepare(gateway: Gateway, call: Call, decision: Decision, table: Table) -> None:
    """Reserve what the request may cost and write down that it will be sent. Raises GatewayError."""
    call.table = table
    if call.endpoint.name not in UNMETERED and call.terms.demanding:
        if (waiting := funds.reserve(call, decision, table, gateway.refills)) is not None:
            await waiting
        if gateway.options.tell_admission and call.account is not None:
            call.admitted = call.account.admitted
    call.aim(decision.targets[0])
    await intend(gateway, call)


async def intend(gateway: Gateway, call: Call) -> None:
    entry, account, ledger = call.entry, call.account, gateway.ledger
    bounds: dict[str, int] = {}
    entry.if_interrupted = call.terms.interrupted
    if account is not None:  # for this process may not live to settle
        bounds, entry.bound = account.reservation.bounds, account.bound
    try:
        if ledger.blocks:
            await asyncio.to_thread(ledger.intend, entry, bounds)
        else:
            ledger.intend(entry, bounds)
    except SpoolUnavailable as error:
        raise GatewayError("overloaded", f"No request can be accounted for now: {error}", retry_after=5) from error


def fail(call: Call, outcome: Outcome) -> None:
    """An attempt has come to nothing; what it has cost is known now, if the upstream may have worked for it."""
    entry, account = call.entry, call.account
    call.outcome, call.setback = outcome, None
    if free(outcome):
        return
    lost = entry.but(id=uuid7(), kind="attempt", corrects=entry.id, error_kind=str(outcome)[:20], declared=[])
    _price(call, lost)
    if call.tap is None or call.tap.usage is None:
        lost.estimated = True  # nobody knows
        if account is not None and account.hard:
            lost.cost = max(account.bound, lost.cost or 0)
    call.setback = lost


async def renew(gateway: Gateway, call: Call) -> None:
    """Before another attempt: as much as it may cost is reserved once more, and what the one before has cost is charged and
    recorded, whatever becomes of this process. Raises GatewayError if there is not enough left."""
    lost, account = call.setback, call.account
    if lost is None:
        return
    if account is not None:
        assert gateway.refills is not None
        account.lose(lost, await funds.again(call, account, gateway.refills))
    call.setback = None
    gateway.ledger.record(lost)


def checkpoint(gateway: Gateway) -> None:
    """Write down what the streams under way have come to, in case this process does not live to settle them: every second
    or so. A stream that has not moved since is left out."""
    for call in list(gateway.streams):
        tap, entry = call.tap, call.entry
        if tap is not None and tap.characters != call.marked and call.endpoint.name not in UNMETERED:
            call.marked = tap.characters
            call.spend(tap)
            _price(call, entry)
            gateway.ledger.checkpoint(entry)


def settle(gateway: Gateway, call: Call) -> None:
    """Charge what the request has cost and record it; later, if its upstream goes on with it. Never waits, never raises."""
    if under_way(call):
        gateway.background.follow(call)
    else:
        finish(gateway, call)


def finish(gateway: Gateway, call: Call) -> None:
    """What the request has cost, charged to its budgets and recorded."""
    entry, account = call.entry, call.account
    price(call)
    if account is not None:
        account.settle(entry)
    gateway.ledger.record(entry)


def foretell(call: Call) -> None:
    """As ``price``, of a whole reply before it is sent: its headers tell the cost."""
    if not under_way(call):
        price(call)


def price(call: Call) -> None:
    """What a request has cost whose reply has been read whole, or that has ended."""
    if call.priced:
        return
    call.priced = True
    entry, account = call.entry, call.account
    unsent = not entry.attempts or call.endpoint.name in UNMETERED
    if unsent or (call.outcome and free(call.outcome) and (call.tap is None or call.tap.usage is None)):
        entry.cost = 0
        return
    if entry.error_kind == "cancelled" and not call.outcome and call.endpoint.name in READING:
        call.guess_input()
    _price(call, entry)
    if account is not None and account.hard and not _told(call):
        entry.cost, entry.estimated = max(account.bound, entry.cost or 0), True


def _told(call: Call) -> bool:
    """Whether what the request has cost is known: the reply told it, or the client left in the middle of a stream of
    which something was seen. A stream that its provider has broken off may have cost anything."""
    tap, entry = call.tap, call.entry
    if tap is None:
        return False
    if tap.usage is not None and (tap.complete or tap.ended):
        return True
    if tap.complete and call.endpoint.name not in GENERATING:
        return True
    return entry.error_kind == "cancelled" and entry.stream and (tap.characters > 0 or tap.usage is not None)


def _price(call: Call, entry: Entry) -> None:
    """Fill in the cost by the price of the target of this attempt."""
    target, table = call.target, call.table
    if target is None or table is None:
        return
    billed = (call.tap.billed if call.tap is not None else None) or NOTHING
    charge(entry, table.price(target.upstream, entry.upstream_model, entry.created_at), billed)
