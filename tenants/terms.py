"""What one key may do, and what it is counted by: the tightest of what its tenant, its project and itself say. No Django
here: requests use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Literal, NamedTuple

from tenants.leases import MONEY, Counter

SCOPES: Final = (
    "chat",
    "completions",
    "responses",
    "messages",
    "generate",
    "embeddings",
    "images",
    "audio",
    "moderations",
    "rerank",
    "models",
)
Network = IPv4Network | IPv6Network
OF: Final = ("tenant", "project", "key", "end_user", "tag")


_KINDS: Final = {MONEY: 0, "tokens": 1, "requests": 2}


class Names:
    """Names and ``*``-ended patterns that something is allowed; without any, everything is."""

    __slots__ = ("everything", "exact", "prefixes")

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.everything = not names or "*" in names
        self.exact = frozenset(name for name in names if not name.endswith("*"))
        self.prefixes = tuple(name[:-1] for name in names if name.endswith("*"))

    def __contains__(self, name: object) -> bool:
        return (
            self.everything
            or name in self.exact
            or (isinstance(name, str) and bool(self.prefixes) and name.startswith(self.prefixes))
        )


ALL: Final = Names()


class Subjects:
    """A limit that counts each of many alone, such as end users: one counter for each, the least used are forgotten; what
    they have used is kept by their leases and the store, so that loosens nothing."""

    __slots__ = ("of",)

    def __init__(self, make: Callable[[str], Counter], most: int = 10_000) -> None:
        self.of: Callable[[str], Counter] = lru_cache(most)(make)


class Rule(NamedTuple):
    """One thing that a request is counted by. ``each`` makes a counter for every end user. ``tag``, ``end_user``: only of
    requests with this one. ``title`` is what refusals call it."""

    counter: Counter
    each: Subjects | None = None
    tag: str = ""
    end_user: str = ""
    title: str = ""


class Counted:
    """What one request counts in: ``counters`` in the order of their names, and their ``units``. ``hard``: a budget must
    hold; ``tokens``: they are limited; ``measured``: either, so the request has to be looked at. ``told`` are the places of
    limits of requests and of tokens, whose rest its reply tells, ``written`` what its head has of them, by place."""

    __slots__ = ("_kinds", "counters", "hard", "measured", "titles", "tokens", "told", "units", "written")

    def __init__(self, found: Iterable[tuple[Rule, Counter]] = ()) -> None:
        rules = tuple(found)
        self.counters = tuple(counter for _, counter in rules)
        self.titles = {counter.name: rule.title for rule, counter in rules}
        self.units = units = tuple(counter.unit for counter in self.counters)
        self._kinds = [_KINDS.get(unit, len(_KINDS)) for unit in units]
        self.hard = any(each.unit == MONEY and each.hard for each in self.counters)
        self.tokens = "tokens" in units
        self.measured = self.tokens or MONEY in units
        places = {unit: [place for place, each in enumerate(units) if each == unit] for unit in ("requests", "tokens")}
        self.told = tuple((unit, found) for unit, found in places.items() if found)
        self.written: dict[int, bytes] = {}

    def amounts(self, money: int, tokens: int, requests: int, concurrent: int) -> list[int]:
        """So much of each counter's unit."""
        return [
            money if kind == 0 else tokens if kind == 1 else requests if kind == 2 else concurrent
            for kind in self._kinds
        ]


@dataclass(frozen=True, slots=True)
class Level:
    """What a tenant, a project or a key itself says. Nothing: everything is allowed, nothing is counted."""

    kind: str = ""  # tenant | project | key
    name: str = ""
    models: Names = ALL
    denied: Names | None = None
    providers: Names = ALL
    networks: tuple[Network, ...] = ()
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    tags: tuple[str, ...] = ()
    log_bodies: bool = True
    rules: tuple[Rule, ...] = ()


NOTHING: Final = Level()


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one key, over all its ``levels``, the tenant's first. ``rules`` are in the order of their counters'
    names: all who reserve do so in this order. ``usual`` is what every request counts in, None where that is not the same for
    all. ``declared`` are the tags that reports count apart."""

    levels: tuple[Level, ...] = ()
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    tags: tuple[str, ...] = ()
    log_bodies: bool = True
    rules: tuple[Rule, ...] = ()
    scopes: frozenset[str] = frozenset()
    unpriced: Literal["block", "warn", "allow"] = "warn"
    interrupted: Literal["counted", "bound", "zero"] = "counted"
    declared: frozenset[str] = frozenset()
    any_provider: bool = True
    any_address: bool = True
    usual: Counted | None = None

    def counted(self, end_user: str, tags: Sequence[str]) -> Counted:
        """What a request of this end user, with these tags, counts in. Who tells no user counts as one of no name: else
        limits of users would be for those who tell theirs alone."""
        if self.usual is not None:
            return self.usual
        rules = [
            rule
            for rule in self.rules
            if (not rule.tag or rule.tag in tags) and (not rule.end_user or rule.end_user == end_user)
        ]
        return Counted((rule, rule.each.of(end_user) if rule.each is not None else rule.counter) for rule in rules)

    @property
    def demanding(self) -> bool:
        """Whether a request has to be looked at before it is sent."""
        return bool(self.rules) or self.max_output_tokens is not None or self.unpriced == "block"

    def model_refused_by(self, model: str) -> Level | None:
        """The level that does not allow ``model``; None if all do."""
        for level in self.levels:
            if model not in level.models or (level.denied is not None and model in level.denied):
                return level
        return None

    def provider_allowed(self, provider: str) -> bool:
        return all(provider in level.providers for level in self.levels)

    def address_refused_by(self, address: str) -> Level | None:
        """The level whose networks ``address`` is not in; what is no address is in none."""
        if self.any_address:
            return None
        for level in self.levels:
            if level.networks and not _within(address, level.networks):
                return level
        return None


def _within(address: str, networks: Iterable[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any(each in network for network in networks for each in (parsed, mapped) if each is not None)


def terms(
    levels: Iterable[Level],
    rules: Iterable[Rule] = (),
    *,
    scopes: Iterable[str] = (),
    unpriced: Literal["block", "warn", "allow"] = "warn",
    interrupted: Literal["counted", "bound", "zero"] = "counted",
    declared: Iterable[str] = (),
) -> Terms:
    """What holds over all ``levels``, of which those that say nothing are left out, and ``rules`` beside theirs."""
    told = tuple(level for level in levels if level is not NOTHING)
    ordered = tuple(sorted([*rules, *(rule for level in told for rule in level.rules)], key=_name))
    same = not any(rule.tag or rule.end_user or rule.each is not None for rule in ordered)
    return Terms(
        told,
        _least(level.max_input_tokens for level in told),
        _least(level.max_output_tokens for level in told),
        tuple(dict.fromkeys(tag for level in told for tag in level.tags)),
        all(level.log_bodies for level in told),
        ordered,
        frozenset(scopes),
        unpriced,
        interrupted,
        frozenset(declared),
        all(level.providers.everything for level in told),
        not any(level.networks for level in told),
        Counted((rule, rule.counter) for rule in ordered) if same else None,
    )


def _name(rule: Rule) -> str:
    return rule.counter.name


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)
