"""Reads single fields of a multipart/form-data body (RFC 7578) and replaces one, byte for byte the same elsewhere. No I/O.

Strict on purpose: what another parser could read differently is refused, since the upstream reads the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from python_multipart.multipart import parse_options_header

MAX_PARTS = 1000
MAX_HEADERS = 16 * 1024
MAX_VALUE = 64 * 1024


class MultipartError(ValueError):
    """Says what is wrong; ``field`` is the form field at fault, if one is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Field(NamedTuple):
    """A form field's value and where in the body it stands."""

    value: bytes
    start: int
    end: int


class Part(NamedTuple):
    disposition: bytes
    headers: list[bytes]
    start: int
    end: int


def fields(body: bytes, content_type: str, names: Sequence[str]) -> dict[str, Field]:
    """The fields called ``names``. Raises MultipartError, also where one stands twice or hides behind another spelling."""
    found: dict[str, Field] = {}
    for part in _parts(body, _boundary(content_type)):
        options = parse_options_header(part.disposition)[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        guarded = next((known for known in names if known == name.strip().casefold()), None)
        if guarded is None:
            continue
        if name != guarded or guarded in found:
            raise MultipartError(f"The field {guarded} stands twice or is misspelled.", guarded)
        if b"filename" in options or any(b"content-transfer-encoding" in line.lower() for line in part.headers):
            raise MultipartError(f"The field {guarded} must be plain text.", guarded)
        if part.end - part.start > MAX_VALUE:
            raise MultipartError(f"The field {guarded} is too long.", guarded)
        found[guarded] = Field(body[part.start : part.end], part.start, part.end)
    return found


def replace(body: bytes, field: Field, value: bytes) -> bytes:
    """``body`` with another value for ``field``. A value with a line end could end the part: refused by ValueError."""
    if b"\r" in value or b"\n" in value:
        raise ValueError("a form value on several lines")
    return b"".join((body[: field.start], value, body[field.end :]))


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70 or not boundary.isascii() or content_type.lower().count("boundary") != 1:
        raise MultipartError("The content type needs one boundary of 1 to 70 characters.")
    return boundary


def _parts(body: bytes, boundary: bytes) -> Iterator[Part]:
    """Each part's headers and the span of its content."""
    delimiter = b"\r\n--" + boundary
    if not body.startswith(delimiter[2:]):
        raise MultipartError("The body does not begin with its boundary.")
    at = len(delimiter) - 2
    for _ in range(MAX_PARTS):
        if body.startswith(b"--", at):
            return
        if not body.startswith(b"\r\n", at):
            raise MultipartError("A boundary is not followed by a line end.")
        headers_end = body.find(b"\r\n\r\n", at, at + MAX_HEADERS)
        end = body.find(delimiter, headers_end + 2)
        if headers_end < 0 or end < 0:
            raise MultipartError("A part is not complete.")
        headers = body[at + 2 : headers_end].split(b"\r\n")
        yield Part(_disposition(headers), headers, headers_end + 4, max(end, headers_end + 4))
        at = end + len(delimiter)
    raise MultipartError(f"The body has more than {MAX_PARTS} parts.")


def _disposition(headers: list[bytes]) -> bytes:
    found = [line.partition(b":")[2].strip() for line in headers if line.lower().startswith(b"content-disposition:")]
    if len(found) != 1 or any(line[:1] in (b" ", b"\t", b"") or b"\n" in line or b"\r" in line for line in headers):
        raise MultipartError("A part needs one content-disposition, and no folded header.")
    lower = found[0].lower().replace(b" ", b"")
    if lower.count(b";name=") != 1 or b";name*" in lower:
        raise MultipartError("A part must be named once, plainly.")
    return found[0]
