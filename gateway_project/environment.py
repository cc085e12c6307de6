"""Reads what the operator set: the ``.env`` file and the environment, one typed value at a time.

A value that is not understood stops the start and names its variable. A variable of ours that nobody asked for is a
warning: it is most often a typing mistake.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values

T = TypeVar("T")
Network = IPv4Network | IPv6Network

OURS = ("SERVER_", "GATEWAY_", "LLM_GATEWAY_")
#: Read by the test suite and by the .env reader below, before there is an Environment.
ELSEWHERE = ("GATEWAY_ENV_FILE", "GATEWAY_REQUIRE_ALL")
#: Kubernetes puts the address of a service named "gateway" or "server" under these names; nobody meant us.
SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")
SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
NUMBER = re.compile(r"\d+(\.\d+)?")
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
SIZE = re.compile(r"(\d+) ?([kmg]?)(?:i?b)?", re.IGNORECASE)
FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class Refused(ImproperlyConfigured):
    """The gateway does not start like this. The text is all that the operator needs to read."""


def env_file(base: Path, arguments: Sequence[str] = ()) -> Path | None:
    """``--env-file``, ``GATEWAY_ENV_FILE`` (empty: none) or ``.env``; None if there is none.

    The option is found here and not by its command: settings are read before any command runs.
    """
    named = os.environ.get("GATEWAY_ENV_FILE")
    for position, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if option == "--env-file":
            named = value or next(iter(arguments[position + 1 :]), "")
    if named is None:
        return base / ".env" if (base / ".env").is_file() else None
    if named and not Path(named).is_file():
        raise Refused(f"There is no file {named} to read the environment from.")
    return Path(named) if named else None


def load_env_file(base: Path) -> None:
    """Take the file's variables into the environment; what is set already wins."""
    path = env_file(base, sys.argv)
    for name, value in (dotenv_values(path) if path else {}).items():
        if value is not None:
            os.environ.setdefault(name, value)


def seconds(text: str) -> float:
    """``30``, ``30s``, ``1.5m`` or ``1m30s`` in seconds."""
    if NUMBER.fullmatch(text):
        return float(text)
    parts: list[tuple[str, str]] = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 30, 30s or 5m")
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def days(text: str) -> int:
    """A whole number of days; 0 is for ever. Raises ValueError."""
    if not text.isdecimal() or int(text) > 36_500:
        raise ValueError(f"{text!r} is not a number of days such as 90, 0 for ever")
    return int(text)


def size(text: str) -> int:
    """``1048576``, ``64M`` or ``64 MiB`` in bytes."""
    match = SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 67108864, 64M or 1GiB")
    return int(match[1]) * BYTES[match[2].lower()]


def place(text: str) -> Path:
    """A file or a directory, from here on wherever the process goes."""
    return Path(text).expanduser().absolute()


def networks(text: str) -> list[Network]:
    """Addresses and networks, separated by commas."""
    try:
        return [ip_network(part, strict=False) for part in split(text)]
    except ValueError:
        raise ValueError(f"{text!r} is not a list of addresses or networks such as 10.0.0.0/8, ::1") from None


def split(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part]


def url(text: str) -> str:
    """An http(s) URL without a trailing slash."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{text!r} is not a URL such as https://gateway.example.com")
    _ = parts.port  # raises ValueError where it is no number
    return text.rstrip("/")


class Environment:
    """Typed access to ``values``. Where several names are given the first that is set wins; empty counts as not set."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = {name: value for name, value in values.items() if not _service_link(name, value)}
        self.known = set(ELSEWHERE)

    def read(self, names: str | tuple[str, ...], convert: Callable[[str], T], default: T) -> T:
        names = (names,) if isinstance(names, str) else names
        self.known.update(names)
        for name in names:
            text = self.values.get(name, "").strip()
            if text:
                return _converted(name, text, convert)
        return default

    def text(self, *names: str, default: str = "") -> str:
        return self.read(names, str, default)

    def flag(self, name: str, default: bool = False) -> bool:
        return self.choice(name, FLAGS, "1" if default else "0")

    def choice(self, name: str, choices: Mapping[str, T], default: str) -> T:
        def convert(text: str) -> T:
            if text.lower() not in choices:
                raise ValueError(f"{text!r} is none of {', '.join(choices)}")
            return choices[text.lower()]

        return self.read(name, convert, choices[default])

    def whole(self, *names: str, default: int, least: int, most: int) -> int:
        def convert(text: str) -> int:
            if not text.isdecimal() or not least <= int(text) <= most:
                raise ValueError(f"{text!r} is not a whole number from {least} to {most}")
            return int(text)

        return self.read(names, convert, default)

    def seconds(self, *names: str, default: float, least: float = 0.001) -> float:
        def convert(text: str) -> float:
            if (value := seconds(text)) < least:
                raise ValueError(f"{text!r} is less than {least} seconds")
            return value

        return self.read(names, convert, default)

    def unknown(self) -> list[str]:
        """One line for each variable that looks like ours and that nobody asked for."""
        known = sorted(self.known)
        lines = []
        for name in sorted(self.values):
            if name.startswith(OURS) and name not in self.known:
                near = get_close_matches(name, known, 1, 0.8)
                lines.append(f"{name} is set and means nothing here." + (f" Did you mean {near[0]}?" if near else ""))
        return lines


def _converted(name: str, text: str, convert: Callable[[str], T]) -> T:
    try:
        return convert(text)
    except ValueError as error:
        raise Refused(f"{name}: {error}.") from None


def _service_link(name: str, value: str) -> bool:
    if not name.startswith(OURS):
        return False
    # SERVER_PORT and LLM_GATEWAY_SERVER_PORT are ours too, unless they hold an address.
    return bool(SERVICE_ADDRESS.match(value)) or (bool(SERVICE_LINK.search(name)) and not name.endswith("SERVER_PORT"))
