"""From entries to the parameters of an INSERT into Usage: whatever a client or an upstream sent, a row that any
database takes. Text is cut to its column, NULs and lone surrogates are replaced, counts beyond all reason are cut.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter, index
from typing import Any
from uuid import UUID

from django.db import models

from tenants.columns import Columns
from tenants.labels import BETWEEN, windows
from tenants.ledger import Entry
from tenants.models import Usage

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
Column = Sequence[Any]

MOST = 10**12
"""No request has more tokens or microseconds than this; a larger count would overflow the sums of others."""
MOST_COST = 10**15
MOST_SMALL = 2**15 - 1
TAGS = 32
TAG_SIZE = 255
DECLARED_SIZE = 64
MOST_TEXT = 10_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS: dict[str, models.Field[Any, Any]] = {field.attname: field for field in Usage._meta.concrete_fields}
_FLAGS, _LISTS = ("stream", "estimated", "interrupted", "bound_exceeded"), ("tags", "declared")
_PLAIN = ("cost", "first_byte_us", "decision", "billed", "charged_to")
_TEXTS = tuple(name for name, field in _FIELDS.items() if isinstance(field, models.CharField))
_COUNTS = tuple(
    name for name in _FIELDS if name not in ("id", "corrects", "created_at", *_FLAGS, *_LISTS, *_PLAIN, *_TEXTS)
)
_SIZES: tuple[int, ...] = tuple(_FIELDS[name].max_length or 0 for name in _TEXTS)
_BOUNDS = dict.fromkeys(_COUNTS, MOST) | {
    "status": MOST_SMALL,
    "attempts": MOST_SMALL,
    "first_byte_us": MOST,
    "cost": MOST_COST,
}


class Untidy(Exception):
    """Something in a batch must be made fit for its column first."""


def table(columns: Columns, *, sqlite: bool) -> list[Row]:
    """The values of COLUMNS for each entry. ``columns`` are tidied where that is needed, so that their sums are sums of
    rows. Raises TypeError, ValueError, OverflowError or AttributeError where a field is not of its type."""
    columns.replace("charged_to", list(map(_charged_to, columns["charged_to"], columns["charges"])))
    try:
        _check(columns)
    except Untidy:
        _tidy(columns)
    if any(columns["declared"]):
        columns.replace("declared", [told_apart(tags) if tags else tags for tags in columns["declared"]])
    converted = [convert(columns[name]) for name, convert in (_TO_SQLITE if sqlite else _TO_OTHERS).items()]
    ids = [f"{number:032x}" for number in columns.ids]
    rest = [columns[name] for name in (*_PLAIN, *_TEXTS, *_COUNTS)]
    return list(zip(ids, *converted, *rest, strict=True))


def _charged_to(told: str, charges: dict[str, int]) -> str:
    """The windows of budgets, a line each, that these charges are of, unless they are ``told``."""
    return told or (BETWEEN.join(map(windows, charges)) if charges.__class__ is dict and charges else "")


def _check(columns: Columns) -> None:
    """Raises Untidy; TypeError where something is not of its type."""
    for name, size in zip(_TEXTS, _SIZES, strict=True):
        texts = columns[name]
        time.sleep(0)  # in a thread beside requests, they need the interpreter more than we do
        joined = "".join(texts)
        if joined and (not storable(joined) or max(map(len, texts)) > size):
            raise Untidy(name)
    for name in _COUNTS:
        counts = columns[name]
        if counts and (max(counts) > MOST or min(counts) < 0):
            raise Untidy(name)
    # The other texts are written by routing as ASCII without a NUL, and small; but ``charged_to`` names end users.
    if not storable("".join(columns["charged_to"])):
        raise Untidy("charged_to")
    for tags in filter(None, columns["tags"]):
        if len(tags) > TAGS or not storable("".join(tags)) or max(map(len, tags)) > TAG_SIZE:
            raise Untidy("tags")


def _tidy(columns: Columns) -> None:
    entries = columns.entries
    for entry in entries:
        tidy(entry)
    for name in (*_TEXTS, *_BOUNDS, "charged_to", "tags"):
        columns.replace(name, list(map(attrgetter(name), entries)))


def storable(text: str) -> bool:
    """Whether every database takes it."""
    if text.isascii():
        return "\0" not in text
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def told_apart(tags: list[str]) -> list[str]:
    """Declared tags, each once, as they can be stored."""
    return list(dict.fromkeys(clean(tag, DECLARED_SIZE) for tag in tags[:TAGS]))


def _lists(column: Column) -> Column:
    return [json.dumps(each) if each else "[]" for each in column]


def _flags(column: Column) -> Column:
    return list(map(bool, column))


def _bits(column: Column) -> Column:
    return list(map(int, map(bool, column)))


def _ids(column: Column) -> Column:
    """As hexadecimal digits. From JSON, ids are texts."""
    return [each and (UUID(each) if isinstance(each, str) else each).hex for each in column]


def _moments(column: Column) -> Column:
    return list(map(moment, column))


def _moments_of_sqlite(column: Column) -> Column:
    return [str(moment(seconds))[:-6] for seconds in column]


# For SQLite as Django's adapters would write it; sqlite3 takes exact ints and strings without asking an adapter.
_TO_SQLITE: dict[str, Callable[[Column], Column]] = {
    "corrects": _ids,
    "created_at": _moments_of_sqlite,
    **dict.fromkeys(_FLAGS, _bits),
    **dict.fromkeys(_LISTS, _lists),
}
_TO_OTHERS = _TO_SQLITE | {"created_at": _moments} | dict.fromkeys(_FLAGS, _flags)

COLUMNS = ("id", *_TO_SQLITE, *_PLAIN, *_TEXTS, *_COUNTS)
"""Of a row that ``table`` makes. They are Usage's columns by name: none of its fields is a relation."""


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as a time. Raises OverflowError or ValueError, where fromtimestamp raises OSError too."""
    return _EPOCH + timedelta(seconds=seconds)


def tidy(entry: Entry) -> None:
    """Make every field of ``entry`` one that its column takes. Text loses what cannot be stored without a word; a
    count that is cut is logged with what it was."""
    for name, size in zip(_TEXTS, _SIZES, strict=True):
        setattr(entry, name, clean(str(getattr(entry, name) or ""), size))
    entry.tags = [clean(str(tag), TAG_SIZE) for tag in entry.tags[:TAGS]]
    entry.charged_to = clean(entry.charged_to, MOST_TEXT)
    for name, most in _BOUNDS.items():
        value = getattr(entry, name)
        if value is not None and abs(index(value)) > most:
            log.error(
                "usage row with an impossible count, cut to %d",
                most,
                extra={"id": str(entry.id), "column": name, "value": str(value)[:100]},
            )
            setattr(entry, name, most if value > 0 else -most)


def clean(text: str, size: int) -> str:
    """``text`` as every database can store it, at most ``size`` characters."""
    return text[:size].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
