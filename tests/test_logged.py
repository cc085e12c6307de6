"""What was asked and answered is kept: sealed, in batches, beside the requests, within bounds, for those who may read it."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from routing.hooks import HookReply, Means
from routing.shipped.request_log import Record, RequestLog
from tenants import upkeep
from tenants.ledger import Entry
from tenants.logged import OVERHEAD, LoggedRequests, opened
from tenants.models import LoggedRequest, Tenant
from tenants.sealed import Unreadable
from tests.admin_site import EVIL, add_usage, usage_id
from tests.hook_calls import BODY, begin, raw_call
from tests.live import LIMIT, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
WORDS = "the secret of the day"


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="acme")


def record(tenant_id: int, **changes: Any) -> Record:
    fields: dict[str, Any] = {"request_id": "r-1", "route": "m", "endpoint": "chat", "model": "gpt", "status": 200}
    fields |= {"request": b'{"a": "%s"}' % WORDS.encode(), "reply": b"[]"}
    return Record(id=str(uuid4()), tenant_id=tenant_id, **(fields | changes))


def store(**options: Any) -> LoggedRequests:
    return LoggedRequests(**options)


# ---------------------------------------------------------------- the store


def test_what_is_kept_is_sealed(tenant: Tenant, settings: Any) -> None:
    logged = store()
    kept = record(tenant.pk, error="rate_limit: Wait, \ud800.", cut=["reply"], days=3)
    logged.keep(kept)
    assert logged.write() and logged.counts == {"kept": 1}
    row = LoggedRequest.objects.get()
    assert (row.usage_id, row.tenant, row.request_id, row.endpoint) == (UUID(kept.id), tenant, "r-1", "chat")
    assert (row.route, row.model, row.status, row.request_cut, row.reply_cut) == ("m", "gpt", 200, False, True)
    assert row.expires_at - row.created_at == timedelta(days=3) and row.size == len(bytes(row.content))
    assert WORDS not in str(LoggedRequest.objects.values()) and WORDS.encode() not in bytes(row.content)
    assert opened(row) == (kept.request, b"[]", "rate_limit: Wait, ?.")
    row.usage_id = uuid4()
    with pytest.raises(Unreadable):
        opened(row)
    row.usage_id = UUID(kept.id)
    settings.GATEWAY_ENCRYPTION_KEYS = ["YW5vdGhlci1rZXktZm9yLXRlc3RzLWFub3RoZXItMDE="]
    with pytest.raises(Unreadable):
        opened(row)


def test_what_has_no_room_is_counted_and_said_once(tenant: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    logged = store(most=3 * (OVERHEAD + 10), clock=lambda: now[0])
    with caplog.at_level(logging.ERROR):
        for _ in range(7):
            logged.keep(record(tenant.pk, request=b"x" * 5, reply=b"y" * 5))
        assert len(logged) == 3 and logged.counts == {"dropped": 4}
        assert caplog.messages == ["bodies of 1 requests are not kept: there is no room for what waits to be written"]
        now[0] = 60.0
        logged.keep(record(tenant.pk))
        assert caplog.messages[1].startswith("bodies of 4 requests")
    assert logged.write() and logged.counts == {"kept": 3, "dropped": 5}
    logged.keep(record(tenant.pk, request=b"", reply=b""))
    assert logged.write() and logged.counts["kept"] == 4, "there is room again"


def test_the_database_is_away_for_a_while(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logged, insert, away = store(), LoggedRequests._insert, [True]

    def failing(self: LoggedRequests, rows: list[LoggedRequest]) -> None:
        if away[0]:
            raise OperationalError("away")
        insert(self, rows)

    monkeypatch.setattr(LoggedRequests, "_insert", failing)
    kept = [record(tenant.pk) for _ in range(250)]
    for each in kept:
        logged.keep(each)
    assert [logged.write() for _ in range(3)] == [False] * 3 and len(logged) == 250
    assert caplog.messages == ["requests cannot be logged; they are kept in memory and tried again"]
    away[0] = False
    assert logged.write()
    assert [str(row.usage_id) for row in LoggedRequest.objects.order_by("id")] == [each.id for each in kept]


def test_what_nobody_can_store_holds_up_nothing(tenant: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    logged = store()
    odd = [record(99), record(tenant.pk, status=10**9), record(tenant.pk), record(tenant.pk), record(tenant.pk)]
    odd[2].id, odd[3].error, odd[4].days = "no uuid", None, 10**9  # type: ignore[assignment]
    odd += [record(tenant.pk, request_id="r-2"), record(tenant.pk, route="\0" * 999, model="x" * 999)]
    for each in odd:
        logged.keep(each)
    assert logged.write() and logged.counts == {"kept": 3, "refused": 4}
    assert LoggedRequest.objects.get(request_id="r-2") and "not kept" in caplog.text


def test_a_thread_writes_and_never_a_request(tenant: Tenant) -> None:
    names: set[str] = set()

    class Watched(LoggedRequests):
        def write(self) -> bool:
            names.add(threading.current_thread().name)
            return super().write()

    logged = Watched(interval=0.01)
    logged.start()
    logged.keep(record(tenant.pk))
    wait_until(lambda: LoggedRequest.objects.count() == 1, "the record")
    for _ in range(20):
        logged.keep(record(tenant.pk))
    assert logged.stop(LIMIT) and logged.stop(LIMIT)
    assert LoggedRequest.objects.count() == 21 and names == {"request-log"}


def test_what_is_left_at_the_end_is_said(caplog: pytest.LogCaptureFixture, tenant: Tenant) -> None:
    logged = store()
    logged.keep(record(tenant.pk))
    assert not logged.stop(0) and "stopped before all logged requests were stored" in caplog.text


def test_a_deleted_tenants_bodies_go(tenant: Tenant) -> None:
    logged = store()
    logged.keep(record(tenant.pk))
    logged.write()
    tenant.delete()
    assert not LoggedRequest.objects.exists()


def test_what_has_expired_is_purged(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 2)
    facts: dict[str, Any] = {"tenant": tenant, "size": 1, "content": b"x", "created_at": NOW, "usage_id": uuid4()}
    for n in range(-3, 2):
        LoggedRequest.objects.create(expires_at=NOW + timedelta(seconds=n), request_id=str(n), **facts)
    assert upkeep.purge_logged(NOW, 1) == 1
    assert asyncio.run(upkeep.tidy(NOW)) == 3
    assert LoggedRequest.objects.get().request_id == "1"


# ---------------------------------------------------------------- the hook


def test_the_hook_fills_the_store(tenant: Tenant) -> None:
    logged = store()
    hook = RequestLog(RequestLog.Options(days=9), Means(keep=logged.keep))
    call = raw_call(tenant=tenant.pk)
    call.id = str(uuid4())
    assert begin(hook, call) is None

    async def end() -> None:
        from routing.hooks import HookCall, Hooks

        hooks, seen = Hooks(made=[hook]), HookCall(call)
        await hooks.begin(seen, lambda: None)
        await hooks.end(seen, HookReply(200, False, b'{"said": 1}'), Entry())

    asyncio.run(end())
    assert logged.write()
    row = LoggedRequest.objects.get()
    assert opened(row) == (BODY, b'{"said": 1}', "") and (row.expires_at - row.created_at).days == 9
    assert not row.request_cut and not row.reply_cut


# ---------------------------------------------------------------- the admin


def reader(*permissions: str) -> Client:
    user = User.objects.create(username=f"user{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def logged_row(tenant: Tenant, **changes: Any) -> LoggedRequest:
    logged = store()
    kept = record(tenant.pk, **changes)
    kept.id = str(usage_id(NOW, 1))
    logged.keep(kept)
    logged.write()
    return LoggedRequest.objects.get()


def test_only_who_may_read_them_sees_bodies(tenant: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    row = logged_row(tenant)
    page = reverse("admin:tenants_loggedrequest_change", args=[row.pk])
    listed = reverse("admin:tenants_loggedrequest_changelist")
    for closed in (reader("view_loggedrequest", "delete_loggedrequest", "view_usage"), Client()):
        for url in (page, listed):
            assert closed.get(url).status_code in (302, 403)
    may = reader("read_loggedrequest")
    assert may.get(listed).status_code == 200
    with caplog.at_level(logging.INFO):
        text = may.get(page).content.decode()
    assert WORDS in text and f"reads logged request {row.pk}" in caplog.text
    assert may.post(page, {}).status_code == 403


def test_bodies_are_shown_as_text_and_not_as_markup(admin_client: Client, tenant: Tenant) -> None:
    row = logged_row(tenant, request=EVIL.encode(), reply=b"\xff" + b"z" * 300_000, error=EVIL)
    text = admin_client.get(reverse("admin:tenants_loggedrequest_change", args=[row.pk])).content.decode()
    assert EVIL not in text and text.count("&lt;script&gt;") == 2
    assert "and 100,001 characters more" in text
    LoggedRequest.objects.update(content=b"x" * 100)
    text = admin_client.get(reverse("admin:tenants_loggedrequest_change", args=[row.pk])).content.decode()
    assert "It cannot be read: no key of GATEWAY_ENCRYPTION_KEYS opens it." in text


def test_the_requests_page_links_to_what_is_logged(tenant: Tenant) -> None:
    usage = add_usage()
    page = reverse("admin:tenants_usage_change", args=[usage.pk])
    may, other = reader("view_usage", "read_loggedrequest"), reader("view_usage")
    assert "not logged" in may.get(page).content.decode()
    logged = store()
    kept = record(tenant.pk)
    kept.id = str(usage.pk)
    logged.keep(kept)
    logged.write()
    link = reverse("admin:tenants_loggedrequest_change", args=[LoggedRequest.objects.get().pk])
    assert link in may.get(page).content.decode()
    text = other.get(page).content.decode()
    assert other.get(page).status_code == 200 and link not in text and "What was said" not in text
