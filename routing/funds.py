"""Before a request is sent: is there room for it in every limit and budget that it counts in? Nothing here waits for the
database but for an empty slice. No Django here.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from routing.account import Account
from routing.call import Call
from routing.decision import Decision
from routing.errors import GatewayError
from routing.estimate import MEASURED, Estimate
from routing.table import Table, Target
from tenants.leases import MONEY, Counter, LeasesAway, Needs, OwnerEnded, Refusal, Reservation
from tenants.pricing import LAST_SECOND
from tenants.refills import Refills
from tenants.terms import Counted

TRIES: Final = 6
"""Of smaller and smaller caps, for what asks for none."""


def reserve(call: Call, decision: Decision, table: Table, refills: Refills | None) -> Coroutine[Any, Any, None] | None:
    """Reserve what the request may use at most; ``call.account`` holds it. May put a cap into the body. Where there is no
    room as it is, what is told is to be awaited. Raises GatewayError."""
    terms = call.terms
    counted = terms.counted(call.entry.end_user, call.entry.tags)
    estimate: Estimate | None = None
    if counted.measured or terms.max_output_tokens is not None:
        estimate = Estimate(call, decision, table)
    if (terms.unpriced == "block" or counted.hard) and (estimate is None or estimate.unpriced):
        _sift_unpriced(call, decision, table)
        estimate = estimate and Estimate(call, decision, table)
    if estimate is not None:
        estimate.require(hard=counted.hard, tokens=counted.tokens, capped=terms.max_output_tokens)
    if counted.counters:
        if refills is None:
            raise GatewayError("overloaded", "Limits and budgets cannot be kept here.", retry_after=60)
        outcome = _try(refills, counted.counters, _amounts(counted, estimate), call.entry.created_at)
        if not isinstance(outcome, Reservation):
            return _reserve_less(call, estimate, counted, refills, outcome)
        call.account = _account(refills, counted, outcome, estimate)
    if estimate is not None:
        estimate.put_cap()
    return None


async def _reserve_less(
    call: Call, estimate: Estimate | None, counted: Counted, refills: Refills, outcome: Refusal | Needs
) -> None:
    """Where there was no room: as much with a larger slice, or else as little as will do. Raises GatewayError."""
    found: Reservation | Refusal | Needs = outcome
    now = call.entry.created_at
    for tries in range(TRIES):
        amounts = _amounts(counted, estimate)
        if tries:
            found = _try(refills, counted.counters, amounts, now)
        if isinstance(found, Needs):
            found = await _wait(refills, counted.counters, amounts, now, found)
        if isinstance(found, Reservation):
            call.account = _account(refills, counted, found, estimate)
            if estimate is not None:
                estimate.put_cap()
            return
        if estimate is None or not estimate.shrink(found.counter.unit, found.available):
            raise refused(found, counted)
    raise GatewayError("overloaded", "Other requests take what is left of a limit faster than this one.", retry_after=1)


async def again(call: Call, account: Account, refills: Refills) -> Reservation:
    """Another attempt, after one whose cost nobody knows, may cost as much again. Raises GatewayError."""
    counted = account.counted
    reserved = zip(counted.units, account.reservation.amounts, strict=True)
    amounts = [amount if unit in MEASURED else 0 for unit, amount in reserved]
    now = call.entry.created_at
    outcome = _try(refills, counted.counters, amounts, now)
    if isinstance(outcome, Needs):
        outcome = await _wait(refills, counted.counters, amounts, now, outcome)
    if isinstance(outcome, Refusal):
        raise refused(outcome, counted)
    return outcome


def _sift_unpriced(call: Call, decision: Decision, table: Table) -> None:
    """Leave out what has no price. Raises GatewayError if nothing is left."""

    def reason(target: Target) -> str:
        found = table.price(target.upstream, target.model or call.model, call.entry.created_at)
        return "" if found is not None else "its model has no price"

    before = decision.targets
    decision.targets = decision.sift(before, reason)
    decision.spare = decision.sift(decision.spare, reason)
    if before and not decision.targets:
        message = (
            f"The model {call.model[:200]!r} has no price, so it cannot be used under this tenant's budget or policy."
        )
        raise GatewayError("permission", message, param="model", code="model_without_price")


def _amounts(counted: Counted, estimate: Estimate | None) -> list[int]:
    return (
        counted.amounts(estimate.money, estimate.tokens, 1, 1) if estimate is not None else counted.amounts(0, 0, 1, 1)
    )


def _account(refills: Refills, counted: Counted, made: Reservation, estimate: Estimate | None) -> Account:
    if estimate is None:
        return Account(refills.wallet, counted, made, 0, {})
    return Account(refills.wallet, counted, made, estimate.money, estimate.outputs if counted.hard else {})


def _try(
    refills: Refills, counters: Sequence[Counter], amounts: list[int], now: float
) -> Reservation | Refusal | Needs:
    if not 0 <= now <= LAST_SECOND:
        raise GatewayError(
            "overloaded", "No request can be accounted for: this machine's clock is wrong.", retry_after=60
        )
    try:
        return refills.reserve_now(counters, amounts, now)
    except ValueError as error:
        raise _unaccountable(error) from error


async def _wait(
    refills: Refills, counters: Sequence[Counter], amounts: list[int], now: float, needs: Needs
) -> Reservation | Refusal:
    try:
        return await refills.wait(counters, amounts, now, needs)
    except (LeasesAway, OwnerEnded) as error:
        message = "Limits and budgets cannot be checked now."
        raise GatewayError("overloaded", message, retry_after=5) from error
    except ValueError as error:
        raise _unaccountable(error) from error


def _unaccountable(error: ValueError) -> GatewayError:
    return GatewayError("invalid_request", f"The request cannot be accounted for: {error}")


def refused(refusal: Refusal, counted: Counted) -> GatewayError:
    """The 429 that names the limit or budget and says when it renews."""
    title = counted.titles[refusal.counter.name]
    if refusal.counter.unit != MONEY:
        return _limited(refusal, title)
    if refusal.reason == "held":
        when = "Other requests hold what is left of it; what they do not use comes back as they end."
    elif refusal.renews_at is None:
        when = "It does not renew."
    else:
        when = f"It renews at {datetime.fromtimestamp(refusal.renews_at, UTC):%Y-%m-%d %H:%M} UTC."
    message = f"The budget {title!r} has not enough left for this request. {when}"
    error = GatewayError("budget", message, headers={"x-should-retry": "false"})
    error.limit = title
    return error


def _limited(refusal: Refusal, title: str) -> GatewayError:
    wait = 1.0 if refusal.renews_at is None else max(0.0, refusal.renews_at - datetime.now(UTC).timestamp())
    if refusal.missing > refusal.counter.cap:
        message = f"This request alone is more than its limit of {refusal.counter.cap:,} {title} allows."
        error = GatewayError("rate_limit", message, headers={"x-should-retry": "false"})
    else:
        message = f"The limit of {refusal.counter.cap:,} {title} is reached."
        error = GatewayError("rate_limit", message, retry_after=max(1.0, wait))
    error.limit = title
    return error
