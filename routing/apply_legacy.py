"""Reads the files of the gateways before this one as if they were of version 1: ``models`` with their provider, a
``timeout`` such as 5m, ``providers`` as a mapping of names. What has no place here is told, not refused.

Of a provider that is new, what the file leaves out is taken from the environment, as those gateways did.
"""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings

from providers.presets import PRESETS
from providers.serializers import ProviderSerializer
from routing.apply_read import Map, Refused
from routing.bootstrap import ROUTES

KINDS = {"google": "gemini", "azure": "azure-openai", "custom": "openai-compatible"}
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(h|ms|m|s|us|µs|ns)")
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
FIELDS = frozenset(name for name, one in ProviderSerializer().fields.items() if not one.read_only) - {"name", "kind"}


def is_legacy(document: Map) -> bool:
    """Whether it is of the older form; Refused where it is of none."""
    if "version" not in document:
        older = (
            isinstance(document.get("providers"), Map)
            or {"models", "default_provider", "default_model"} & document.keys()
        )
        if not older:
            raise Refused((document.line, "say version: 1 in the first line"))
        return True
    version = str(document.text("version"))
    if version == "1.0" or version.startswith("0."):
        return True
    if version != "1":
        raise Refused(
            (
                document.line_of("version"),
                f"version {version} is not known: this gateway reads 1, and 1.0 of its predecessors",
            )
        )
    return False


def translate(document: Map, providers: set[str], routes: set[str]) -> tuple[Map, list[str]]:
    """The same as a document of version 1, and the names that were ignored. ``providers`` and ``routes`` exist already."""
    work = _Translation(document, providers)
    work.read_providers()
    work.read_models(routes)
    work.read_defaults()
    work.read_timeout()
    work.read_environment()
    known = ("version", "providers", "models", "default_provider", "default_model", "timeout")
    return work.result(), [*(name for name in document if name not in known), *work.ignored]


class _Translation:
    def __init__(self, document: Map, known: set[str]) -> None:
        self.document = document
        self.known = known
        self.ignored: list[str] = []
        self.providers: dict[str, Map] = {}
        self.routes: list[Map] = []
        self.defaults = Map(document.line)

    def result(self) -> Map:
        found = Map(self.document.line)
        sections = {"providers": list(self.providers.values()), "routes": self.routes, "defaults": self.defaults}
        for name, value in sections.items():
            if value:
                found.put(name, value, self.document.line_of({"routes": "models"}.get(name, name)))
        return found

    def read_providers(self) -> None:
        given = self.document.get("providers")
        if isinstance(given, list) and all(isinstance(one, Map) for one in given):
            named = [(str(one.text("name") or ""), one, one.line) for one in given]
        elif isinstance(given, Map | None):
            named = [(name, one, given.lines[name]) for name, one in (given or {}).items()] if given else []
        else:
            raise Refused((self.document.line_of("providers"), "providers must be a mapping of names to settings"))
        for name, one, line in named:
            if name == "default" and isinstance(one, str):
                self.defaults.put("provider", one.lower(), line)
            elif isinstance(one, Map | None):
                self.provider(name, one or Map(line), line)
            else:
                raise Refused((line, f"provider {name}: a mapping of its settings is expected here"))

    def provider(self, name: str, given: Map, line: int) -> Map:
        """The entry of the provider ``name``, made if there is none; ``given`` are its settings in the older form."""
        name = name.lower()
        if name in self.providers:
            return self.providers[name]
        entry = self.providers[name] = Map(given.line)
        entry.put("name", name, line)
        for old, value in given.items():
            new = {"type": "kind", "timeout": "first_byte_timeout"}.get(old, old)
            if new in FIELDS or old in ("type", "kind"):
                self.setting(entry, new, value, given, old)
            elif old != "name":
                self.ignored.append(f"providers.{name}.{old}")
        if name not in self.known:
            _choose_kind(entry, line)
        return entry

    def setting(self, entry: Map, new: str, value: Any, given: Map, old: str) -> None:
        line = given.line_of(old)
        if old == "timeout":
            value = duration(given.text(old), line)
        elif new == "kind":
            value = str(value).lower().replace("_", "-")
            value = KINDS.get(value, value)
        elif new == "api_key" and isinstance(value, str) and (variable := VARIABLE.fullmatch(value)):
            value = f"env:{variable[1] or variable[2]}"
        if value not in (None, ""):  # an empty one said that the environment has it
            entry.put(new, value, line)
            entry.texts.update({new: given.texts[old]} if old in given.texts and old == new else {})

    def read_models(self, routes: set[str]) -> None:
        models = self.document.get("models")
        if models is None:
            self.patterns(routes)
            return
        if not isinstance(models, list) or not all(isinstance(one, Map) for one in models):
            raise Refused((self.document.line_of("models"), "models must be a list of mappings with name and provider"))
        for one in models:
            if not one.get("name") or not isinstance(one.get("provider"), str) or not one["provider"]:
                raise Refused((one.line, "a model needs a name and a provider"))
            self.route(str(one.text("name")), one["provider"], one, one.line_of("provider"))
            self.ignored += [
                f"models.{one['name']}.{name}" for name in one if name not in ("name", "provider", "description")
            ]

    def route(self, name: str, provider: str, given: Map, line: int) -> None:
        target = Map(line)
        target.put("provider", self.provider(provider, Map(line), line)["name"], line)
        entry = Map(given.line)
        entry.put("model", name, given.line_of("name"))
        if given.get("description"):
            entry.put("title", str(given.text("description"))[:200], given.lines["description"])
        entry.put("targets", [target], line)
        self.routes.append(entry)

    def patterns(self, routes: set[str]) -> None:
        for name, entry in self.providers.items():
            for pattern in ROUTES.get(entry.get("kind", name), ()):
                if pattern not in routes:
                    self.route(pattern, name, Map(entry.line), entry.line)

    def read_defaults(self) -> None:
        provider, model = self.document.get("default_provider"), self.document.get("default_model")
        if provider:
            self.defaults.put("provider", str(provider).lower(), self.document.lines["default_provider"])
        if model:
            self.defaults.put("model", str(self.document.text("default_model")), self.document.lines["default_model"])
        if "provider" in self.defaults:
            self.provider(
                self.defaults["provider"], Map(self.defaults.lines["provider"]), self.defaults.lines["provider"]
            )

    def read_timeout(self) -> None:
        if self.document.get("timeout") is None:
            return
        line = self.document.lines["timeout"]
        seconds = duration(self.document.text("timeout"), line)
        for entry in self.providers.values():
            if "first_byte_timeout" not in entry:
                entry.put("first_byte_timeout", seconds, line)

    def read_environment(self) -> None:
        """Give new providers what the file leaves out and the environment has."""
        vendors = {vendor.kind: vendor for vendor in settings.GATEWAY_VENDORS}
        for name, entry in self.providers.items():
            vendor = vendors.get(entry.get("kind", ""))
            if vendor is None or name in self.known:
                continue
            said = {"api_key": vendor.api_key, "base_url": vendor.base_url, "first_byte_timeout": vendor.timeout}
            for field, value in {**said, "max_retries": vendor.max_retries}.items():
                if value != "" and field not in entry:
                    entry.put(field, value, entry.line)


def duration(text: Any, line: int) -> float:
    """Seconds: ``5m``, ``1h30m``, ``500ms``, or a number."""
    words = str(text).strip()
    parts = PART.findall(words)
    if parts and "".join(number + unit for number, unit in parts) == words:
        return sum(float(number) * UNITS[unit] for number, unit in parts)
    if re.fullmatch(r"\d+(\.\d+)?", words):
        return float(words)
    raise Refused((line, "a duration such as 30s, 5m or 1h30m is expected here"))


def _choose_kind(entry: Map, line: int) -> None:
    """Give a new provider its kind: as said, else by its name."""
    name = entry["name"]
    if "kind" not in entry:
        if name not in PRESETS and "base_url" not in entry:
            raise Refused((line, f"provider {name}: give its type, one of {', '.join(PRESETS)}"))
        entry.put("kind", name if name in PRESETS else "openai-compatible", line)
