"""Edit one value of a JSON object in place: no byte outside it changes.

Everything but ``parse`` takes what that accepts. Only escaped keys, removals and old containers need the exact scanner.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from providers.hints import has

_LARGE, _WINDOW, _REMEMBERED, _LONG_KEY = 1 << 16, 1 << 18, 1000, 64
_PLAIN: Final = re.compile(r"[A-Za-z_]+")
# The letters of a plain name stand between 0x40 and 0x7F: without one of these escapes it has one spelling only.
_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")
_BACKSLASHES: Final = re.compile(rb"\\*")
_MEMBER: Final = re.compile(rb'[ \t\r\n]*("[^"]*")[ \t\r\n]*:[ \t\r\n]*')
_TOKEN: Final = re.compile(rb'"[^"]*"|([{\[])|([}\]])')
_SCALAR: Final = re.compile(rb"[^ \t\r\n,}\]]+")
# A value without brackets and escapes; others match as nothing.
_VALUE: Final = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*("[^"\\]*"|[^ \t\r\n,{}\[\]"]+)?')
_NEXT: Final = re.compile(rb"[ \t\r\n]*([,}])")
_BACKSLASH, _BRACE, _QUOTE = b'\\{"'
Names = tuple[str, ...] | frozenset[str]
_TYPES = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean", type(None): "null"}


class JSONBodyError(ValueError):
    """Says what is wrong and where, never what the body holds. ``field`` is the top-level field at fault, if one is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Member(NamedTuple):
    """One member of an object: its key unescaped, and the offsets of the key's quote and of the value."""

    key: str
    key_start: int
    value_start: int
    value_end: int


def parse(body: bytes) -> dict[str, Any]:
    """The object that ``body`` holds; whole numbers beyond 64 bits come as floats. Raises JSONBodyError."""
    try:
        doc = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        problem = _problem(body, error)
    else:
        if type(doc) is dict:
            return doc
        problem = f"The body must be a JSON object, not {_TYPES[type(doc)]}."
    # Raised out here since orjson's error holds the whole body.
    raise JSONBodyError(problem)


def _problem(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body or body.isspace():
        return "The body is empty; a JSON object is needed."
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        line, byte = body.count(b"\n", 0, wrong.start) + 1, wrong.start - body.rfind(b"\n", 0, wrong.start)
        return f"The body is not UTF-8 at line {line}, byte {byte}."
    return f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."


def folded(name: str) -> str:
    """``name`` as the most tolerant parser compares it: long s is s, the Kelvin sign is k, every i is i."""
    return name.casefold() if name.isascii() else name.translate({0x130: "i", 0x131: "i"}).casefold()


def check_unique(body: bytes, doc: Mapping[str, Any], names: Names) -> None:
    """Refuse a body in which another parser may find another value for one of ``names`` than ``doc`` has.

    ``doc`` is what ``parse`` made of ``body``; ``names`` are ASCII letters and underscores. Raises JSONBodyError for a
    top-level key that stands twice, however it is spelled, and for one that differs from a name in case alone.
    """
    guard = _guard(names)
    if not guard.harmless.issuperset(doc):
        guard.check_case(doc)
    # The parser keeps one of two equal keys, so only the text tells. Most names stand in it once, at any depth.
    if has(body, b"\\") and _ESCAPED_LETTER.search(body):
        _refuse_repeated(names, (member.key for member in spans(body)))
    elif guard.repeats(body):
        _refuse_repeated(names, (match[1].decode() for match in _outermost(body, guard.pattern)))


def _refuse_repeated(names: Names, keys: Iterable[str]) -> None:
    for key, count in Counter(keys).items():
        if count > 1 and key in names:
            raise JSONBodyError(f"The field {key!r} stands twice in the body.", key)


class _Guard:
    """What ``check_unique`` needs of one set of names. ``harmless`` remembers keys that were compared before."""

    __slots__ = ("_names", "harmless", "pattern")

    def __init__(self, names: Names) -> None:
        if wrong := [name for name in names if not _PLAIN.fullmatch(name)]:
            raise ValueError(f"names must be letters and underscores: {wrong}")
        self._names = {folded(name): name for name in names}
        self.harmless = set(names)
        self.pattern = _key_pattern("|".join(sorted(names)))

    def check_case(self, doc: Iterable[str]) -> None:
        for key in doc:
            name = self._names.get(folded(key), key)
            if name != key:
                raise JSONBodyError(f"The body has a field that differs from {name!r} in case alone.", name)
            if len(self.harmless) < _REMEMBERED and len(key) <= _LONG_KEY:
                self.harmless.add(key)

    def repeats(self, body: bytes) -> bool:
        if len(body) < _LARGE:
            found = self.pattern.findall(body)
            return len(found) != len(set(found))
        seen = set()
        for match in self.pattern.finditer(body):
            if match[1] in seen:
                return True
            seen.add(match[1])
        return False


_guard = lru_cache(256)(_Guard)


@lru_cache(256)
def _key_pattern(names: str) -> re.Pattern[bytes]:
    """Matches one of ``names``, written plainly as a key, and its colon."""
    # A quote after a backslash opens no key; looking behind after the quote lets the search skip to quotes.
    return re.compile(rb'"(?<!\\")(' + names.encode() + rb')"[ \t\r\n]*:[ \t\r\n]*')


@lru_cache(1024)
def _quoted(key: str) -> bytes | None:
    """``key`` as it stands in a text, None if it can be spelled in ways that this module does not look for."""
    return b'"' + key.encode() + b'"' if _PLAIN.fullmatch(key) else None


def spans(body: bytes) -> list[Member]:
    """The members of the object in the order of the text, equal keys included. Raises JSONBodyError if it is none."""
    blank = _blanked(body)
    at = blank.find(b"{") + 1
    members: list[Member] = []
    while match := _MEMBER.match(blank, at):
        end = _value_end(blank, match.end())
        key = orjson.loads(body[match.start(1) : match.end(1)])
        members.append(Member(key, match.start(1), match.end(), end))
        if not (after := _NEXT.match(blank, end)):
            raise JSONBodyError("The body is not a JSON object.")
        at = after.end()
    return members


def _blanked(text: bytes) -> bytes:
    """``text``, as long as before, with quotes only where a string begins or ends."""
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in text else text


def _value_end(blank: bytes, start: int) -> int:
    if blank[start] == ord('"'):
        return blank.index(b'"', start + 1) + 1
    if blank[start] not in b"{[" and (scalar := _SCALAR.match(blank, start)):
        return scalar.end()
    depth = 0
    for token in _TOKEN.finditer(blank, start):
        if token.lastindex == 1:
            depth += 1
        elif token.lastindex == 2:
            depth -= 1
            if not depth:
                return token.end()
    raise JSONBodyError("The body is not a JSON object.")


def _opened(body: bytes, start: int, end: int) -> int:
    """Brackets opened less brackets closed in ``body[start:end]``, whose ends lie outside strings."""
    total = quoted = 0
    while start < end:
        stop = min(start + _WINDOW, end)
        if body[stop - 1] == _BACKSLASH:  # no window ends inside an escape
            stop = min(_BACKSLASHES.match(body, stop).end() + 1, end)  # type: ignore[union-attr]
        pieces = _blanked(body[start:stop]).split(b'"')
        outside = b"".join(pieces[quoted::2])
        total += outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")
        quoted ^= len(pieces) + 1 & 1
        start = stop
    return total


def _is_outermost(body: bytes, start: int, end: int) -> bool:
    """Whether the member at ``body[start:end]`` is one of the whole object. Reads the shorter side of it."""
    # Where only one object opens before a key, or only one closes after it, that object is the whole one.
    if start < len(body) - end:
        return body.count(b"{", 0, start) == 1 or _opened(body, 0, start) == 1
    return body.count(b"}", end) == 1 or _opened(body, end, len(body)) == -1


def _outermost(body: bytes, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """The matches that are keys of the whole object and not of one inside it."""
    depth = at = 0
    for match in pattern.finditer(body):
        depth += _opened(body, at, match.start())
        at = match.start()
        if depth == 1:
            yield match


def _values(body: bytes, key: str) -> list[tuple[int, int]]:
    """Where the values of the top-level ``key`` stand: one, none, or several where the key stands several times."""
    quoted = _quoted(key)
    if quoted is None or (has(body, b"\\") and _ESCAPED_LETTER.search(body)):
        return [(member.value_start, member.value_end) for member in spans(body) if member.key == key]
    at = body.find(quoted)
    if at < 0:
        return []
    after = at + len(quoted)
    if body.find(quoted, after) >= 0:
        starts = [match.end() for match in _outermost(body, _key_pattern(key))]
    else:
        match = _VALUE.match(body, after)
        if match is None or body[at - 1] == _BACKSLASH or not _is_outermost(body, at, match.end()):
            return []
        if match[1]:
            return [match.span(1)]
        starts = [match.end()]
    blank = _blanked(body)
    return [(start, _value_end(blank, start)) for start in starts]


def splice(body: bytes, start: int, end: int, value: bytes) -> bytes:
    """``body`` with ``value`` in place of ``body[start:end]``, in one copy."""
    if len(body) < _LARGE:
        return body[:start] + value + body[end:]
    view = memoryview(body)
    return b"".join((view[:start], value, view[end:]))


def replace(body: bytes, key: str, value: bytes) -> bytes:
    """Put ``value``, JSON, in place of the top-level ``key``'s. Where the key stands twice both change, since parsers
    differ in which they take. Raises KeyError if it is absent."""
    found = _values(body, key)
    if not found:
        raise KeyError(key)
    if len(found) == 1:
        return splice(body, *found[0], value)
    starts, ends = zip(*found, strict=True)
    return value.join([memoryview(body)[at:to] for at, to in zip((0, *ends), (*starts, None), strict=True)])


def replace_nested(body: bytes, path: Sequence[str], value: bytes) -> bytes:
    """Put ``value`` in place of what stands at ``path``, outermost key first: ``("response", "model")``.

    Returns ``body`` itself if nothing stands there, so that it can be asked of every event of a stream.
    """
    found = _values(body, path[0])
    if not found:
        return body
    start, end = found[-1]  # of equal keys the last, as most parsers do: an upstream has no reason to play with them
    if len(path) == 1:
        return splice(body, start, end, value)
    if body[start] != ord("{"):
        return body
    return splice(body, start, end, replace_nested(body[start:end], path[1:], value))


def insert(body: bytes, key: str, value: bytes) -> bytes:
    """Add a member, ``value`` being JSON, as the first of the object. The key must be absent."""
    return prepend(body, orjson.dumps(key) + b":" + value)


def prepend(body: bytes, member: bytes) -> bytes:
    at = 1 if body[0] == _BRACE else body.index(b"{") + 1
    empty = body[at] != _QUOTE and _NEXT.match(body, at) is not None
    return splice(body, at, at, member if empty else member + b",")


def remove(body: bytes, key: str) -> bytes:
    """Drop every member named ``key`` with one comma each. Raises KeyError if there is none."""
    members = spans(body)
    kept = [index for index, member in enumerate(members) if member.key != key]
    if len(kept) == len(members):
        raise KeyError(key)
    view = memoryview(body)
    parts = [view[: members[0].key_start]]
    # A member brings the comma and the white space after it, save the last, after which nothing follows.
    parts += [view[members[index].key_start : members[index + 1].key_start] for index in kept[:-1]]
    parts += [view[members[index].key_start : members[index].value_end] for index in kept[-1:]]
    return b"".join([*parts, view[members[-1].value_end :]])
