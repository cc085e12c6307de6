"""Which hooks the admin can choose: the shipped ones by their short names, and what GATEWAY_HOOKS and packages name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from django.conf import settings

from routing.hook_classes import gather
from routing.hook_options import options_class, options_schema
from routing.shipped import SHIPPED


@cache
def _known(named: tuple[str, ...]) -> tuple[dict[str, type], tuple[str, ...]]:
    short = {name.rpartition(":")[2]: name for name in SHIPPED}
    found, problems = gather([*short.items(), *((name, name) for name in named if name not in short)])
    return found, tuple(problems)


def _here() -> tuple[dict[str, type], tuple[str, ...]]:
    return _known(tuple(getattr(settings, "GATEWAY_HOOKS", ())))


def classes() -> Mapping[str, type]:
    """By the names under which they can be chosen. They are looked for once in a process."""
    return _here()[0]


def problems() -> tuple[str, ...]:
    """What is wrong with names that stand for no hook."""
    return _here()[1]


def secret_options(hook: type) -> frozenset[str]:
    """The options that are shown to nobody."""
    schema = options_schema(options_class(hook))
    return frozenset(name for name, facts in schema["properties"].items() if facts.get("writeOnly"))
