"""Fetching what clients name by URL: from where, how much, and what they are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from providers.chat import BadRequest
from providers.media import Fetcher
from tests.media_site import Serve, redirect, reply, serving
from tests.test_media_types import JPEG, PDF, PNG, SVG

pytestmark = pytest.mark.asyncio
LOOPBACK = (ip_network("127.0.0.1/32"),)
FIELD = "messages[0].content[1]"


@asynccontextmanager
async def fetching(**options: Any) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(**{"allowed": LOOPBACK, "timeout": 60, **options})
    try:
        yield fetcher
    finally:
        await fetcher.close()


async def refusal(url: str, **options: Any) -> str:
    """What the client is told, which must name the field and nothing of the inside."""
    async with fetching(**options) as fetcher:
        with pytest.raises(BadRequest) as caught:
            await fetcher.fetch(url, FIELD)
    assert caught.value.field == FIELD
    assert not any(word in caught.value.message for word in ("127.0.0", "10.0.0", "secret", "192.168"))
    return caught.value.message


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def then_hanging(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await hanging(reader, writer)

    return serve


# ---------------------------------------------------------------- what is fetched


@pytest.mark.parametrize(
    ("body", "header", "media_type"),
    [
        (PNG, "image/png", "image/png"),
        (JPEG, "image/png", "image/jpeg"),
        (PDF, "text/html", "application/pdf"),
        (b"a,b\n", "text/csv", "text/csv"),
    ],
)
async def test_bytes_come_with_their_own_type(body: bytes, header: str, media_type: str) -> None:
    async with serving({"/x": reply(body, f"content-type: {header}")}) as site, fetching() as fetcher:
        assert await fetcher.fetch(site.url("/x"), FIELD) == (media_type, body)


async def test_a_request_carries_nothing_of_the_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    answers = {"/a?k=%20v": redirect("/b"), "/b": reply(PNG, "set-cookie: a=b")}
    async with serving({**answers}) as site, fetching() as fetcher:
        await fetcher.fetch(site.url("/a?k= v#fragment"), FIELD)
        await fetcher.fetch(site.url("/b"), FIELD)
    common = (
        f"host: 127.0.0.1:{site.port}\r\nuser-agent: llm-gateway\r\naccept: */*\r\naccept-encoding: identity\r\n\r\n"
    )
    assert site.heads == [f"GET {path} HTTP/1.1\r\n{common}".encode() for path in ("/a?k=%20v", "/b", "/b")]


async def test_a_chunked_body_of_the_very_limit_is_whole() -> None:
    body = PNG + bytes(500_000)
    pieces = [body[at : at + 70_001] for at in range(0, len(body), 70_001)]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked
    async with serving({"/x": answer}) as site, fetching(max_bytes=len(body)) as fetcher:
        assert await fetcher.fetch(site.url("/x"), FIELD) == ("image/png", body)
        assert "more than" in await refusal(site.url("/x"), max_bytes=len(body) - 1)


async def test_a_slow_body_is_waited_for() -> None:
    sent, go = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(PNG)[:-30])
        await writer.drain()
        sent.set()
        await go.wait()
        writer.write(PNG[-30:])
        await writer.drain()

    async with serving({"/x": slow}) as site, fetching() as fetcher:
        task = asyncio.create_task(fetcher.fetch(site.url("/x"), FIELD))
        await sent.wait()
        assert not task.done()
        go.set()
        assert await task == ("image/png", PNG)


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_followed(status: str) -> None:
    answers: dict[str, bytes | Serve] = {"/dir/a": redirect("../b?x=1", status), "/c": reply(PNG)}
    async with serving(answers) as site, fetching() as fetcher:
        answers["/b?x=1"] = redirect(site.url("/c"), status)
        assert (await fetcher.fetch(site.url("/dir/a"), FIELD))[1] == PNG
        assert site.paths == ["/dir/a", "/b?x=1", "/c"]


async def test_redirects_have_an_end() -> None:
    answers: dict[str, bytes | Serve] = {f"/{at}": redirect(f"/{at + 1}") for at in range(4)}
    answers["/4"] = reply(PNG)
    async with serving(answers) as site, fetching() as fetcher:
        assert (await fetcher.fetch(site.url("/1"), FIELD))[1] == PNG
        assert "too often" in await refusal(site.url("/0"))
        assert site.paths[4:] == ["/0", "/1", "/2", "/3"]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "//10.0.0.1/x",
        "http://127.1:{port}/inside",
        "http://0x7f000001:{port}/inside",
        "http://[::1]:{port}/inside",
        "http://user:secret@127.0.0.1:{port}/inside",
        "http://127.0.0.1:22/inside",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/inside",
        "http://[/",
        "http://a b/",
    ],
)
async def test_redirects_are_judged_like_the_first_url(location: str) -> None:
    answers: dict[str, bytes | Serve] = {"/inside": reply(PNG)}
    async with serving(answers) as site:
        answers["/x"] = redirect(location.format(port=site.port))
        await refusal(site.url("/x"))
        assert site.paths == ["/x"]


async def test_a_redirect_may_not_leave_https() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": "http://8.8.8.8/x"})

    assert "https to http" in await refusal("https://8.8.8.8/x", transport=httpx.MockTransport(answer))
    assert asked == ["https://8.8.8.8/x"]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("method", ["enabled", "disabled"])
async def test_fetching_can_be_off(method: str) -> None:
    async with serving({"/x": reply(PNG)}) as site:
        if method == "disabled":
            assert "none is fetched" in await refusal(site.url("/x"), enabled=False)
        else:
            async with fetching(enabled=True) as fetcher:
                await fetcher.fetch(site.url("/x"), FIELD)
        assert len(site.heads) == (method == "enabled")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(b"secret words", status="404 Not Found"), "status 404"),
        (reply(b"secret words", status="500 Oops"), "status 500"),
        (reply(b"", status="204 No Content"), "status 204"),
        (reply(b"", status="304 Not Modified"), "status 304"),
        (reply(PNG, "content-encoding: gzip"), "compressed"),
        (reply(b""), "leads to nothing"),
        (reply(b"<html>secret"), "web page"),
        (reply(b"secret", "content-type: text/html"), "web page"),
        (reply(SVG, "content-type: image/png"), "SVG"),
        (reply(bytes(99), "content-type: image/png"), "nothing of a known media type"),
        (redirect("")[:-2].replace(b"location", b"x-place") + b"\r\n", "redirects to nowhere"),
        (b"SSH-2.0-secret\r\n\r\n", "could not be fetched"),
    ],
)
async def test_what_is_no_media_is_refused(answer: bytes, words: str) -> None:
    async with serving({"/x": answer}) as site:
        assert words in await refusal(site.url("/x"))


async def test_a_body_shorter_than_it_says_is_never_taken() -> None:
    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(PNG, length=len(PNG) + 1))

    async with serving({"/x": short}) as site:
        assert "could not be fetched" in await refusal(site.url("/x"))


async def test_what_follows_a_body_is_not_its() -> None:
    async with serving({"/x": reply(PNG + b"more", length=len(PNG))}) as site, fetching() as fetcher:
        assert (await fetcher.fetch(site.url("/x"), FIELD))[1] == PNG


async def test_a_large_body_is_refused_by_its_length_alone() -> None:
    async with serving({"/x": then_hanging(reply(b"", length=1001))}) as site:
        assert "more than the 1000 bytes" in await refusal(site.url("/x"), max_bytes=1000)


async def test_an_endless_body_is_hung_up_on() -> None:
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(bytes(10_000))
                await writer.drain()
        finally:
            gone.set()

    async with serving({"/x": endless}) as site:
        assert "more than" in await refusal(site.url("/x"), max_bytes=1_000_000)
        await asyncio.wait_for(gone.wait(), 60)


@pytest.mark.parametrize("answer", [hanging, then_hanging(reply(PNG)[:-1]), then_hanging(b"HTTP/1.1 200 ")])
async def test_a_fetch_has_one_limit_of_time(answer: Serve) -> None:
    async with serving({"/x": answer}) as site:
        assert "in time" in await refusal(site.url("/x"), timeout=0.05)


async def test_no_server_is_no_leak() -> None:
    async with serving({}) as site:
        pass
    assert await refusal(site.url("/x")) == "its URL could not be fetched"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://8.8.8.8/x", "http://", "http:x", "//8.8.8.8/x", "x", "", "http://a:b@8.8.8.8/", "http://a@8.8.8.8/",
        "http://8.8.8.8:25/", "http://8.8.8.8:0/", "http://8.8.8.8:65536/", "http://8.8.8.8:x/", "http://\ud800/",
        "http://8.8.8.8/" + "x" * 9000, "http://a\r\nb/", "http://a%2eb/", "http://-a.b/",
        "http://" + "a" * 64 + ".b/", "http://..../", "http://8.8.8.8\\@10.0.0.1/",
        "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://0x7f000001/",
        "http://0177.0.0.1/", "http://017700000001/", "http://127.0.0.1./", "http://8.8.8.8./", "http://134744072/",
        "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/", "http://[fe80::1%25lo]/", "http://[2606:4700::1%25lo]/", "http://0/", "http://0.0.0.0/",
        "http://１２７.0.0.1/", "http://127。0。0。1/", "http://①②⑦.0.0.1/", "http://169.254.169.254/latest/",
        "http://100.64.0.1/", "http://10.0.0.1:8080/", "https://192.168.0.1/",
    ],
)  # fmt: skip
async def test_urls_that_are_never_asked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_lookup(*args: Any, **options: Any) -> Any:
        raise AssertionError(f"looked up {args}")

    asked: list[httpx.Request] = []
    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)
    transport = httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(500))  # type: ignore[func-returns-value]
    await refusal(url, transport=transport, allowed=())
    assert asked == []


async def test_an_allowed_address_must_still_be_spelled_plainly() -> None:
    async with serving({"/x": reply(PNG)}) as site:
        for host in ("127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1"):
            await refusal(site.url("/x", host))
        assert site.heads == []
