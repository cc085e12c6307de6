"""The only writer of Usage: stores what was read of a spool, each entry exactly once, and charges it.

One transaction holds the rows, their rollups, the spool's position, the charges to leases and the warnings that these give
rise to, alone among all processes. So any step may be repeated, by several drains at once. What is stored already is left
out by its id; what no database takes is logged and left out, and what it costs is charged all the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from django.db import DataError, IntegrityError, OperationalError, connections, transaction
from django.utils import timezone

from tenants import lease_store, rollups
from tenants.columns import Columns
from tenants.labels import apart, read_label
from tenants.leases import MOST
from tenants.ledger import Entry
from tenants.models import Notice, SpoolPosition, Usage
from tenants.rows import table, tidy
from tenants.spool_reader import Position
from tenants.spool_records import with_id
from tenants.spool_rows import Overtaken
from tenants.statements import Statements, writing

log = logging.getLogger(__name__)

Charge = tuple[str, int]

POISON = (DataError, IntegrityError, TypeError, ValueError, OverflowError, AttributeError)
"""What storing an entry raises because of the entry, not because of the database."""
_BUDGET = re.compile(r"b(\d{1,18})\.\d+")
_MOST_NUMBER, _MOST_COUNTER, _MOST_SUBJECT = 2**63 - 1, 100, 255


class Step(NamedTuple):
    """What was read of a spool: all from one position to another."""

    before: Position
    after: Position

    @property
    def sequence(self) -> int:
        return self.after.segment << 40 | self.after.offset


def write(entries: Columns | Sequence[Entry], using: str = "default", step: Step | None = None) -> int:
    """Store those entries that are not stored yet, with their rollups and, where they are a ``step`` of a spool, with all
    that goes with it; returns how many it has refused, having logged each with all it holds. Raises Overtaken where
    another drain has done the step; django.db.Error, with nothing stored, when the database is away.
    """
    try:
        _write_new(entries if isinstance(entries, Columns) else Columns.of(entries), using, step)
    except (OperationalError, Overtaken):
        raise
    except Exception:
        found, bad = _entries(entries) if isinstance(entries, Columns) else (entries, 0)
        return bad + _write_carefully(found, using, step)
    return 0


def _entries(columns: Columns) -> tuple[list[Entry], int]:
    """The entries, and how many are none: machine code takes no value of another type into one."""
    found, bad = [], 0
    for number, values in zip(columns.ids, columns.values, strict=True):
        try:
            found.append(with_id(number, values))
        except TypeError:
            bad += 1
            log.exception("this is no usage row", extra={"entry": repr((number, values))})
    return found, bad


def _write_new(columns: Columns, using: str, step: Step | None) -> None:
    rows = table(columns, sqlite=connections[using].vendor == "sqlite")
    with writing(using) as statements:
        _advance(step, using)
        if rows:
            statements.insert(rows)
            rollups.store(statements, columns)
        if any(columns["charges"]):
            _charge(step, chain.from_iterable(map(dict.items, columns["charges"])), using)


def _write_carefully(entries: Sequence[Entry], using: str, step: Step | None) -> int:
    """The same one by one, after something in the batch was stored already or could not be stored."""
    refused = 0
    with writing(using) as statements:
        _advance(step, using)
        ids = filter(_is_id, [entry.id for entry in entries])
        stored = set(Usage.objects.using(using).filter(id__in=ids).values_list("id", flat=True))
        added: list[Entry] = []
        charges: list[Charge] = []
        for entry in entries:
            if entry.id in stored:
                continue
            try:
                _insert_one(statements, entry, using)
            except POISON:
                refused += 1
                log.exception("this usage row cannot be stored", extra={"entry": repr(entry)})
            else:
                added.append(entry)
            if _is_id(entry.id):
                stored.add(entry.id)
            charges += _sound(entry)
        rollups.store(statements, Columns.of(added))
        _charge(step, charges, using)
    return refused


def _is_id(value: object) -> bool:
    return isinstance(value, UUID)


def _insert_one(statements: Statements, entry: Entry, using: str) -> None:
    tidy(entry)
    columns = Columns.of([entry])
    rows = table(columns, sqlite=connections[using].vendor == "sqlite")
    entry.declared = list(columns["declared"][0])
    rollups.hourly(columns)  # what cannot be summed must not become a row
    with transaction.atomic(using=using):
        statements.insert(rows)


def _advance(step: Step | None, using: str) -> None:
    if step is not None:
        SpoolPosition.objects.using(using).advance(*step, timezone.now())


def _charge(step: Step | None, charges: Iterable[Charge], using: str) -> None:
    """The last of the transaction: whoever asks for leases of the same windows waits from here on."""
    if step is None or not charges:
        return
    now = timezone.now()
    crossings = lease_store.settle(connections[using], step.after.owner, charges, step.sequence, now)
    notices = [
        Notice(budget_id=int(found[1]), created_at=now, next_at=now, **crossing._asdict())
        for crossing in crossings
        if (found := _BUDGET.fullmatch(crossing.counter))
    ]
    if notices:
        Notice.objects.using(using).bulk_create(notices)


def _sound(entry: Entry) -> Iterator[Charge]:
    """Its charges, without those that can be charged to nothing."""
    try:
        charges = list(apart(entry.charges.items()))
    except AttributeError:
        charges = [(str(entry.charges), 0)]
    for label, amount in charges:
        try:
            _check(label, amount)
            yield label, amount
        except POISON:
            log.exception("a charge that cannot be made", extra={"label": label, "entry": repr(entry)})


def _check(label: str, amount: int) -> None:
    read = read_label(label)
    if abs(amount) > MOST or abs(read.number) > _MOST_NUMBER or abs(read.start) > _MOST_NUMBER:
        raise OverflowError(label)
    if len(read.counter) > _MOST_COUNTER or len(read.subject) > _MOST_SUBJECT or "\0" in label:
        raise ValueError(label)
    label.encode()
