"""Posts to URLs that hooks name: where to, with what, and what may come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from providers.posting import Poster, PostError
from tests.media_site import Site, redirect, reply, serving

pytestmark = pytest.mark.asyncio
LOOPBACK = (ip_network("127.0.0.1/32"),)


@asynccontextmanager
async def posting(site: dict[str, Any], **options: Any) -> AsyncIterator[tuple[Site, Poster]]:
    poster = Poster(**{"allowed": LOOPBACK, "timeout": 60.0, **options})
    async with serving(site) as found:
        yield found, poster
    poster.close()


async def test_a_post_and_its_reply() -> None:
    bodies: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await reader.readexactly(4))
        writer.write(reply(b"said", status="403 Forbidden"))

    async with posting({"/who?x=1": take}) as (site, poster):
        found = await poster.post(site.url("/who?x=1"), {"Content-Type": "text/x", "user-agent": "me"}, b"body")
    assert found == (403, b"said") and bodies == [b"body"]
    (head,) = site.heads
    assert head.startswith(b"POST /who?x=1 HTTP/1.1\r\n") and b"content-length: 4\r\n" in head
    assert b"content-type: text/x" in head and head.count(b"user-agent: ") == 1 and b"cookie" not in head


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/",
        "http://[::1]:{port}/",
    ],
)
async def test_private_addresses_only_where_they_are_allowed(url: str) -> None:
    async with posting({"/": reply(b"inside")}, allowed=()) as (site, poster):
        with pytest.raises(PostError, match="address"):
            await poster.post(url.format(port=site.port), {}, b"")
    assert site.heads == []


@pytest.mark.parametrize(
    "url", ["ftp://a.test/", "https://", "http://u:p@127.0.0.1/", "nothing", "http://a b/", "x" * 9000]
)
async def test_what_is_no_url(url: str) -> None:
    async with posting({}) as (_, poster):
        with pytest.raises(PostError, match="URL"):
            await poster.post(url, {}, b"")


@pytest.mark.parametrize(
    "headers", [{"x": "a\r\nb: c"}, {"a b": "c"}, {"host": "x"}, {"Content-Length": "3"}, {"": "x"}, {"x": "\xff"}]
)
async def test_headers_that_cannot_be_sent(headers: dict[str, str]) -> None:
    async with posting({"/": reply(b"x")}) as (site, poster):
        with pytest.raises(PostError, match="header"):
            await poster.post(site.url("/"), headers, b"")
    assert site.heads == []


async def test_limits_of_size_and_time_and_no_redirect() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    site = {
        "/big": reply(b"x" * 101),
        "/moved": redirect("/big"),
        "/never": hang,
        "/zip": reply(b"x", "content-encoding: gzip"),
    }
    async with posting(site, max_bytes=100) as (found, poster):
        with pytest.raises(PostError, match="more than 100 bytes"):
            await poster.post(found.url("/big"), {}, b"")
        assert (await poster.post(found.url("/moved"), {}, b""))[0] == 302
        with pytest.raises(PostError, match="compressed"):
            await poster.post(found.url("/zip"), {}, b"")
        poster.timeout = 0.05
        with pytest.raises(PostError, match="in time"):
            await poster.post(found.url("/never"), {}, b"")
    assert found.paths == ["/big", "/moved", "/zip", "/never"]


async def test_nobody_there() -> None:
    async with posting({}) as (site, poster):
        url = site.url("/")
    with pytest.raises(PostError, match="no answer"):
        await poster.post(url, {}, b"")
