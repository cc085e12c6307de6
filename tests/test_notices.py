"""Warnings of budgets: signed, sent at least once, tried for a day; where they may go."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from providers.posting import Poster
from tenants import notices
from tenants.models import Budget, Notice
from tests.budget_windows import NANO
from tests.media_site import reply, serving

pytest_plugins = ("tests.budget_rows",)
pytestmark = pytest.mark.django_db
START = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Posts:
    """What webhooks got; ``status`` is what they answer, by URL."""

    def __init__(self, status: int | Exception = 200) -> None:
        self.status = status
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.sent.append((url, headers, body))
        if isinstance(self.status, Exception):
            raise self.status
        return self.status, b""

    def close(self) -> None:
        pass


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Posts:
    made = Posts()
    monkeypatch.setattr(notices, "posts", lambda: made)
    return made


@pytest.fixture
def warned(budget: Budget) -> Budget:
    budget.emails, budget.webhook = ["a@x.org", "b@x.org"], "https://ops.example.com/hook"
    budget.issue_secret()
    budget.save()
    return budget


def notice(budget: Budget, **more: Any) -> Notice:
    given = {"percent": 80, "spent": 81 * NANO, "cap": 100 * NANO, "start": START, "created_at": AT, "next_at": AT}
    return Notice.objects.create(budget_id=budget.pk, counter=budget.counter, **{**given, **more})


def test_a_known_signature() -> None:
    """The example of the libraries of Standard Webhooks."""
    found = notices.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_both_ways(warned: Budget, posts: Posts) -> None:
    row = notice(warned, subject="")
    assert notices.send_due() == 1 and notices.send_due() == 0
    row.refresh_from_db()
    assert row.sent_at is not None and row.error == "" and row.tries == 1
    (message,) = mail.outbox
    assert message.to == ["a@x.org", "b@x.org"] and message.subject == "Budget acme: monthly has reached 80 %"
    assert "$81.00" in message.body and "$100.00" in message.body and "2026-12-01 00:00 UTC" in message.body
    ((url, headers, body),) = posts.sent
    assert url == warned.webhook
    key = base64.b64decode(warned.secret[6:])
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert abs(int(headers["webhook-timestamp"]) - timezone.now().timestamp()) < 60
    assert json.loads(body) == {
        "type": "budget.threshold",
        "id": headers["webhook-id"],
        "budget": "monthly",
        "tenant": "acme",
        "subject": "the tenant",
        "percent": 80,
        "spent": 81 * NANO,
        "cap": 100 * NANO,
        "period_start": "2026-11-01T00:00:00+00:00",
        "renews_at": "2026-12-01T00:00:00+00:00",
        "created_at": "2026-11-28T12:00:00+00:00",
    }


def test_only_the_way_that_failed_is_tried_again(warned: Budget, posts: Posts) -> None:
    posts.status = 500
    row = notice(warned)
    now = timezone.now()
    assert notices.send_due(now) == 1
    row.refresh_from_db()
    assert row.error == "webhook: answered with status 500" and row.sent_at is None
    assert 4 < (row.next_at - now).total_seconds() < 60
    assert notices.send_due(now) == 0
    posts.status = 204
    assert notices.send_due(row.next_at) == 1
    row.refresh_from_db()
    assert row.sent_at is not None and row.error == "" and row.tries == 2
    assert len(mail.outbox) == 1 and len(posts.sent) == 2
    first, second = (headers for _, headers, _ in posts.sent)
    assert first["webhook-id"] == second["webhook-id"]


def test_a_day_of_trying(warned: Budget, posts: Posts) -> None:
    posts.status = OSError("gone")
    row = notice(warned)
    tries = 0
    while row.next_at < notices.DONE:
        tries += notices.send_due(row.next_at)
        row.refresh_from_db()
    assert tries == len(notices.PAUSES) + 1 == len(posts.sent) and len(mail.outbox) == 1
    assert row.sent_at is None and row.error == "webhook: gone"
    assert list(notices.PAUSES) == sorted(notices.PAUSES) and 23 < sum(notices.PAUSES) / 3600 <= 24


def test_mail_that_fails(warned: Budget, posts: Posts, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 5
    row = notice(warned)
    notices.send_due()
    row.refresh_from_db()
    assert row.error == "e-mail: ConnectionRefusedError" and row.sent_at is None and len(posts.sent) == 1


def test_nobody_to_tell_and_no_budget(budget: Budget, posts: Posts) -> None:
    alone, orphan = notice(budget), notice(Budget(pk=budget.pk + 1))
    assert notices.send_due() == 2
    for row, words in ((alone, "It names nobody to tell."), (orphan, "The budget is gone.")):
        row.refresh_from_db()
        assert (row.error, row.sent_at, row.next_at) == (words, None, notices.DONE)
    assert not posts.sent and not mail.outbox


def test_a_secret_that_no_key_opens(warned: Budget, posts: Posts, settings: Any) -> None:
    settings.GATEWAY_ENCRYPTION_KEYS = ["b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDI="]
    row = notice(warned)
    notices.send_due()
    row.refresh_from_db()
    assert "GATEWAY_ENCRYPTION_KEYS" in row.error and not posts.sent


def test_names_make_no_second_header(warned: Budget, posts: Posts) -> None:
    Budget.objects.filter(pk=warned.pk).update(name="a\r\nBcc: eve@x.org")
    notices.send_due() or notice(warned)
    notices.send_due()
    (message,) = mail.outbox
    assert message.subject == "Budget acme: a Bcc: eve@x.org has reached 80 %" and message.recipients() == warned.emails


def test_who_dies_with_a_claim_leaves_it_to_others(warned: Budget, posts: Posts) -> None:
    notice(warned)
    now = timezone.now()
    assert len(notices.claim(now, 10)) == 1
    assert notices.claim(now, 10) == [] and notices.claim(now + notices.CLAIMED / 2, 10) == []
    assert notices.send_due(now + notices.CLAIMED) == 1 and len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_claimed_by_one_of_many(warned: Budget) -> None:
    for _ in range(30):
        notice(warned)
    found: list[int] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        while mine := notices.claim(AT, 3):
            found.extend(each.notice.pk for each in mine)
        connections["default"].close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == sorted(Notice.objects.values_list("pk", flat=True)), connection.vendor


def posted(budget: Budget, allowed: tuple[Any, ...], answer: Any, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Send what is due by the real poster to a site of the test's; the heads that it saw."""

    def send(url: str) -> None:
        Budget.objects.filter(pk=budget.pk).update(webhook=url)
        notices.send_due()
        connections["default"].close()

    async def go() -> list[bytes]:
        async with serving({"/hook": answer}) as site:
            await asyncio.to_thread(send, site.url("/hook"))
            return list(site.heads)

    monkeypatch.setattr(notices, "posts", lambda: Poster(allowed))
    return asyncio.run(go())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("allowed", "error"), [((), "address"), ((ip_network("127.0.0.0/8"),), "")])
def test_private_addresses_only_where_they_are_allowed(
    warned: Budget, allowed: tuple[Any, ...], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = notice(warned)
    heads = posted(warned, allowed, reply(b"ok"), monkeypatch)
    row.refresh_from_db()
    if error:
        assert heads == [] and "may not call" in row.error and row.sent_at is None
    else:
        assert heads[0].startswith(b"POST /hook HTTP/1.1") and b"webhook-signature: v1," in heads[0]
        assert row.sent_at is not None


def test_the_gateways_own_posts_are_hooks() -> None:
    poster = notices.posts()
    assert isinstance(poster, Poster)
    poster.close()


def test_the_command(warned: Budget, posts: Posts) -> None:
    for _ in range(25):
        notice(warned)
    out = io.StringIO()
    call_command("send_notices", limit=22, stdout=out)
    assert out.getvalue() == "22 warnings tried.\n" and len(posts.sent) == 22
    call_command("send_notices", stdout=out)
    assert len(posts.sent) == 25
