"""Whose upstream objects are: the same promises in memory and in the database; and the database off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from django.db import InterfaceError, OperationalError, connection, connections

from tenants import models, stored
from tenants.objects import MemoryStore, ObjectStore, ObjectStoreError, StoredObject
from tenants.stored import DatabaseStore

pytestmark = pytest.mark.django_db(transaction=True)
T = TypeVar("T")
PATIENCE = 30.0


def run(promise: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(promise, PATIENCE))


def an_object(object_id: str = "resp_1", tenant_id: int = 1, **changes: Any) -> StoredObject:
    facts: dict[str, Any] = {
        "kind": "response",
        "provider_id": 5,
        "credential_id": 6,
        "target_id": 7,
        "route": "fast",
        "model": "fast-1",
    }
    return StoredObject(object_id, tenant_id, **facts | changes)


@pytest.fixture
def database() -> Iterator[DatabaseStore]:
    store = DatabaseStore()
    yield store
    store.close()


@pytest.fixture(params=["memory", "database"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    made: ObjectStore = MemoryStore() if request.param == "memory" else request.getfixturevalue("database")
    return made


def test_what_is_remembered_is_found_by_its_owner_alone(store: ObjectStore) -> None:
    async def story() -> None:
        mine, theirs = an_object(), an_object("resp_2", tenant_id=2, kind="conversation", route="", model="ünï")
        await store.remember([mine, theirs])
        assert await store.find(1, ["resp_1", "resp_2", "unknown"]) == {"resp_1": mine}
        assert await store.find(2, ["resp_1", "resp_2"]) == {"resp_2": theirs}
        assert await store.find(3, ["resp_1", "resp_2"]) == {} and await store.find(1, []) == {}

    run(story())


def test_the_same_id_of_two_tenants_is_two_objects(store: ObjectStore) -> None:
    async def story() -> None:
        await store.remember([an_object(tenant_id=1, provider_id=1), an_object(tenant_id=2, provider_id=2)])
        assert [(await store.find(tenant, ["resp_1"]))["resp_1"].provider_id for tenant in (1, 2)] == [1, 2]

    run(story())


def test_remembering_again_changes_nothing(store: ObjectStore) -> None:
    async def story() -> None:
        await store.remember([an_object(provider_id=1), an_object(provider_id=2)])
        await store.remember([an_object(provider_id=3), an_object("new")])
        await store.remember([])
        assert {name: item.provider_id for name, item in (await store.find(1, ["resp_1", "new"])).items()} == {
            "resp_1": 1,
            "new": 5,
        }

    run(story())


def test_only_the_owner_can_forget(store: ObjectStore) -> None:
    async def story() -> None:
        await store.remember([an_object()])
        await store.forget(2, "resp_1")
        await store.forget(1, "unknown")
        assert list(await store.find(1, ["resp_1"])) == ["resp_1"]
        await store.forget(1, "resp_1")
        assert await store.find(1, ["resp_1"]) == {}

    run(story())


def test_many_at_once(store: ObjectStore) -> None:
    names = [f"item_{number}" for number in range(1234)]

    async def story() -> None:
        await store.remember([an_object(name) for name in names])
        found = await store.find(1, [*names, *names, "unknown"])
        assert sorted(found) == sorted(names) and all(item.object_id == name for name, item in found.items())

    run(story())


@pytest.mark.parametrize("name", ["x" * 255, "x" * 256, "x" * 100_000, "nul\0nul", "\ud800", "ünï", "%s", "'; --", " "])
def test_any_id_can_be_kept(store: ObjectStore, name: str) -> None:
    async def story() -> None:
        await store.remember([an_object(name, route="r" * 300, model="\0")])
        assert list(await store.find(1, [name, name + "y", name[:-1]])) == [name]
        assert (await store.find(1, [name]))[name].object_id == name
        await store.forget(1, name)
        assert await store.find(1, [name]) == {}

    run(story())


def test_it_is_committed_on_return_for_every_other_worker(database: DatabaseStore) -> None:
    run(database.remember([an_object()]))
    assert models.StoredObject.objects.get().object_id == "resp_1"
    other = DatabaseStore()
    try:
        assert run(other.find(1, ["resp_1"])) == {"resp_1": an_object()}
    finally:
        other.close()


def test_the_event_loop_goes_on_meanwhile(database: DatabaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query ends only when the loop has run something else."""
    go_on = threading.Event()
    find = stored._find

    def held(*arguments: Any) -> dict[str, StoredObject]:
        assert go_on.wait(PATIENCE)
        return find(*arguments)

    monkeypatch.setattr(stored, "_find", held)

    async def story() -> None:
        asked = asyncio.create_task(database.find(1, ["resp_1"]))
        await asyncio.sleep(0)
        assert not asked.done()
        go_on.set()
        assert await asked == {}

    run(story())


def test_what_comes_during_a_commit_is_committed_together(
    database: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun, sizes = threading.Event(), threading.Event(), []
    insert = stored._insert

    def held(wrapper: Any, objects: Any) -> None:
        sizes.append(len(objects))
        begun.set()
        assert go_on.wait(PATIENCE)
        insert(wrapper, objects)

    monkeypatch.setattr(stored, "_insert", held)

    async def story() -> None:
        first = asyncio.create_task(database.remember([an_object("first")]))
        await asyncio.to_thread(begun.wait, PATIENCE)
        rest = [asyncio.create_task(database.remember([an_object(f"id-{number}")])) for number in range(50)]
        rest[7].cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *rest, return_exceptions=True)
        assert [task.cancelled() for task in rest].count(True) == 1

    run(story())
    assert sizes[0] == 1 and len(sizes) == 2 and models.StoredObject.objects.count() == sum(sizes)


@pytest.mark.parametrize("error", [OperationalError("away"), InterfaceError("closed")])
@pytest.mark.parametrize(
    ("method", "arguments", "query"),
    [
        ("find", (1, ["resp_1"]), "_find"),
        ("remember", ([an_object()],), "_insert"),
        ("forget", (1, "resp_1"), "_forget"),
    ],
)
def test_without_the_database_nothing_is_known(
    database: DatabaseStore, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str, arguments: Any, query: str
) -> None:
    def broken(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(stored, query, broken)
        with pytest.raises(ObjectStoreError):
            run(getattr(database, method)(*arguments))
    assert (database.calls, database.errors) == (1, 1)
    run(getattr(database, method)(*arguments))
    assert (database.calls, database.errors) == (2, 1)


def test_a_call_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(stored, "_find", lambda *_: go_on.wait(PATIENCE) and {})
    database = DatabaseStore(timeout=0.05)
    try:
        with pytest.raises(ObjectStoreError):
            run(database.find(1, ["resp_1"]))
        assert 0.05 <= database.seconds < PATIENCE
    finally:
        go_on.set()
        database.close()


def test_close_ends_threads_and_connections(database: DatabaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    find = stored._find

    def watched(wrapper: Any, *arguments: Any) -> dict[str, StoredObject]:
        opened.append(wrapper)
        return find(wrapper, *arguments)

    monkeypatch.setattr(stored, "_find", watched)
    run(database.find(1, ["resp_1"]))
    assert opened[0] is not connections["default"] and opened[0].connection is not None
    database.close()
    assert opened[0].connection is None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("object-")]


@pytest.mark.postgres
def test_it_survives_the_end_of_its_connections(database: DatabaseStore) -> None:
    run(database.remember([an_object()]))
    run(database.find(1, ["resp_1"]))
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {others}")
        assert cursor.fetchone()[0] >= 2
    run(database.remember([an_object("resp_2")]))
    assert len(run(database.find(1, ["resp_1", "resp_2"]))) == 2 and database.errors == 0
