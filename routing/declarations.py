"""Providers, routes and hooks as a program declares them: in the words of the file of ``manage.py apply``, which see for
what each field means. ``routing.declared`` reads and checks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Credential:
    """A secret that a provider accepts, or ``env:NAME``; ``weight`` is its share among several."""

    secret: str = field(repr=False)
    name: str = "default"
    weight: int = 1
    enabled: bool = True


@dataclass(slots=True)
class Model:
    """What a model of a provider can do: ``{"context_length": 131072, "tools": false}``."""

    name: str
    abilities: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Provider:
    """One upstream account or server. ``api_key`` may be ``env:NAME``, and stands for a credential of that name; what is
    empty its kind knows."""

    name: str
    kind: str
    api_key: str = field(default="", repr=False)
    base_url: str = ""
    title: str = ""
    enabled: bool = True
    strip_path: str = ""
    apis: Sequence[str] = ()
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float = 10
    first_byte_timeout: float = 600
    idle_timeout: float = 300
    max_retries: int = 2
    max_concurrent: int = 0
    max_waiting: int = 100
    queue_wait: float = 30
    breaker: str = ""
    breaker_ratio: float = 0.25
    breaker_requests: int = 20
    breaker_pause: float = 5
    stream_usage: str = ""
    api_version: str = ""
    lacks: Sequence[str] = ()
    proxy_url: str = ""
    ca_file: str = ""
    credentials: Sequence[Credential | Mapping[str, Any]] = ()
    models: Sequence[Model | Mapping[str, Any]] = ()


@dataclass(slots=True)
class Target:
    """One place where a route's requests can go; ``model`` is the provider's own name, "" for the one that was asked."""

    provider: str
    model: str = ""
    api: str = ""
    max_tokens: int | None = None
    weight: int = 1
    priority: int = 0
    conditions: Mapping[str, Any] = field(default_factory=dict)
    fallback_for: str = ""
    enabled: bool = True


@dataclass(slots=True)
class Route:
    """A model name that callers ask for, or a pattern ending in ``*``, and how it is answered."""

    model: str
    targets: Sequence[Target | Mapping[str, Any]] = ()
    title: str = ""
    enabled: bool = True
    strategy: str = "priority"
    sticky_by: str = ""
    deadline: float = 540
    connect_timeout: float | None = None
    first_byte_timeout: float | None = None
    idle_timeout: float | None = None
    keep_alive: float = 0
    reply_model: str = "upstream"
    allowed_fields: Sequence[str] = ()
    loss: str = ""


@dataclass(slots=True)
class Defaults:
    """Where models go that no route names: to a provider under their own name, or as another model."""

    provider: str | None = None
    model: str = ""


@dataclass(slots=True)
class Hook:
    """A hook with its options: ``name`` is that of one that is shipped, ``module:Class``, or the class itself."""

    name: str | type
    options: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    order: int = 0
    tenant: str | None = None
    route: str | None = None
    on_failure: str = ""
    seconds: float | None = None
    enabled: bool = True
