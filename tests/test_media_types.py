"""What bytes are, whatever is said of them; and which addresses a client's URL may lead to."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import addresses, media_types

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(40)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(40)
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(40)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj"
MP4 = struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomavc1" + bytes(40)
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm"
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
BITMAP = b"BM" + struct.pack("<IIII", 1000, 0, 54, 40) + bytes(40)
BYTES = {
    "image/png": [PNG],
    "image/jpeg": [JPEG],
    "image/gif": [b"GIF89a\1\0\1\0", b"GIF87a\1\0\1\0"],
    "image/webp": [b"RIFF\x24\0\0\0WEBPVP8 "],
    "image/bmp": [BITMAP],
    "image/tiff": [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"],
    "image/heic": [b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"],
    "image/heif": [b"\0\0\0\x14ftypmif1\0\0\0\0mif1"],
    "image/avif": [b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif"],
    "application/pdf": [PDF],
    "audio/wav": [WAV],
    "audio/mpeg": [b"ID3\4\0\0\0\0\0\0", b"\xff\xfb\x90\x64" + bytes(40), b"\xff\xf3\x84\xc4"],
    "audio/aac": [b"\xff\xf1\x50\x80"],
    "audio/ogg": [b"OggS\0\2" + bytes(20) + b"\1\x1eOpusHead"],
    "video/ogg": [b"OggS\0\2" + bytes(20) + b"\1\x2a\x80theora"],
    "audio/flac": [b"fLaC\0\0\0\x22"],
    "audio/mp4": [b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42"],
    "video/mp4": [MP4, b"\0\0\0\x14ftypmp42\0\0\0\0mp42"],
    "video/3gpp": [b"\0\0\0\x14ftyp3gp5\0\0\0\0isom"],
    "video/webm": [WEBM],
    "video/x-matroska": [WEBM.replace(b"webm", b"matroska")],
    "video/quicktime": [b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", b"\0\0\1\0moov\0\0\0\x6cmvhd"],
    "text/html": [b"<!DOCTYPE html><p>", b"\n <html lang=en>", b"\xef\xbb\xbf<!-- x --><HTML>", b"<?xml?><html>"],
    "image/svg+xml": [SVG, b"<svg/>", b"<!-- a --><svg>"],
    "text/plain": ["Grüße".encode(), b"BMW is a car maker", b"ID3 is a tag", b"moov and mdat", b"\xef\xbb\xbfx"],
    "": [b"", bytes(64), b"PK\3\4" + bytes(20), b"\x7fELF\2\1\1", b"\xff\xfeh\0i\0", b"\x1f\x8b\x08\0", b"a\1b"],
}


@pytest.mark.parametrize("media_type", BYTES)
def test_bytes_say_what_they_are(media_type: str) -> None:
    for data in BYTES[media_type]:
        assert media_types.find(data, "application/octet-stream") == media_type, data


@pytest.mark.parametrize(
    ("data", "hint", "found"),
    [
        (PNG, "image/jpeg", "image/png"),
        (PNG, "text/html", "image/png"),
        (PDF, "image/png", "application/pdf"),
        (b"a,b\n1,2\n", "text/csv; charset=utf-8", "text/csv"),
        (b'{"a": 1}', "Application/JSON", "application/json"),
        (b"a page without a tag", "text/html; charset=utf-8", "text/html"),
        (b"a page without a tag", "application/xhtml+xml", "text/html"),
        (b"access denied", "image/png", "text/plain"),
        (b"<html>", "image/png", "text/html"),
        (b"no drawing", "image/svg+xml", "text/plain"),
        (bytes(20), "image/png", ""),
        (b"\xff\xfeh\0i\0", "text/plain", ""),
    ],
)
def test_a_header_is_only_a_hint_for_text(data: bytes, hint: str, found: str) -> None:
    assert media_types.find(data, hint) == found


@pytest.mark.parametrize(
    ("media_type", "kind", "found"),
    [
        ("image/png", "image", "image/png"),
        ("image/png", "audio", ""),
        ("video/mp4", "audio", "audio/mp4"),
        ("audio/ogg", "video", "video/ogg"),
        ("video/quicktime", "audio", ""),
        ("video/mp4", "image", ""),
        ("application/pdf", "", "application/pdf"),
        ("application/pdf", "image", ""),
    ],
)
def test_what_fits_a_part(media_type: str, kind: str, found: str) -> None:
    assert media_types.fitting(media_type, kind) == found


@pytest.mark.parametrize(
    ("said", "data", "wrong"),
    [
        ("image/png", PDF, True),
        ("image/png", b"<!doctype html>", True),
        ("application/pdf", PNG, True),
        ("text/plain", PNG, True),
        ("audio/wav; rate=1", JPEG, True),
        ("image/png", JPEG, False),
        ("image/jpg", JPEG, False),
        ("audio/webm", WEBM, False),
        ("application/octet-stream", PNG, False),
        ("", PNG, False),
        ("image/png", b"who knows", False),
        ("text/plain", b"<html> as an example", False),
        ("image/svg+xml", SVG, False),
        ("application/pdf", PDF, False),
    ],
)
def test_a_type_contradicts_bytes_of_another_kind(said: str, data: bytes, wrong: bool) -> None:
    assert media_types.contradicts(said, data[:64]) is wrong


@given(st.binary(max_size=64), st.text(max_size=20))
def test_any_bytes_are_judged(data: bytes, said: str) -> None:
    assert isinstance(media_types.find(data, said), str)
    assert isinstance(media_types.contradicts(said, data), bool)


# ---------------------------------------------------------------- addresses

NEVER = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254
    172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255
    198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:0:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::10.0.0.1 64:ff9b:1::8.8.8.8
    100::1 2001::1 2001:0:7f00:1::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::1
    2002:808:808::1 3ffe::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 4000::1
""".split()
FINE = """
    1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.17.0.1 198.20.0.1 223.255.255.255
    2606:4700::1111 2001:4860:4860::8888 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8
""".split()


@pytest.mark.parametrize("text", NEVER)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not addresses.public(text)


@pytest.mark.parametrize("text", FINE)
def test_public_addresses(text: str) -> None:
    assert addresses.public(text)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_is_public_is_global_to_python_too(address: IPv4Address | IPv6Address) -> None:
    if addresses.public(str(address)):
        assert address.is_global and not address.is_multicast


@given(st.ip_addresses(v=4))
def test_an_address_in_another_is_judged_like_itself(address: IPv4Address) -> None:
    inside = int(address)
    good = addresses.public(str(address))
    assert addresses.public(str(IPv6Address(0xFFFF << 32 | inside))) is good
    assert addresses.public(str(IPv6Address(0x64FF9B << 96 | inside))) is good
    assert not addresses.public(str(IPv6Address(0x2002 << 112 | inside << 80)))


@pytest.mark.parametrize(
    ("text", "network", "good"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.2.0.0/16", False),
        ("fd12::1", "fd12::/16", True),
        ("2002:a01:203::1", "10.0.0.0/8", False),
        ("100.100.100.200", "100.64.0.0/10", False),
        ("100.100.100.200", "100.100.100.200/32", True),
        ("169.254.169.254", "0.0.0.0/0", False),
        ("169.254.1.1", "169.254.0.0/16", True),
        ("fd00:ec2::254", "fc00::/7", False),
        ("100.64.0.9", "100.64.0.0/10", True),
    ],
)
def test_an_operator_allows_networks_and_metadata_only_by_its_own(text: str, network: str, good: bool) -> None:
    assert addresses.public(text, [ip_network(network)]) is good
