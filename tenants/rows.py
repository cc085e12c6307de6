"""From an ``Entry`` to the parameters of one INSERT into Usage: whatever a client or an upstream sent, a row that any
database takes. Text is cut to its column, NULs and lone surrogates are replaced, counts beyond all reason are cut.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from operator import attrgetter, gt, index
from typing import Any

from django.db import models

from tenants.ledger import Entry
from tenants.models import Usage

log = logging.getLogger(__name__)

Row = tuple[Any, ...]

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
_CONVERTED = (
    *("id", "corrects", "created_at", "stream", "estimated", "interrupted", "bound_exceeded", "cost", "first_byte_us"),
    *("tags", "declared", "decision", "billed", "charged_to"),
)
_TEXTS = tuple(name for name, field in _FIELDS.items() if isinstance(field, models.CharField))
_COUNTS = tuple(name for name in _FIELDS if name not in _CONVERTED + _TEXTS)
_SIZES: tuple[int, ...] = tuple(_FIELDS[name].max_length or 0 for name in _TEXTS)
_BOUNDS = dict.fromkeys(_COUNTS, MOST) | {
    "status": MOST_SMALL,
    "attempts": MOST_SMALL,
    "first_byte_us": MOST,
    "cost": MOST_COST,
}
_texts, _counts = attrgetter(*_TEXTS), attrgetter(*_COUNTS)

COLUMNS = _CONVERTED + _TEXTS + _COUNTS
"""Of a row that ``row`` makes. They are Usage's columns by name: none of its fields is a relation."""


def row(entry: Entry, *, sqlite: bool) -> Row:
    """The values of COLUMNS; the entry itself is tidied where that is needed, so that sums of entries are
    sums of rows. Raises TypeError, ValueError, OverflowError or AttributeError where a field is not of its type."""
    texts: tuple[str, ...] = _texts(entry)
    counts: tuple[int, ...] = _counts(entry)
    tags = json.dumps(entry.tags) if entry.tags else "[]"
    joined = "".join(texts)
    odd_text = not joined.isascii() or "\0" in joined or any(map(gt, map(len, texts), _SIZES))
    if odd_text or max(counts) > MOST or min(counts) < 0 or "\\u" in tags or len(tags) > TAG_SIZE:
        tidy(entry)
        texts, counts, tags = _texts(entry), _counts(entry), json.dumps(entry.tags)
    declared = json.dumps(_told_apart(entry)) if entry.declared else "[]"
    created_at = moment(entry.created_at)
    # Written by routing.decision and routing.charging as ASCII without a NUL, and small.
    decision, billed = entry.decision, entry.billed
    charged_to = entry.charged_to
    if charged_to and ("\0" in charged_to or not charged_to.isascii()):  # it names end users
        charged_to = clean(charged_to, MOST_TEXT)
    flags = (bool(entry.stream), bool(entry.estimated), bool(entry.interrupted), bool(entry.bound_exceeded))
    told = (entry.cost, entry.first_byte_us, tags, declared, decision, billed, charged_to, *texts, *counts)
    if not sqlite:
        return (entry.id, entry.corrects, created_at, *flags, *told)
    # As Django's adapters would write them; sqlite3 takes exact ints and strings without asking an adapter.
    corrects = entry.corrects and entry.corrects.hex
    return (entry.id.hex, corrects, str(created_at)[:-6], *map(int, flags), *told)


def _told_apart(entry: Entry) -> list[str]:
    """Its declared tags, each once, as they can be stored: tidied in the entry, too."""
    kept = dict.fromkeys(clean(tag, DECLARED_SIZE) for tag in entry.declared[:TAGS])
    entry.declared = list(kept)
    return entry.declared


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as a time. Raises OverflowError or ValueError, where fromtimestamp raises OSError too."""
    return _EPOCH + timedelta(seconds=seconds)


def tidy(entry: Entry) -> None:
    """Make every field of ``entry`` one that its column takes. Text loses what cannot be stored without a word; a
    count that is cut is logged with what it was."""
    for name, size in zip(_TEXTS, _SIZES, strict=True):
        setattr(entry, name, clean(str(getattr(entry, name) or ""), size))
    entry.tags = [clean(str(tag), TAG_SIZE) for tag in entry.tags[:TAGS]]
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
