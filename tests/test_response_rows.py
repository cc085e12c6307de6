"""Stored responses in the database: sealed, counted, deleted with their tenant, and off the event loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tenants import models, stored_responses
from tenants.responses import ResponseStoreError, TooLarge
from tenants.stored_responses import DatabaseResponses
from tests.stored_turns import CAP, PAST, PATIENCE, SAID, a_response, held, noise, run

pytest_plugins = ("tests.response_stores",)
pytestmark = pytest.mark.django_db(transaction=True)


def test_what_has_expired_makes_room(database: DatabaseResponses, tenants: tuple[int, int]) -> None:
    """At once, though it is deleted only when the room is needed or the hour is over."""
    mine, theirs = tenants

    async def story() -> None:
        for name in ("a", "b"):
            await database.save(a_response(mine, name, response=noise(20_000), expires_at=PAST), 50_000)
        await database.save(a_response(theirs, "a", expires_at=PAST), 50_000)
        await database.save(a_response(mine, "small"), 50_000)
        assert await models.StoredResponse.objects.acount() == 4
        with pytest.raises(TooLarge):
            await database.save(a_response(mine, "c", response=noise(60_000)), 50_000)
        await database.save(a_response(mine, "c", response=noise(20_000)), 50_000)

    run(story())
    assert 20_000 < held(mine) < 25_000 and held(theirs)


def test_the_cap_holds_for_what_comes_together(database: DatabaseResponses, tenants: tuple[int, int]) -> None:
    mine, theirs = tenants
    other = DatabaseResponses(timeout=PATIENCE)

    async def story() -> list[Any]:
        saves = [
            one.save(a_response(mine, f"r{number}", response=noise(9_000, number)), 50_000)
            for number, one in enumerate([database, other] * 20)
        ]
        saves.append(database.save(a_response(theirs), 50_000))
        return await asyncio.gather(*saves, return_exceptions=True)

    try:
        told = run(story())
    finally:
        other.close()
    assert [one for one in told if one is None] == [None] * 6
    assert {type(one) for one in told} == {type(None), TooLarge}
    assert 45_000 < held(mine) <= 50_000
    assert models.StoredResponse.objects.filter(tenant=mine).count() == 5


def test_what_the_database_holds_tells_nothing(database: DatabaseResponses, tenants: tuple[int, int]) -> None:
    mine, _ = tenants
    item = a_response(mine)
    run(database.save(item, CAP))
    row = models.StoredResponse.objects.values().get()
    assert row["size"] == len(row["content"]) and SAID.encode() not in bytes(row["content"])
    assert SAID not in repr({name: value for name, value in row.items() if name != "content"})
    if connection.vendor == "sqlite":
        name = str(connection.settings_dict["NAME"])
        files = [Path(name + end) for end in ("", "-wal") if Path(name + end).exists()]
        held = b"".join(path.read_bytes() for path in files)
        assert item.id.encode() in held and SAID.encode() not in held
    assert SAID.encode() in item.response and SAID.encode() in item.input


def test_old_keys_read_and_new_ones_write(database: DatabaseResponses, tenants: tuple[int, int], settings: Any) -> None:
    mine, _ = tenants
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.GATEWAY_ENCRYPTION_KEYS = [old]
    run(database.save(a_response(mine, "a"), CAP))
    settings.GATEWAY_ENCRYPTION_KEYS = [new, old]
    assert run(database.find(mine, "a")) == a_response(mine, "a")
    run(database.save(a_response(mine, "b", "a"), CAP))
    assert len(run(database.chain(mine, "b"))) == 2
    settings.GATEWAY_ENCRYPTION_KEYS = [new]
    assert run(database.find(mine, "b")) == a_response(mine, "b", "a")
    for ask in (database.find, database.chain):
        with pytest.raises(ResponseStoreError, match="GATEWAY_ENCRYPTION_KEYS") as error:
            run(ask(mine, "a"))
        assert type(error.value) is ResponseStoreError and SAID not in str(error.value)


def test_content_is_worth_nothing_in_another_row(database: DatabaseResponses, tenants: tuple[int, int]) -> None:
    mine, theirs = tenants
    run(database.save(a_response(theirs), CAP))
    models.StoredResponse.objects.update(tenant=mine)
    with pytest.raises(ResponseStoreError):
        run(database.find(mine, "resp_1"))


def test_it_is_committed_on_return_for_every_other_worker(
    database: DatabaseResponses, tenants: tuple[int, int]
) -> None:
    mine, _ = tenants
    run(database.save(a_response(mine), CAP))
    assert models.StoredResponse.objects.get().response_id == "resp_1"
    other = DatabaseResponses()
    try:
        assert run(other.find(mine, "resp_1")) == a_response(mine)
    finally:
        other.close()


def test_a_tenant_takes_its_responses_along(
    database: DatabaseResponses, tenants: tuple[int, int], admin_client: Client
) -> None:
    """However it is deleted; and the page that asks whether to delete it does not load them."""
    mine, theirs = tenants
    for tenant in tenants:
        run(database.save(a_response(tenant), CAP))
    models.Tenant.objects.get(pk=mine).delete()
    assert models.StoredResponse.objects.get().tenant_id == theirs
    url = reverse("admin:tenants_tenant_delete", args=[theirs])
    with CaptureQueriesContext(connection) as asked:
        assert admin_client.get(url).status_code == 200
    assert "content" not in "".join(query["sql"] for query in asked if "storedresponse" in query["sql"])
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not any(model.objects.exists() for model in (models.StoredResponse, models.StoredBytes, models.Tenant))


def test_nothing_is_kept_for_a_tenant_that_is_gone(database: DatabaseResponses, tenants: tuple[int, int]) -> None:
    mine, theirs = tenants
    models.Tenant.objects.get(pk=theirs).delete()

    async def story() -> list[Any]:
        saves = [database.save(a_response(tenant), CAP) for tenant in (theirs, mine)]
        return await asyncio.gather(*saves, return_exceptions=True)

    gone, kept = run(story())
    assert type(gone) is ResponseStoreError and kept is None
    assert models.StoredResponse.objects.get().tenant_id == mine


def test_the_event_loop_goes_on_meanwhile(database: DatabaseResponses, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query ends only when the loop has run something else."""
    go_on = threading.Event()
    monkeypatch.setattr(stored_responses, "_find", lambda *_: None if go_on.wait(PATIENCE) else 1)

    async def story() -> None:
        asked = asyncio.create_task(database.find(1, "resp_1"))
        await asyncio.sleep(0)
        assert not asked.done()
        go_on.set()
        assert await asked is None

    run(story())


@pytest.mark.parametrize("error", [OperationalError("away"), InterfaceError("closed")])
@pytest.mark.parametrize("method", ["find", "chain", "save", "forget"])
def test_without_the_database_nothing_is_known(
    database: DatabaseResponses,
    tenants: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    method: str,
) -> None:
    arguments: tuple[Any, ...] = (a_response(tenants[0]), CAP) if method == "save" else (tenants[0], "resp_1")

    def broken(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(stored_responses, f"_{method}", broken)
        with pytest.raises(ResponseStoreError) as told:
            run(getattr(database, method)(*arguments))
    assert type(told.value) is ResponseStoreError and (database.calls, database.errors) == (1, 1)
    run(getattr(database, method)(*arguments))
    assert (database.calls, database.errors) == (2, 1) and database.seconds > 0


def test_the_admin_lists_and_deletes_but_shows_no_content(
    database: DatabaseResponses, tenants: tuple[int, int], admin_client: Client
) -> None:
    mine, theirs = tenants
    run(database.save(a_response(mine, "mine"), CAP))
    run(database.save(a_response(theirs, "theirs"), CAP))
    url = reverse("admin:tenants_storedresponse_changelist")
    row = models.StoredResponse.objects.get(response_id="mine")
    with CaptureQueriesContext(connection) as asked:
        everything = admin_client.get(url).content.decode()
        one = admin_client.get(reverse("admin:tenants_storedresponse_change", args=[row.pk])).content.decode()
    assert '"content"' not in "".join(query["sql"] for query in asked if "storedresponse" in query["sql"])
    assert all(word in everything for word in ("mine", "theirs", "gpt-ünï")) and "gpt-*" in one
    assert 'name="_save"' not in one
    found = admin_client.get(url, {"q": "theirs"}).content.decode()
    assert str(reverse("admin:tenants_storedresponse_change", args=[row.pk])) not in found
    filtered = admin_client.get(url, {"tenant": str(theirs)}).content.decode()
    assert str(reverse("admin:tenants_storedresponse_change", args=[row.pk])) not in filtered
    admin_client.post(url, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert models.StoredResponse.objects.get().response_id == "theirs"
    assert not held(mine) and held(theirs)
    left = models.StoredResponse.objects.get()
    admin_client.post(reverse("admin:tenants_storedresponse_delete", args=[left.pk]), {"post": "yes"})
    assert not models.StoredResponse.objects.exists() and not held(theirs)


@pytest.mark.postgres
def test_it_survives_the_end_of_its_connections(database: DatabaseResponses, tenants: tuple[int, int]) -> None:
    mine, _ = tenants
    run(database.save(a_response(mine, "a"), CAP))
    run(database.find(mine, "a"))
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {others}")
        assert cursor.fetchone()[0] >= 2
    run(database.save(a_response(mine, "b", "a"), CAP))
    assert len(run(database.chain(mine, "b"))) == 2 and database.errors == 0
