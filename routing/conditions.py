"""What a target takes: conditions that the operator set. Compiled once, when loaded.

The admin's form is JSON; all members are optional and all that are given must hold::

    {"stream": true, "tools": false, "images": true, "audio": …, "video": …, "documents": …, "structured": …,
     "min_input_bytes": 1, "max_input_bytes": 100000, "min_input_tokens": 1, "max_input_tokens": 8000,
     "tags": ["batch", "eval-*"], "not_tags": ["vip"], "tenants": ["acme"], "not_tenants": ["guest-*"],
     "headers": {"x-region": ["eu", "eu-*"]},
     "times": [{"days": ["mon", "tue"], "from": "22:00", "to": "06:00"}]}

A flag is about what the request uses. Of the names in a list one must fit; ``*`` may end a name. Times are UTC; a
window that passes midnight belongs to the day on which it begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from providers.abilities import FLAGS, Ability, flags_of, none_left, size_of
from providers.chat import BadRequest
from providers.fields import Fields
from routing.facts import Facts
from tenants.terms import Names

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
THURSDAY: Final = 3  # the epoch's first day
DAY: Final = 24 * 60
SIZES: Final = ("min_input_bytes", "max_input_bytes", "min_input_tokens", "max_input_tokens")
KNOWN: Final = (*FLAGS, *SIZES, "tags", "not_tags", "tenants", "not_tenants", "headers", "times")
MAX_NAMES: Final = 100
#: Conditions are shown to people; secrets are none of their business.
SECRET_HEADERS: Final = frozenset("authorization proxy-authorization x-api-key api-key x-goog-api-key cookie".split())
HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of the day from ``start`` until before ``end``; past midnight where ``end`` is the smaller."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, now: float) -> bool:
        minutes = int(now // 60)
        day, minute = (minutes // DAY + THURSDAY) % 7, minutes % DAY
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a request must be for a target to take it. None is no condition, and so is 0 as a size."""

    flags: tuple[tuple[str, bool], ...] = ()
    min_input_bytes: int = 0
    max_input_bytes: int = 0
    min_input_tokens: int = 0
    max_input_tokens: int = 0
    tags: Names | None = None
    not_tags: Names | None = None
    tenants: Names | None = None
    not_tenants: Names | None = None
    headers: tuple[tuple[str, bytes, Names], ...] = ()
    times: tuple[Window, ...] = ()

    def reject(self, facts: Facts) -> str:
        """Why the target does not take the request, "" if it does. The cheap facts are asked first."""
        return (
            self._who(facts)
            or (self._when(facts) if self.times else "")
            or (self._what(facts) if self.flags else "")
            or self._size(facts)
        )

    def _who(self, facts: Facts) -> str:
        if self.tenants is not None and facts.tenant not in self.tenants:
            return f"takes the tenants {words(self.tenants)} only"
        if self.not_tenants is not None and facts.tenant in self.not_tenants:
            return f"does not take the tenants {words(self.not_tenants)}"
        if self.tags is not None and not (facts.tags and any(tag in self.tags for tag in facts.tags)):
            return f"takes requests with one of the tags {words(self.tags)} only"
        if self.not_tags is not None and facts.tags and any(tag in self.not_tags for tag in facts.tags):
            return f"does not take requests with one of the tags {words(self.not_tags)}"
        for name, raw, wanted in self.headers:
            value = facts.headers.get(raw)
            if value is None or value.decode("latin-1").strip() not in wanted:
                return f"takes requests whose header {name} is {words(wanted)} only"
        return ""

    def _when(self, facts: Facts) -> str:
        if not any(window.holds(facts.now) for window in self.times):
            return "takes no requests at this time"
        return ""

    def _what(self, facts: Facts) -> str:
        for flag, wanted in self.flags:
            if facts.has(flag) != wanted:
                return f"takes requests {'with' if wanted else 'without'} {FLAGS[flag]} only"
        return ""

    def _size(self, facts: Facts) -> str:
        if self.min_input_bytes or self.max_input_bytes:
            size, least, most = facts.input_bytes, self.min_input_bytes, self.max_input_bytes
            if size < least or 0 < most < size:
                return _beyond(size, least, most, "bytes", "")
        if self.min_input_tokens or self.max_input_tokens:
            size, least, most = facts.input_tokens, self.min_input_tokens, self.max_input_tokens
            if size < least or 0 < most < size:
                return _beyond(size, least, most, "tokens", "about ")
        return ""


def _beyond(size: int, least: int, most: int, unit: str, about: str) -> str:
    bound = f"at least {least}" if size < least else f"at most {most}"
    return f"takes input of {bound} {unit}, not {about}{size}"


def reject(conditions: Conditions | None, ability: Ability | None, facts: Facts) -> str:
    """Why a target with these is skipped for this request, "" if it is not."""
    reason = conditions.reject(facts) if conditions is not None else ""
    return reason or (ability.reject(facts) if ability is not None else "")


def words(names: Names) -> str:
    found = ["*"] if names.everything else [*sorted(names.exact), *(f"{prefix}*" for prefix in names.prefixes)]
    return " or ".join(found)


def read_conditions(doc: Any) -> Conditions | None:
    """The conditions that the admin's JSON says, None for none. Raises BadRequest naming the member at fault."""
    members = Fields({} if doc is None else doc, "conditions")
    found = Conditions(
        flags=flags_of(members),
        min_input_bytes=size_of(members, "min_input_bytes"),
        max_input_bytes=size_of(members, "max_input_bytes"),
        min_input_tokens=size_of(members, "min_input_tokens"),
        max_input_tokens=size_of(members, "max_input_tokens"),
        tags=_names(members, "tags"),
        not_tags=_names(members, "not_tags"),
        tenants=_names(members, "tenants"),
        not_tenants=_names(members, "not_tenants"),
        headers=_headers(members.inner("headers")),
        times=tuple(_window(item, f"conditions.times[{n}]") for n, item in enumerate(members.items("times"))),
    )
    none_left(members, KNOWN)
    for unit in ("bytes", "tokens"):
        if 0 < getattr(found, f"max_input_{unit}") < getattr(found, f"min_input_{unit}"):
            raise BadRequest(f"conditions.max_input_{unit}", f"must not be less than min_input_{unit}")
    return None if found == Conditions() else found


def _names(members: Fields, name: str) -> Names | None:
    """Names of which the list has at least one; without the member, None."""
    if name not in members.left:
        return None
    return _checked(members.texts(name), members.at(name))


def _checked(names: list[str], path: str) -> Names:
    if not names:
        raise BadRequest(path, "must name something, or be left out")
    if len(names) > MAX_NAMES:
        raise BadRequest(path, f"must have at most {MAX_NAMES} names")
    for name in names:
        if not name.strip() or "*" in name[:-1]:
            raise BadRequest(path, "must be names, of which * may be the last character only")
    return Names(names)


def _headers(members: Fields | None) -> tuple[tuple[str, bytes, Names], ...]:
    found = []
    for name, value in members.left.items() if members is not None else ():
        path = f"conditions.headers.{name}"
        lower = name.lower()
        if not HEADER_NAME.fullmatch(name):
            raise BadRequest(path, "is not a legal header name")
        if lower in SECRET_HEADERS:
            raise BadRequest(path, "holds a secret, on which no condition may depend")
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise BadRequest(path, "must be a string or a list of strings")
        found.append((lower, lower.encode(), _checked(values, path)))
    return tuple(found)


def _window(doc: Any, path: str) -> Window:
    members = Fields(doc, path)
    days = members.texts("days") or list(DAYS)
    if unknown := [day for day in days if day not in DAYS]:
        raise BadRequest(f"{path}.days", f"must be of {', '.join(DAYS)}, not {unknown[0]!r}")
    start = _minute(members, "from", "00:00")
    end = _minute(members, "to", "24:00")
    none_left(members, ("days", "from", "to"))
    if start in (end, DAY):
        raise BadRequest(path, "must have a beginning before another end")
    return Window(frozenset(DAYS.index(day) for day in days), start, end)


def _minute(members: Fields, name: str, default: str) -> int:
    text = members.text(name, default)
    if not CLOCK.fullmatch(text):
        raise members.wrong(name, "a time such as 08:30")
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
