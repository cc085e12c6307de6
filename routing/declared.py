"""Reads what a program declares: objects of ``routing.declarations``, or mappings of the same names.

What is wrong is a ValueError that names the field, as ``routes[0].targets[1].weight``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from providers import rules
from providers.abilities import read_ability
from providers.addresses import Network
from providers.chat import BadRequest
from providers.presets import ALL_APIS, PRESETS
from routing.conditions import read_conditions
from routing.declarations import Credential, Defaults, Hook, Model, Provider, Route, Target
from routing.strategies import STRATEGIES, check_sticky

T = TypeVar("T")
MODEL: Final = re.compile(r"^[^\s*\x00-\x1f\x7f<>\"'`\\]{0,254}[^\s\x00-\x1f\x7f<>\"'`\\]\Z")
MODELS: Final = "A model name, or the start of one followed by *; no spaces, quotes or < >."
SECRET: Final = re.compile(r"[\x20-\x7e]*")
ENVIRONMENT: Final = re.compile(r"[A-Za-z0-9_]*(_API_KEY|_TOKEN)")
MOST: Final = 1_000_000
MOST_RETRIES: Final = 10
LONGEST_PAUSE: Final = 3600
#: By what a field says that it is: Python's types, and words for people.
TYPES: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "str": ((str,), "a text"),
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "Sequence[str]": ((list, tuple), "a list of texts"),
    "Mapping[str, str]": ((Mapping,), "a mapping of texts to texts"),
    "Mapping[str, Any]": ((Mapping,), "a mapping"),
    "str | type": ((str, type), "a name, or a class"),
}
LIST: Final = ((list, tuple), "a list")


def one_of(*words: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if value not in words:
            known = ", ".join(word or "empty" for word in words)
            near = get_close_matches(str(value), words, 1)
            raise ValueError(f"{value!r} is none of {known}." + (f" Did you mean {near[0]}?" if near else ""))

    return check


def between(least: float, most: float) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not least <= value <= most:
            raise ValueError(f"Give a number from {least} to {most}.")

    return check


def check_model(value: str) -> None:
    if not MODEL.match(value):
        raise ValueError(MODELS)


def check_secret(value: str) -> None:
    if not SECRET.fullmatch(value):
        raise ValueError("A key is printable ASCII: this one holds something else, perhaps a line break.")


def check_pause(value: float) -> None:
    if value != 0 and not 1 <= value <= LONGEST_PAUSE:
        raise ValueError(f"Give 0, or from 1 to {LONGEST_PAUSE} seconds.")


#: What the values of fields must be beside their type; an empty one is left to its default.
RULES: Final[dict[type[Any], dict[str, Callable[[Any], None]]]] = {
    Provider: {
        "name": rules.check_name,
        "kind": one_of(*PRESETS),
        "api_key": check_secret,
        "strip_path": rules.check_strip_path,
        "apis": lambda value: rules.check_apis(list(value)),
        "extra_headers": lambda value: rules.check_headers(dict(value)),
        **dict.fromkeys(("connect_timeout", "first_byte_timeout", "idle_timeout"), rules.check_seconds),
        **dict.fromkeys(("queue_wait", "breaker_pause"), rules.check_seconds),
        "max_retries": between(0, MOST_RETRIES),
        "max_concurrent": between(0, MOST),
        "max_waiting": between(0, MOST),
        "breaker": one_of("", "open", "closed"),
        "breaker_ratio": between(0.01, 1),
        "breaker_requests": between(1, MOST),
        "stream_usage": one_of("", "native", "ask"),
        "api_version": rules.check_api_version,
        "lacks": lambda value: rules.check_lacks(list(value)),
        "proxy_url": rules.check_proxy_url,
        "ca_file": rules.check_ca_file,
    },
    Credential: {"name": rules.check_name, "secret": check_secret, "weight": between(0, MOST)},
    Model: {"abilities": lambda value: check_abilities(dict(value))},
    Route: {
        "model": check_model,
        "strategy": one_of(*STRATEGIES),
        "sticky_by": check_sticky,
        **dict.fromkeys(("deadline", "connect_timeout", "first_byte_timeout", "idle_timeout"), rules.check_seconds),
        "keep_alive": check_pause,
        "reply_model": one_of("upstream", "asked"),
        "loss": one_of("", "strict", "lenient"),
    },
    Target: {
        "api": one_of("", *ALL_APIS),
        "max_tokens": between(1, MOST * 100),
        "weight": between(0, MOST),
        "conditions": lambda value: check_conditions(dict(value)),
        "fallback_for": one_of("", "context_length", "content_policy", "both"),
    },
    Defaults: {},
    Hook: {"on_failure": one_of("", "open", "closed"), "seconds": rules.check_seconds},
}


def check_abilities(value: Any) -> None:
    read_ability(value)


def check_conditions(value: Any) -> None:
    read_conditions(value)


def wrong(path: str, message: str) -> ValueError:
    return ValueError(f"{path}: {message}")


def read_all(cls: type[T], given: Iterable[T | Mapping[str, Any]], path: str, key: str) -> list[T]:
    """Declarations of one kind, of which ``key`` tells one from another."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise wrong(path, f"must be a list of {path}.")
    found = [read(cls, each, f"{path}[{n}]") for n, each in enumerate(given)]
    seen: dict[Any, int] = {}
    for n, each in enumerate(found):
        name = getattr(each, key)
        if name in seen:
            raise wrong(f"{path}[{n}].{key}", f"{name} stands here twice; the first is {path}[{seen[name]}].")
        seen[name] = n
    return found


def read(cls: type[T], given: T | Mapping[str, Any], path: str) -> T:
    """A declaration whose every field is right by itself."""
    made = given if isinstance(given, cls) else _made(cls, given, path)
    checks = RULES[cls]
    for each in fields(made):  # type: ignore[arg-type]
        value = getattr(made, each.name)
        check_type(str(each.type), value, f"{path}.{each.name}")
        if each.name in checks and value not in (None, "", (), [], {}):
            _obey(checks[each.name], value, f"{path}.{each.name}")
    return made


def _made(cls: type[T], given: object, path: str) -> T:
    if not isinstance(given, Mapping):
        raise wrong(path, f"must be a {cls.__name__} or a mapping of its fields, not a {type(given).__name__}.")
    known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            raise wrong(f"{path}.{name}", "There is no such field." + (f" Did you mean {near[0]}?" if near else ""))
    for name, each in known.items():
        if name not in given and each.default is MISSING and each.default_factory is MISSING:
            raise wrong(f"{path}.{name}", "is required.")
    return cls(**given)


def check_type(hint: str, value: object, path: str) -> None:
    optional = hint.endswith(" | None")
    if optional and value is None:
        return
    plain = hint.removesuffix(" | None")
    types, words = TYPES.get(plain, LIST)
    right = isinstance(value, types) and (not isinstance(value, bool) or bool in types)
    if right and hint == "Sequence[str]":
        right = all(isinstance(item, str) for item in value)  # type: ignore[attr-defined]
    if not right:
        raise wrong(path, f"must be {words}.")


def _obey(check: Callable[[Any], None], value: Any, path: str) -> None:
    try:
        check(value)
    except BadRequest as error:  # whose field begins with this one
        raise wrong(f"{path.rpartition('.')[0]}.{error.field}", f"{error.message}.") from None
    except ValueError as error:
        raise wrong(path, str(error)) from None


def check_provider(provider: Provider, path: str, allowed: Sequence[Network] = ()) -> None:
    """What the fields of a provider must be to each other. ``allowed`` are metadata networks that may be called."""
    kind = PRESETS[provider.kind]
    try:
        rules.check_together(provider.kind, provider.base_url, provider.api_version)
    except rules.FieldError as error:
        raise wrong(f"{path}.{error.field}", str(error)) from None
    if provider.base_url:
        _obey(lambda value: rules.check_base_url(value, allowed), provider.base_url, f"{path}.base_url")
    if kind.needs_secret and not (provider.api_key or provider.credentials):
        raise wrong(f"{path}.api_key", f"{kind.title} needs a key.")


def secret_of(text: str, path: str) -> str:
    """A literal as it is; for ``env:NAME`` what that variable holds."""
    if not text.startswith("env:"):
        return text
    name = text.removeprefix("env:")
    if not ENVIRONMENT.fullmatch(name):
        raise wrong(path, "the name after env: must end in _API_KEY or _TOKEN.")
    if not os.environ.get(name):
        raise wrong(path, f"the environment variable {name} is not set.")
    return os.environ[name]
