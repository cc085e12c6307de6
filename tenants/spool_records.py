"""What a spool's segments hold, as bytes. No I/O here.

A record is MARK, kind, length, checksum, the request's id and JSON. JSON is UTF-8, in which the byte MARK does not occur:
no text of a client is ever taken for a record, even when what is around it is damaged. A segment begins with a record
that names the columns of ``Entry``, so a later version reads what an earlier one wrote, and the other way round.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, NamedTuple
from uuid import UUID
from zlib import crc32

import orjson

from tenants.entry import FIELDS, Entry

MARK: Final = 0xFF
DAMAGE, HEADER, INTENT, CHECKPOINT, SETTLEMENT, VOID = range(6)
KINDS: Final = frozenset({HEADER, INTENT, CHECKPOINT, SETTLEMENT, VOID})
_ODD: Final = 0x80
"""Set in the kind where the JSON is Python's own: orjson refuses lone surrogates and integers of more than 64 bits."""

FORMAT: Final = 1
_CORRECTS: Final = FIELDS.index("corrects")

MOST: Final = 1 << 20
"""Bytes of one record. Longer texts are cut: their columns are shorter still."""
_MOST_TEXT, _MOST_ITEMS = 1_000, 32

_HEAD: Final = Struct("<BBII")
_dumps, _loads, _pack, _unpack = orjson.dumps, orjson.loads, _HEAD.pack, _HEAD.unpack_from
_ID: Final = 16
SMALLEST: Final = _HEAD.size + _ID

Bounds = Mapping[Any, int]
"""Nano-dollars by budget: the most that a request may cost each. A budget is named by an int or a str."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A request that was about to be dispatched: what was known of it at its last checkpoint, or at the intent if it
    never had one, and what was reserved for it."""

    entry: Entry
    bounds: dict[Any, int]
    price_version: int | str
    checkpointed: bool = False


class Record(NamedTuple):
    """``start`` and ``end`` are its place in what was scanned. ``DAMAGE`` is a kind of its own: bytes that are no records."""

    kind: int
    id: int
    payload: bytes
    start: int
    end: int


def write_intent(entry: Entry, bounds: Bounds, price_version: int | str) -> bytes:
    return _write(INTENT, entry.id.int, [price_version, list(bounds.items()), entry.values()])


def write_checkpoint(entry: Entry) -> bytes:
    return _write(CHECKPOINT, entry.id.int, entry.values())


def write_settlement(entry: Entry) -> bytes:
    return _write(SETTLEMENT, entry.id.int, entry.values())


def write_void(id: UUID) -> bytes:
    """Closes an intent of which nothing came: the disk failed and the request was refused."""
    return _write(VOID, id.int, [])


def write_header(owner: str, number: int) -> bytes:
    return _write(HEADER, number, [FORMAT, owner, FIELDS])


def _write(kind: int, id: int, values: list[Any]) -> bytes:
    try:
        text = _dumps(values)
    except TypeError:
        kind |= _ODD
        text = json.dumps(values, default=str).encode()
    if len(text) > MOST - _ID:
        return _write_cut(kind & ~_ODD, id, values)
    body = id.to_bytes(_ID, "big") + text
    length = len(body)
    return _pack(MARK, kind, length, crc32(body, length << 8 | kind)) + body


def _write_cut(kind: int, id: int, values: list[Any]) -> bytes:
    kept, columns = (values[:-1], values[-1]) if kind == INTENT else ([], values)
    cut = list(map(_cut, columns))
    if cut == columns:
        raise ValueError(f"an intent with more than {MOST} bytes of bounds")
    return _write(kind, id, [*kept, cut] if kept else cut)


def _cut(value: Any) -> Any:
    if isinstance(value, list):
        return [_cut(each) for each in value[:_MOST_ITEMS]]
    # Charges, a dict, are money: never cut.
    return value if value is None or isinstance(value, int | float | UUID | dict) else str(value)[:_MOST_TEXT]


def settlements(data: bytes, most: int, add: Callable[[int, list[Any]], None]) -> int:
    """Give ``add`` the id and the values of at most ``most`` settlements from the beginning of ``data``, whose columns are
    FIELDS. Where it has stopped: behind the last one, or before something that only ``scan`` understands."""
    place, size = 0, len(data)
    while most > 0:
        framed = _framed(data, place, size)
        if framed is None or framed[0] & _ODD or framed[0] == HEADER:
            break
        kind, body, place = framed
        if kind == SETTLEMENT:
            add(int.from_bytes(body[:_ID], "big"), _loads(body[_ID:]))
            most -= 1
    return place


def scan(data: bytes, final: bool, place: int = 0) -> Iterator[Record]:
    """The records of ``data`` in their order, from ``place`` on. ``final`` says that nothing will be added: then what is no
    record is told as damage and looked behind for records; otherwise it is the end, since the rest may be about to be
    written."""
    size = len(data)
    while place < size:
        found = _record(data, place, size)
        if found is None:
            if not final:
                return
            found = Record(DAMAGE, 0, b"", place, _next(data, place + 1, size))
        yield found
        place = found.end


def _record(data: bytes, place: int, size: int) -> Record | None:
    framed = _framed(data, place, size)
    if framed is None:
        return None
    kind, body, end = framed
    return Record(kind, int.from_bytes(body[:_ID], "big"), body[_ID:], place, end)


def _framed(data: bytes, place: int, size: int) -> tuple[int, bytes, int] | None:
    """The kind of the record at ``place``, what it holds and where it ends; None where there is none."""
    if size - place < SMALLEST:
        return None
    mark, kind, length, checksum = _unpack(data, place)
    begin = place + _HEAD.size
    end = begin + length
    if mark != MARK or kind & ~_ODD not in KINDS or not _ID <= length <= MOST or end > size:
        return None
    body = data[begin:end]
    return (kind, body, end) if crc32(body, length << 8 | kind) == checksum else None


def _next(data: bytes, place: int, size: int) -> int:
    """Where the next record begins, or the end."""
    while (place := data.find(MARK, place)) >= 0:
        if _record(data, place, size):
            return place
        place += 1
    return size


def plain(kind: int) -> int:
    """The kind without what says how its JSON was written."""
    return kind & ~_ODD


def read_fields(record: Record) -> Sequence[str]:
    """The columns that a segment's other records hold, from its header."""
    names = tuple(_read(record)[2])
    return FIELDS if names == FIELDS else names


def read_entry(record: Record, names: Sequence[str] = FIELDS) -> Entry:
    return with_id(record.id, read_values(record, names))


def read_values(record: Record, names: Sequence[str] = FIELDS) -> Sequence[Any]:
    """Of FIELDS, as JSON has told them."""
    return _in_order(_read(record), names)


def read_intent(record: Record, names: Sequence[str] = FIELDS) -> Intent:
    price_version, bounds, values = _read(record)
    return Intent(with_id(record.id, _in_order(values, names)), dict(bounds), price_version)


def _read(record: Record) -> Any:
    return (json.loads if record.kind & _ODD else _loads)(record.payload)


def _in_order(values: list[Any], names: Sequence[str]) -> Sequence[Any]:
    if names is FIELDS:
        return values
    given = dict(zip(names, values, strict=False))
    usual = Entry(UUID(int=0)).values()
    return [given.get(name, default) for name, default in zip(FIELDS, usual, strict=True)]


def with_id(id: int, values: Sequence[Any]) -> Entry:
    """The entry of these values of FIELDS."""
    values = list(values)
    if isinstance(values[_CORRECTS], str):
        with suppress(ValueError):  # what is no UUID was none before: the drain refuses it
            values[_CORRECTS] = UUID(values[_CORRECTS])
    return Entry(UUID(int=id), *values)
