"""Sends what budgets warn of: by e-mail, and to webhooks signed as Standard Webhooks says.

Each warning is sent at least once: whoever claims one has a while in which nobody else does, and tells afterwards what
became of it. What fails is tried again with growing pauses for a day; each of the two ways on its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any, NamedTuple, Protocol

import orjson
from django.core.mail import EmailMessage, get_connection
from django.db import connection, transaction
from django.utils import timezone

from tenants import budget_words
from tenants.budget_rows import Budget, Notice
from tenants.figures import dollars

log = logging.getLogger(__name__)

MINUTE, HOUR = 60, 3600
PAUSES = (5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR)
"""Seconds until the next try, which are together a day."""
CLAIMED = timedelta(minutes=5)
"""How long whoever claims a notice has for it. Posts and mails have limits of time that are much shorter."""
SECONDS = 10
"""For one step of sending an e-mail, where nobody has set EMAIL_TIMEOUT."""
DONE = datetime(9999, 1, 1, tzinfo=UTC)
MAIL, WEBHOOK = "e-mail", "webhook"
LONGEST = 500


class Posts(Protocol):
    """What reaches webhooks: providers' Poster, which knows the addresses that may not be called."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]: ...

    def close(self) -> None: ...


def no_posts() -> Posts:
    raise RuntimeError("nobody has said how webhooks are reached")


posts: Callable[[], Posts] = no_posts
"""Makes one for each batch. Set by routing, which may know providers; tenants may not."""


class Due(NamedTuple):
    """A claimed notice, its budget, and the ways by which it still has to go."""

    notice: Notice
    budget: Budget | None
    ways: frozenset[str]


def send_due(now: datetime | None = None, limit: int = 20) -> int:
    """Send what is due, at most ``limit``; how many were tried. Blocks for seconds: not for an event loop, nor for a
    thread that others wait for."""
    due = claim(now or timezone.now(), limit)
    if not due:
        return 0
    wrong = [dict[str, str]() for _ in due]
    posted = asyncio.run(_post_all([each for each in due if WEBHOOK in each.ways]))
    mails: Any = get_connection()
    mails.timeout = getattr(mails, "timeout", None) or SECONDS
    for each, problems in zip(due, wrong, strict=True):
        if MAIL in each.ways and (words := _mail(each, mails)):
            problems[MAIL] = words
        if words := posted.get(each.notice.pk, ""):
            problems[WEBHOOK] = words
    for each, problems in zip(due, wrong, strict=True):
        _tell(each, problems)
    return len(due)


def claim(now: datetime, limit: int) -> list[Due]:
    """Notices that are due, nobody else's for a while."""
    with transaction.atomic():
        rows = Notice.objects.filter(sent_at=None, next_at__lte=now).order_by("next_at")
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        mine = [row for row in rows[:limit] if _claimed(row, now)]
    budgets = Budget.objects.select_related("tenant", "project", "key").in_bulk({row.budget_id for row in mine})
    return [Due(row, budget := budgets.get(row.budget_id), _ways(row, budget)) for row in mine]


def _claimed(row: Notice, now: datetime) -> bool:
    # The condition makes it one claimer's where rows cannot be locked.
    unchanged = Notice.objects.filter(pk=row.pk, next_at=row.next_at, tries=row.tries)
    row.tries += 1
    return bool(unchanged.update(next_at=now + CLAIMED, tries=row.tries))


def _ways(row: Notice, budget: Budget | None) -> frozenset[str]:
    """Those that the budget names; after a failure those that failed, which its error tells."""
    if budget is None:
        return frozenset()
    named = {MAIL: bool(budget.emails), WEBHOOK: bool(budget.webhook)}
    failed = {line.partition(":")[0] for line in row.error.splitlines()}
    return frozenset(way for way, is_named in named.items() if is_named and (not failed or way in failed))


def _tell(each: Due, problems: dict[str, str]) -> None:
    """What became of a notice."""
    row, now = each.notice, timezone.now()
    row.error = "\n".join(f"{way}: {words}" for way, words in problems.items())[:LONGEST]
    row.next_at = DONE
    if problems and row.tries <= len(PAUSES):
        row.next_at = now + timedelta(seconds=PAUSES[row.tries - 1])
    elif problems:
        log.error("a budget's warning could not be sent", extra={"notice": row.pk, "error": row.error})
    elif each.ways:
        row.sent_at = now
    else:
        row.error = row.error or ("The budget is gone." if each.budget is None else "It names nobody to tell.")
    row.save(update_fields=("error", "next_at", "sent_at"))


def _mail(each: Due, mails: Any) -> str:
    """Send it; what is wrong, empty if nothing is."""
    budget, row = each.budget, each.notice
    assert budget is not None
    message = EmailMessage(
        f"Budget {_line(budget.tenant.name)}: {_line(budget.name)} has reached {row.percent} %",
        text(row, budget),
        to=list(budget.emails),
        connection=mails,
        headers={
            "Message-ID": f"<budget-notice-{row.pk}.{row.created_at.timestamp():.0f}@llm-gateway>",
            "Date": formatdate(),
        },
    )
    try:
        message.send()
    except Exception as error:  # whatever a mail backend raises: it is tried again
        return type(error).__name__
    return ""


def text(row: Notice, budget: Budget) -> str:
    """A warning for people."""
    whose = f"end user {row.subject}" if row.subject else budget_words.subject(budget)
    period = budget.windows()
    lines = [
        f"The budget {budget.name} of {budget.tenant.name} has reached {row.percent} %.",
        "",
        f"Counted:  {whose}",
        f"Spent:    {dollars(row.spent)}",
        f"Of:       {dollars(row.cap)}",
        f"Since:    {budget_words.moment(row.start, period.zone) if row.start else 'the beginning'}",
        f"Renews:   {budget_words.renews(period, row.created_at.timestamp())}",
        "",
        "It is hard: requests that might pass it are refused." if budget.hard else "It is soft: nothing is refused.",
    ]
    return "\n".join(lines) + "\n"


def _line(words: str) -> str:
    """No header has two lines."""
    return " ".join(words.split())


async def _post_all(due: Sequence[Due]) -> dict[int, str]:
    """Post them at once; what is wrong, by the notice's id."""
    if not due:
        return {}
    poster = posts()
    try:
        wrong = await asyncio.gather(*(_post(poster, each) for each in due))
    finally:
        poster.close()
    return {each.notice.pk: words for each, words in zip(due, wrong, strict=True)}


async def _post(poster: Posts, each: Due) -> str:
    budget = each.budget
    assert budget is not None
    name, at = f"notice_{each.notice.pk}", int(timezone.now().timestamp())
    body = orjson.dumps(payload(each.notice, budget))
    try:
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(budget.secret, name, at, body),
        }
        status, _ = await poster.post(budget.webhook, headers, body)
    except Exception as error:  # nothing of one webhook may hold up another; the texts name no secret
        return str(error) or type(error).__name__
    return "" if 200 <= status < 300 else f"answered with status {status}"


def payload(row: Notice, budget: Budget) -> dict[str, Any]:
    """What is posted. Amounts are nano-dollars, times ISO 8601 (UTC)."""
    renews = budget.windows().renews_at(row.created_at.timestamp())
    return {
        "type": "budget.threshold",
        "id": f"notice_{row.pk}",
        "budget": budget.name,
        "tenant": budget.tenant.name,
        "subject": row.subject or budget_words.subject(budget),
        "percent": row.percent,
        "spent": row.spent,
        "cap": row.cap,
        "period_start": _time(row.start),
        "renews_at": _time(renews) if renews is not None else None,
        "created_at": row.created_at.astimezone(UTC).isoformat(),
    }


def signature(secret: str, name: str, at: int, body: bytes) -> str:
    """Of a message with this id, sent at this time. ``secret`` is whsec_ and base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, b"%s.%d." % (name.encode(), at) + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
