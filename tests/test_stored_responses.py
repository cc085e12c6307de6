"""Responses that the gateway keeps itself: the same promises in memory and in the database."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from tenants import responses
from tenants.responses import MemoryResponses, Missing, ResponseStore, TooLarge
from tests.stored_turns import CAP, FUTURE, PAST, a_response, held, noise, run

pytest_plugins = ("tests.response_stores",)
pytestmark = pytest.mark.django_db(transaction=True)


def test_what_is_saved_is_found_by_its_tenant_alone(store: ResponseStore, tenants: tuple[int, int]) -> None:
    mine, theirs = tenants

    async def story() -> None:
        item = a_response(mine, previous="resp_0")
        await store.save(item, CAP)
        assert await store.find(mine, "resp_1") == item
        assert await store.find(theirs, "resp_1") is None and await store.find(mine, "resp_2") is None
        assert await store.chain(theirs, "resp_1") == []
        assert not await store.forget(theirs, "resp_1") and await store.find(mine, "resp_1") == item
        assert await store.forget(mine, "resp_1") and not await store.forget(mine, "resp_1")
        assert await store.find(mine, "resp_1") is None

    run(story())


def test_saving_again_replaces_only_the_own_row(store: ResponseStore, tenants: tuple[int, int]) -> None:
    mine, theirs = tenants

    async def story() -> None:
        await store.save(a_response(theirs), CAP)
        await store.save(a_response(mine), CAP)
        again = a_response(mine, previous="resp_0", response=b"{}", input=b"[]", model="other", created_at=1.5)
        await store.save(again, CAP)
        assert await store.find(mine, "resp_1") == again
        assert await store.find(theirs, "resp_1") == a_response(theirs)

    run(story())


@pytest.mark.parametrize("seed", range(5))
def test_tenants_never_meet(store: ResponseStore, tenants: tuple[int, int], seed: int) -> None:
    """Whatever two tenants do under the same ids, each sees what it would see alone."""
    rng = random.Random(seed)
    alone = {tenant: MemoryResponses() for tenant in tenants}
    names = [f"resp_{number}" for number in range(5)]

    async def both(tenant: int, method: str, *arguments: Any) -> None:
        told = []
        for one in (store, alone[tenant]):
            try:
                told.append(await getattr(one, method)(*arguments))
            except Missing as gone:
                told.append(("missing", gone.id))
        assert told[0] == told[1]

    async def story() -> None:
        for number in range(60):
            tenant, name = rng.choice(tenants), rng.choice(names)
            older = [one for one in ["", *names] if one < name]  # no circles
            item = a_response(tenant, name, rng.choice(older), response=b"%d" % number)
            item = replace(item, expires_at=rng.choice([FUTURE, FUTURE, FUTURE, PAST]))
            method = rng.choice(["save", "save", "find", "chain", "forget"])
            await both(tenant, method, *((item, CAP) if method == "save" else (tenant, name)))
        for tenant in tenants:
            for name in names:
                await both(tenant, "find", tenant, name)
                await both(tenant, "chain", tenant, name)

    run(story())
    assert isinstance(store, MemoryResponses) or all(map(held, tenants))


def test_a_chain_is_told_from_its_beginning(store: ResponseStore, tenants: tuple[int, int]) -> None:
    mine, theirs = tenants

    async def story() -> None:
        first, second = a_response(mine, "a"), a_response(mine, "b", "a")
        third, other = a_response(mine, "c", "b"), a_response(mine, "fork", "a")
        for item in (third, first, a_response(theirs, "b", "x"), second, other, a_response(theirs, "a")):
            await store.save(item, CAP)
        assert await store.chain(mine, "c") == [first, second, third]
        assert await store.chain(mine, "fork") == [first, other]
        assert await store.chain(mine, "a") == [first]
        assert await store.chain(mine, "unknown") == [] and await store.chain(mine, "") == []

    run(story())


@pytest.mark.parametrize("way", ["deleted", "expired", "another's"])
def test_a_chain_with_a_gap_is_refused(store: ResponseStore, tenants: tuple[int, int], way: str) -> None:
    mine, theirs = tenants

    async def story() -> None:
        first = a_response(theirs if way == "another's" else mine, "a")
        await store.save(replace(first, expires_at=PAST) if way == "expired" else first, CAP)
        await store.save(a_response(mine, "b", "a"), CAP)
        await store.save(a_response(mine, "c", "b"), CAP)
        if way == "deleted":
            await store.forget(mine, "a")
        with pytest.raises(Missing) as gone:
            await store.chain(mine, "c")
        assert gone.value.id == "a" and "a" in str(gone.value)

    run(story())


def test_a_chain_is_bounded(store: ResponseStore, tenants: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    mine, _ = tenants
    most = 30
    monkeypatch.setattr(responses, "MOST_LINKS", most)

    async def story() -> None:
        links = [a_response(mine, f"r{n}", f"r{n - 1}" if n else "", response=b"{}") for n in range(most + 1)]
        await asyncio.gather(*(store.save(link, CAP) for link in links))
        assert await store.chain(mine, f"r{most - 1}") == links[:-1]
        with pytest.raises(TooLarge):
            await store.chain(mine, f"r{most}")
        await store.save(a_response(mine, "r0", "r1"), CAP)  # a circle
        with pytest.raises(TooLarge):
            await store.chain(mine, "r5")
        await store.save(links[0], CAP)
        monkeypatch.setattr(responses, "LARGEST_CHAIN", 1000)
        with pytest.raises(TooLarge):
            await store.chain(mine, "r20")
        assert len(await store.chain(mine, "r3")) == 4

    run(story())


def test_what_has_expired_is_not_there(store: ResponseStore, tenants: tuple[int, int]) -> None:
    mine, _ = tenants

    async def story() -> None:
        await store.save(a_response(mine, expires_at=PAST), CAP)
        assert await store.find(mine, "resp_1") is None and await store.chain(mine, "resp_1") == []
        assert not await store.forget(mine, "resp_1")
        await store.save(a_response(mine), CAP)  # its place may be taken
        assert await store.find(mine, "resp_1") == a_response(mine)

    run(story())


def test_a_tenant_holds_no_more_than_its_cap(store: ResponseStore, tenants: tuple[int, int]) -> None:
    mine, theirs = tenants

    async def story() -> None:
        large: dict[str, Any] = {"response": noise(40_000), "input": b"[]"}
        first, second = a_response(mine, "a", **large), a_response(mine, "b", **large)
        await store.save(replace(first, id="old", expires_at=PAST), 100_000)  # what has expired does not count
        await store.save(first, 100_000)
        await store.save(second, 100_000)
        with pytest.raises(TooLarge):
            await store.save(a_response(mine, "c", **large), 100_000)
        assert await store.find(mine, "a") == first and await store.find(mine, "b") == second
        assert await store.find(mine, "c") is None
        with pytest.raises(TooLarge):  # nor may one grow beyond it
            await store.save(a_response(mine, "b", response=noise(70_000)), 100_000)
        assert await store.find(mine, "b") == second
        await store.save(second, 100_000)  # in its own place
        await store.save(a_response(theirs, "c", **large), 100_000)
        await store.forget(mine, "a")
        await store.save(a_response(mine, "c", **large), 100_000)

    run(story())
    assert isinstance(store, MemoryResponses) or 80_000 < held(mine) < 100_000


def test_one_response_has_a_limit(
    store: ResponseStore, tenants: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, _ = tenants
    monkeypatch.setattr(responses, "LARGEST", 1000)

    async def story() -> None:
        await store.save(a_response(mine, response=b"x" * 500, input=b"y" * 500), CAP)
        with pytest.raises(TooLarge):
            await store.save(a_response(mine, response=b"x" * 500, input=b"y" * 501), CAP)
        assert await store.find(mine, "resp_1") == a_response(mine, response=b"x" * 500, input=b"y" * 500)

    run(story())


def test_memory_is_bounded_over_all_tenants() -> None:
    async def story() -> None:
        store = MemoryResponses(most=1000)
        await store.save(a_response(1, response=b"x" * 400, input=b"[]"), CAP)
        await store.save(a_response(2, response=b"x" * 400, input=b"[]"), CAP)
        with pytest.raises(TooLarge):
            await store.save(a_response(3, response=b"x" * 400, input=b"[]"), CAP)

    run(story())


@pytest.mark.parametrize("name", ["x" * 255, "x" * 256, "nul\0nul", "\ud800", "ünï", "%s", "'; --", " "])
def test_any_id_can_be_kept(store: ResponseStore, tenants: tuple[int, int], name: str) -> None:
    mine, _ = tenants

    async def story() -> None:
        item = a_response(mine, name, model="", route="", response=b"", input=b"")
        await store.save(item, CAP)
        assert await store.find(mine, name) == item and await store.find(mine, name + "y") is None
        await store.save(a_response(mine, "next", name), CAP)
        assert [link.response for link in await store.chain(mine, "next")][:1] == [b""]
        assert await store.forget(mine, name)

    run(story())
