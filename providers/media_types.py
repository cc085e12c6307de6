"""Tells what bytes are by how they begin. What a server or a client says of them is only a hint, and only for text."""

from __future__ import annotations

from collections.abc import Callable

HTML = "text/html"
SVG = "image/svg+xml"
#: How much of a body ``sniff`` and ``markup`` look at.
HEAD = 1024
MARKUP = tuple(b"<!doctype html|<html|<head|<body|<script|<iframe|<title|<meta".split(b"|"))
BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
#: Brands of ISO media files that are no video.
BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic",
    b"hevx": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
GENERAL = (b"mif1", b"msf1")  # brands beside which a file names what it holds
STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"fLaC", "audio/flac"),
)
RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
TEXT = ("application/json", "application/xml", "application/yaml", "application/x-ndjson")
#: Containers of sound, of moving pictures or of both.
CONTAINERS = ("mp4", "webm", "ogg")


def find(data: bytes, hint: str) -> str:
    """The media type of a whole body, "" if it is none that is known. ``hint`` is its content-type header."""
    head = data[:HEAD]
    said = plain(hint)
    if found := sniff(head) or markup(head):
        return found
    if not _is_text(data):
        return ""
    if said in (HTML, "application/xhtml+xml"):
        return HTML
    return said if said != SVG and (said.startswith("text/") or said in TEXT) else "text/plain"


def sniff(head: bytes) -> str:
    """The media type of bytes that begin like this, "" if they begin like none."""
    for start, media_type in STARTS:
        if head.startswith(start):
            return media_type
    return next((found for kind in KINDS if (found := kind(head))), "")


def markup(head: bytes) -> str:
    """HTML, SVG or ""."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    while text.startswith(b"<!--") and b"-->" in text:
        text = text.partition(b"-->")[2].lstrip()
    if text.startswith((b"<svg", b"<!doctype svg")) or (text.startswith(b"<?xml") and b"<svg" in text):
        return SVG
    if text.startswith(MARKUP) or (text.startswith(b"<?xml") and b"<html" in text):
        return HTML
    return ""


def fitting(media_type: str, kind: str) -> str:
    """``media_type`` as one of ``kind`` (image, audio, video; "" for any), "" if it is not: an MP4 file may be either."""
    general, _, special = media_type.partition("/")
    if kind in ("", general):
        return media_type
    return f"{kind}/{special}" if special in CONTAINERS and kind in ("audio", "video") else ""


def contradicts(said: str, head: bytes) -> bool:
    """Whether bytes that begin with ``head`` cannot be of the kind that ``said`` names.

    A JPEG that is called a PNG is let through: upstreams that care say so, the others read it.
    """
    claim = _kind(plain(said))
    if claim not in ("image", "audio", "video", "text", "pdf"):
        return False
    found = sniff(head) or ("" if claim == "text" else markup(head))
    return bool(found) and _kind(found) != claim and {_kind(found), claim} != {"audio", "video"}


def plain(media_type: str) -> str:
    """Without its parameters, in lower case."""
    return media_type.partition(";")[0].strip().lower()


def _kind(media_type: str) -> str:
    return "pdf" if media_type == "application/pdf" else media_type.partition("/")[0]


def _is_text(data: bytes) -> bool:
    if not data or b"\0" in data:
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in data[:HEAD])


# ---------------------------------------------------------------- formats that need more than a look at their start


def _riff(head: bytes) -> str:
    return RIFF.get(head[8:12], "") if head.startswith((b"RIFF", b"RF64")) else ""


def _bitmap(head: bytes) -> str:
    known = head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in BITMAP_HEADERS
    return "image/bmp" if known else ""


def _iso(head: bytes) -> str:
    """MP4 and its kin; the box of brands comes first, save in old QuickTime files, which have none."""
    box = head[4:8]
    if box in (b"moov", b"mdat", b"wide") and head[0] < 9:
        return "video/quicktime"
    if box != b"ftyp" or head[0]:
        return ""
    size = int.from_bytes(head[:4], "big")
    brand = head[8:12]
    if brand in GENERAL:
        others = [head[at : at + 4] for at in range(16, min(size, len(head)), 4)]
        brand = next((other for other in others if other in BRANDS and other not in GENERAL), brand)
    return BRANDS.get(brand, "video/3gpp" if brand.startswith(b"3g") else "video/mp4")


def _matroska(head: bytes) -> str:
    if not head.startswith(b"\x1aE\xdf\xa3"):
        return ""
    return "video/webm" if b"webm" in head[:64] else "video/x-matroska"


def _ogg(head: bytes) -> str:
    if not head.startswith(b"OggS"):
        return ""
    return "video/ogg" if b"\x80theora" in head[:64] else "audio/ogg"


def _mpeg_audio(head: bytes) -> str:
    """An ID3 tag, or a frame of MPEG audio (layer II or III) or AAC."""
    if len(head) < 4:
        return ""
    if head[:3] == b"ID3" and head[3] in (2, 3, 4):
        return "audio/mpeg"
    if head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return ""
    if head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    version, layer, rate, frequency = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return "audio/mpeg" if version != 1 and layer in (1, 2) and rate != 15 and frequency != 3 else ""


KINDS: tuple[Callable[[bytes], str], ...] = (_riff, _bitmap, _iso, _matroska, _ogg, _mpeg_audio)
