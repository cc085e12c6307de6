"""Many keys at once, from a CSV file or a list: all of them are issued, or none."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db import DataError, IntegrityError, transaction
from rest_framework.serializers import ValidationError

from tenants.forms import SEPARATORS
from tenants.models import ApiKey
from tenants.reports import inert
from tenants.serializers import ApiKeySerializer

MOST_KEYS = 2_000
MOST_BYTES = 2**20
LISTS = frozenset(("allowed_models", "denied_models", "allowed_providers", "networks", "scopes", "default_tags"))
COLUMNS = (
    *("tenant", "project", "name", "enabled", "expires_at"),
    *("allowed_models", "denied_models", "allowed_providers", "networks", "scopes"),
    *("requests_per_minute", "requests_per_day", "tokens_per_minute", "concurrent_requests"),
    *("max_input_tokens", "max_output_tokens", "default_tags", "log_bodies"),
    *("may_choose_provider", "may_explain"),
)
NEEDED = ("tenant", "name")
Entry = tuple[int, Mapping[str, Any]]
"""Where it stands, a line or a place in a list, and the fields of the key."""


class Refused(Exception):
    """Nothing was issued. ``problems`` are by line or place: the field at fault, "" for none, and what is wrong."""

    def __init__(self, *problems: tuple[int, str, str]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = sorted(problems)


def read(data: bytes) -> list[Entry]:
    """The keys that a CSV file asks for, by line. Raises Refused."""
    if len(data) > MOST_BYTES:
        raise Refused((0, "", f"The file is larger than {MOST_BYTES} bytes."))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused((0, "", "The file is not UTF-8. Save it as CSV UTF-8.")) from None
    first = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in first and "," not in first else ",", strict=True
    )
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(header)
        return list(_entries(reader, header))
    except csv.Error as error:
        raise Refused((reader.line_num, "", f"This is not CSV: {error}.")) from None


def _check_header(header: list[str]) -> None:
    problems = [(1, name, "There is no such column.") for name in header if name not in COLUMNS]
    problems += [(1, name, "The column stands twice.") for name, times in Counter(header).items() if times > 1]
    problems += [(1, name, "The column is missing.") for name in NEEDED if name not in header]
    if problems:
        raise Refused(*problems)


def _entries(reader: Any, header: list[str]) -> Iterator[Entry]:
    problems = []
    while True:
        line = reader.line_num + 1
        cells = next(reader, None)
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append((line, "", f"The line has {len(cells)} cells, and the first line {len(header)}."))
            continue
        given = zip(header, map(str.strip, cells), strict=True)
        yield line, {name: _value(name, cell) for name, cell in given if cell}
    if problems:
        raise Refused(*problems)


def _value(name: str, cell: str) -> Any:
    return [part for part in SEPARATORS.split(cell.replace(";", " ")) if part] if name in LISTS else cell


def issue(entries: Iterable[Entry]) -> list[ApiKey]:
    """Issue them all; each row's ``issued`` is its key, which nothing stores. Raises Refused."""
    given = list(entries)
    if not given:
        raise Refused((0, "", "There is no key in it."))
    if len(given) > MOST_KEYS:
        raise Refused((0, "", f"There are {len(given)} keys in it; at most {MOST_KEYS} are issued at once."))
    rows = _rows(given)
    try:
        with transaction.atomic():
            for row in rows:
                row.save()
    except (IntegrityError, DataError):
        words = "One of the keys conflicts with another, made at the same time, or does not fit the database."
        raise Refused((0, "", words)) from None
    return rows


def _rows(given: list[Entry]) -> list[ApiKey]:
    check: Any = ApiKeySerializer(context={"unique": False})  # one for all: to make one takes a millisecond
    for name in set(check.fields) - set(COLUMNS):
        check.fields.pop(name)
    rows, problems = [], []
    seen: dict[tuple[int, str], int] = {}
    for place, fields in given:
        try:
            check.run_validation(dict(fields))
        except ValidationError as error:
            problems += [(place, name, text) for name, text in _told(error.detail)]
            continue
        row = check.row
        problems += [(place, "name", text) for text in _name_problems(row, seen)]
        seen.setdefault((row.tenant_id, row.name), place)
        rows.append(row)
    taken = _taken(rows)
    problems += [
        (place, "name", "The tenant has a key of this name already.") for of, place in seen.items() if of in taken
    ]
    if problems:
        raise Refused(*problems)
    return rows


def _name_problems(row: ApiKey, seen: Mapping[tuple[int, str], int]) -> Iterator[str]:
    if not row.name.isprintable():
        yield "A name is one line of printable characters."
    if (before := seen.get((row.tenant_id, row.name))) is not None:
        yield f"The name stands here twice, at {before} for the first time."


def _taken(rows: list[ApiKey]) -> set[tuple[int, str]]:
    names: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        names[row.tenant_id].append(row.name)
    return {
        (tenant, name)
        for tenant, wanted in names.items()
        for start in range(0, len(wanted), 500)
        for name in ApiKey.objects.filter(tenant_id=tenant, name__in=wanted[start : start + 500]).values_list(
            "name", flat=True
        )
    }


def _told(detail: Any) -> Iterator[tuple[str, str]]:
    """Fields and sentences of a serializer's errors."""
    for name, words in detail.items():
        field = "" if name == "non_field_errors" else str(name)
        for text in _sentences(words):
            yield field, text


def _sentences(words: Any) -> Iterator[str]:
    if isinstance(words, str):
        yield str(words)
        return
    for one in words.values() if isinstance(words, dict) else words:
        yield from _sentences(one)


def as_csv(rows: Iterable[ApiKey]) -> str:
    """The issued keys, for the one answer that tells them. What a spreadsheet would run gets a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("tenant", "project", "name", "key", "expires_at"))
    for row in rows:
        expires = row.expires_at.isoformat() if row.expires_at else ""
        project = row.project.name if row.project is not None else ""
        writer.writerow(map(inert, (row.tenant.name, project, row.name, row.__dict__.pop("issued"), expires)))
    return out.getvalue()
