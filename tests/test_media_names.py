"""Names in clients' URLs: looked up once, judged, and connected to as judged; certificates; and whatever URL there is."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from providers import media
from providers.chat import BadRequest
from providers.media import Fetcher, MediaGuard
from providers.native_connection import Connection
from providers.native_engine import NativeTransport
from tests.media_site import redirect, reply, serving
from tests.test_media_types import PNG

CONTEXT = ssl.create_default_context()
LOOPBACK = (ip_network("127.0.0.1/32"),)
Answers = list[list[str]]


def entries(found: list[str], port: int) -> list[Any]:
    kind = {4: socket.AF_INET, 6: socket.AF_INET6}
    return [(kind[ip_address(text).version], socket.SOCK_STREAM, 6, "", (text, port)) for text in found]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Answers]], list[str]]:
    """Makes the only names there are; each look-up takes the next answer. The list tells what was looked up."""

    def make(known: dict[str, Answers]) -> list[str]:
        asked: list[str] = []

        def lookup(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
            asked.append(host)
            if not known.get(host):
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return entries(known[host].pop(0), port)

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        return asked

    return make


Names = Callable[[dict[str, Answers]], list[str]]


async def told(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(BadRequest) as caught:
        await fetcher.fetch(url, "input")
    return caught.value.message


@pytest.mark.asyncio
async def test_a_name_is_looked_up_once_and_its_good_address_called(names: Names) -> None:
    fetcher = Fetcher(allowed=LOOPBACK)
    async with serving({"/x": reply(PNG)}) as site:
        asked = names({"media.test": [["10.0.0.1", "::1", "127.0.0.1"], ["10.0.0.1"]]})
        assert await fetcher.fetch(site.url("/x", "media.test"), "input") == ("image/png", PNG)
        assert asked == ["media.test"]
        assert f"host: media.test:{site.port}\r\n".encode() in site.heads[0]
    await fetcher.close()


@pytest.mark.asyncio
async def test_a_name_that_changes_is_judged_anew(names: Names) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect("/y").replace(b"\r\n", b"\r\nconnection: close\r\n", 1))

    fetcher = Fetcher(allowed=LOOPBACK)
    async with serving({"/x": leave, "/y": reply(PNG)}) as site:
        asked = names({"media.test": [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1"]]})
        assert await told(fetcher, site.url("/x", "media.test")) == media.NO_ADDRESS
        assert asked == ["media.test"] * 2
        assert site.paths == ["/x"]
    await fetcher.close()


@pytest.mark.asyncio
async def test_a_name_that_leads_inside_is_told_like_one_that_is_not(names: Names) -> None:
    fetcher = Fetcher()
    asked = names({"inside.test": [["10.0.0.1", "fd00::1", "169.254.169.254"]], "empty.test": [[]]})
    words = {await told(fetcher, f"http://{name}.test/x") for name in ("inside", "empty", "none")}
    assert len(words) == 1
    assert asked == ["inside.test", "empty.test", "none.test"]
    await fetcher.close()


@pytest.mark.asyncio
async def test_a_name_goes_out_as_it_was_encoded(names: Names) -> None:
    fetcher = Fetcher()
    asked = names({})
    await told(fetcher, "http://faß.example/x")
    assert asked == ["xn--fa-hia.example"]
    await fetcher.close()


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context for ``name``, and the file that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    certificate = builder.add_extension(x509.BasicConstraints(True, None), critical=True).sign(key, hashes.SHA256())
    trusted, secret = folder / "trusted.pem", folder / "key.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, secret)
    return context, trusted


@pytest.mark.asyncio
async def test_a_certificate_must_be_of_the_name_in_the_url(
    names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = certified(tmp_path, "media.test")
    here = ["127.0.0.1"]
    names({"media.test": [here, here], "other.test": [here]})
    async with serving({"/x": reply(PNG)}, context) as site:
        stranger = Fetcher(allowed=LOOPBACK)
        assert await told(stranger, site.url("/x", "media.test")) == "its URL could not be fetched"
        monkeypatch.setattr(media, "_trusted", ssl.create_default_context)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        fetcher = Fetcher(allowed=LOOPBACK)
        assert await told(fetcher, site.url("/x", "other.test")) == "its URL could not be fetched"
        assert await told(fetcher, site.url("/x")) == "its URL could not be fetched"
        assert site.heads == []
        assert await fetcher.fetch(site.url("/x", "media.test"), "input") == ("image/png", PNG)
        await stranger.close()
        await fetcher.close()


# ---------------------------------------------------------------- whatever URL there is


class Called(NativeTransport):
    """Connects nowhere and remembers where to."""

    def __init__(self) -> None:
        super().__init__(MediaGuard(), CONTEXT)
        self.called: list[str] = []

    async def _first(self, addresses: list[str], port: int, secure: dict[str, Any]) -> Connection:
        self.called += addresses
        raise httpx.ConnectError("nowhere")


number = st.integers(0, 2**32 - 1)
spelled = st.one_of(
    number.map(str),
    number.map(hex),
    number.map(lambda value: f"0{value:o}"),
    number.map(lambda value: f"[::ffff:{value >> 16:x}:{value & 0xFFFF:x}]"),
    number.map(lambda value: f"[64:ff9b::{value >> 16:x}:{value & 0xFFFF:x}]"),
    number.map(lambda value: f"{value >> 24:#x}.{value >> 16 & 255:#o}.{value & 0xFFFF}"),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.sampled_from(["media.test", "faß.test", "localhost", "a.b.", "METADATA.google.internal", "x@y", "a_b"]),
    st.text(max_size=20),
)
urls = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}://{}{}{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "ftp", "file", ""]),
        st.sampled_from(["", "", "", "a:b@", "8.8.8.8#@", "8.8.8.8\\@"]),
        spelled,
        st.sampled_from(["", "", ":80", ":8080", ":22", ":0", ":99999", ":x"]),
        st.one_of(st.just("/x.png"), st.text(max_size=20)),
    ),
)


def outside(text: str) -> bool:
    address = ip_address(text)
    if address.version == 6:
        carried = address.ipv4_mapped
        if int(address) >> 32 == 0x64FF9B << 64:
            carried = type(ip_address("0.0.0.0"))(int(address) & 0xFFFFFFFF)  # type: ignore[assignment]
        address = carried or address
    return address.is_global and not address.is_multicast


@given(data=st.data())
def test_no_url_leads_inside_or_fails_otherwise(data: st.DataObject) -> None:
    found = st.lists(st.one_of(st.ip_addresses().map(str), st.sampled_from(["127.0.0.1", "10.0.0.1", "8.8.8.8"])))
    url = data.draw(urls)
    resolved = data.draw(found)
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setattr(socket, "getaddrinfo", lambda host, port, *args, **options: entries(resolved, port))
        transport = Called()
        fetcher = Fetcher(transport=transport)
        words = runner.run(told(fetcher, url))
        runner.run(fetcher.close())
    assert all(outside(text) for text in transport.called)
    assert not any(text in words for text in resolved)
