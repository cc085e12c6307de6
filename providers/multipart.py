"""Find and replace fields of a whole ``multipart/form-data`` body without touching, or copying, its files.

Strict where parsers differ: a guarded field is refused if any of them could find another value for it than we do.
"""

from __future__ import annotations

import email.header
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from typing import NamedTuple
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from providers.jsonbytes import folded, splice

MAX_PARTS = 1000
MAX_HEADERS = 8
MAX_HEADER = 4096
_PARAMETER = re.compile(r';\s*([^\s;="]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PLAIN_ENCODINGS = ("", "7bit", "8bit", "binary")
_PLAIN_CHARSETS = ("utf-8", "utf8", "us-ascii")
# What a client sends is no news for our log.
_QUIET = logging.getLogger(f"{__name__}.parser")
_QUIET.disabled = True
_QUIET.addFilter(lambda record: False)  # whoever configures logging later enables it again


class MultipartError(ValueError):
    """Says what is wrong with a form, never what it holds. ``field`` is the guarded field at fault, if one is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Field(NamedTuple):
    """A field's content, which is ``body[start:end]``."""

    value: bytes
    start: int
    end: int


@dataclass(slots=True)
class _Part:
    headers: list[tuple[str, str]] = field(default_factory=list)
    start: int = 0
    end: int = 0

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def fields(body: bytes, content_type: str, names: Collection[str]) -> dict[str, Field]:
    """Those of ``names`` (ASCII) that the form has, by name. Raises MultipartError.

    Refused are a broken form, too many parts, a name that stands twice or that another parser may read as one of
    ``names`` (by case, escapes, encodings, ``name*``), one sent as a file, encoded, or in a charset but UTF-8.
    """
    found: dict[str, Field] = {}
    for part in _parts(body, _boundary(content_type)):
        parameters = _disposition(part)
        name = _guarded(parameters["name"], names)
        if name is None:
            continue
        if name in found:
            raise MultipartError(f"The field {name!r} stands twice in the form.", name)
        value = body[part.start : part.end]
        if name == "_charset_":
            if value.decode("latin-1").strip().lower() not in _PLAIN_CHARSETS:
                raise MultipartError("The form must be UTF-8.")
            continue
        _check_plain(part, parameters, name, value)
        found[name] = Field(value, part.start, part.end)
    return found


def replace(body: bytes, field: Field, value: bytes) -> bytes:
    """``body`` with ``value`` as the content of a field that ``fields`` found, in one copy.

    Raises ValueError for a value of several lines, which could end the part.
    """
    if b"\r" in value or b"\n" in value:
        raise ValueError("the value of a form field is one line")
    return splice(body, field.start, field.end, value)


def _parameters(text: str) -> tuple[str, list[tuple[str, str]]]:
    """A header's first word and its parameters, both in lower case but for the values. Raises MultipartError."""
    word = text.partition(";")[0]
    at, found = len(word), []
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            if text[at:].strip(" ;"):
                raise MultipartError("A header of the form is malformed.")
            break
        quoted, bare = match[2], match[3]
        found.append((match[1].lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare))
        at = match.end()
    return word.strip().lower(), found


def _boundary(content_type: str) -> bytes:
    kind, parameters = _parameters(content_type)
    if kind != "multipart/form-data":
        raise MultipartError("The content type is not multipart/form-data.")
    found = [value for name, value in parameters if name.partition("*")[0] == "boundary"]
    if len(found) != 1 or not _BOUNDARY.fullmatch(found[0]) or ("boundary", found[0]) not in parameters:
        raise MultipartError("The content type needs one valid boundary.")
    return found[0].encode()


def _parts(body: bytes, boundary: bytes) -> list[_Part]:
    # The boundary stands in a form only between its parts: where it stands inside one, parsers differ in what they see.
    delimiters = body.count(b"--" + boundary)
    if delimiters > MAX_PARTS + 1:
        raise MultipartError(f"The form has more than {MAX_PARTS} parts.")
    reader = _Reader()
    parser = MultipartParser(boundary, reader.callbacks(), max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER)  # type: ignore[arg-type]
    parser.logger = _QUIET
    try:
        parser.write(body)
    except FormParserError:
        raise MultipartError("The form is malformed.") from None
    if not reader.ended:
        raise MultipartError("The form has no end.")
    if len(reader.parts) + 1 != delimiters:
        raise MultipartError("The form's boundary stands inside a part or after its end.")
    return reader.parts


class _Reader:
    """Takes down what the parser finds. It is fed the whole body, so its offsets are the body's."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.ended = False
        self._body = self._name = self._value = b""
        self._at = 0

    def callbacks(self) -> dict[str, object]:
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        self.parts.append(_Part())

    def header_field(self, body: bytes, start: int, end: int) -> None:
        self._body, self._name, self._value, self._at = body, body[start:end], b"", end

    def header_value(self, body: bytes, start: int, end: int) -> None:
        self._value, self._at = body[start:end], end

    def header_end(self) -> None:
        value = self._value.decode("utf-8", "surrogateescape").strip()
        self.parts[-1].headers.append((self._name.decode("ascii").lower(), value))

    def headers_finished(self) -> None:
        # Empty content is not told to part_data.
        self.parts[-1].start = self.parts[-1].end = self._body.find(b"\r\n\r\n", self._at) + 4

    def part_data(self, body: bytes, start: int, end: int) -> None:
        self.parts[-1].start, self.parts[-1].end = start, end

    def end(self) -> None:
        self.ended = True


def _disposition(part: _Part) -> dict[str, str]:
    found = part.values("content-disposition")
    kind, parameters = _parameters(found[0]) if len(found) == 1 else ("", [])
    names = [name for name, _ in parameters if name.partition("*")[0] == "name"]
    if kind != "form-data" or names != ["name"]:
        raise MultipartError("Every part of the form needs one Content-Disposition with one name.")
    return dict(parameters)


def _guarded(name: str, names: Collection[str]) -> str | None:
    """The guarded name that this is, None if it is another. Raises MultipartError if it only may be one."""
    if name in names or name == "_charset_":
        return name
    table = {folded(guarded): guarded for guarded in (*names, "_charset_")}
    plain = _words(unquote(name)).strip().partition("[")[0].partition("\0")[0]
    if guarded := table.get(folded(plain.strip())):
        raise MultipartError(f"The form has a field that may be read as {guarded!r}.", guarded)
    return None


def _words(name: str) -> str:
    """``name`` with its RFC 2047 words decoded."""
    if "=?" not in name:
        return name
    try:
        return str(email.header.make_header(email.header.decode_header(name)))
    except (HeaderParseError, LookupError, ValueError):
        return name


def _check_plain(part: _Part, parameters: dict[str, str], name: str, value: bytes) -> None:
    if any(parameter.startswith("filename") for parameter in parameters):
        raise MultipartError(f"The field {name!r} is sent as a file.", name)
    encodings = part.values("content-transfer-encoding")
    if any(encoding.lower() not in _PLAIN_ENCODINGS for encoding in encodings):
        raise MultipartError(f"The field {name!r} is encoded.", name)
    for kind in part.values("content-type"):
        charsets = [text for parameter, text in _parameters(kind)[1] if parameter.startswith("charset")]
        if any(charset.lower() not in _PLAIN_CHARSETS for charset in charsets):
            raise MultipartError(f"The field {name!r} must be UTF-8.", name)
    try:
        value.decode()
    except UnicodeDecodeError:
        raise MultipartError(f"The field {name!r} is not UTF-8.", name) from None
