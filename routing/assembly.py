"""From what a program declares to the snapshot that requests read. No database, no settings."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from providers import building
from providers.abilities import Ability, read_ability
from providers.addresses import Network
from providers.upstream import Credential, Upstream
from routing import declarations, declared
from routing.conditions import read_conditions
from routing.declarations import Defaults, Hook, Model, Provider
from routing.declared import read, read_all, wrong
from routing.hook_classes import HookSettingError, checked, load
from routing.hook_options import options_class, read_options
from routing.hooks import Hooks, Means, Row
from routing.shipped import SHIPPED
from routing.table import Route, Table, Target, with_routes
from tenants import keys
from tenants.keys import Key, Tenant

OWNER = Tenant(1, "default")
SHORTEST_KEY = 20
PEPPER_BYTES = 32

#: Of one provider; ids of credentials are told apart by it.
MOST_CREDENTIALS = 1000

Abilities = dict[tuple[int, str], Ability]
Declarations = Iterable[Any]
Keys = Iterable[str] | Mapping[str, str]


class Tenants(dict[str, Tenant]):
    """By name. Whom a hook names becomes a tenant when it is first named; ``ids`` are the same by id."""

    def __init__(self) -> None:
        super().__init__({OWNER.name: OWNER})
        self.ids = {OWNER.id: OWNER}

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            tenant = Tenant(len(self) + 1, name)
            self[name] = self.ids[tenant.id] = tenant
        return self[name]


def table_of(
    providers: Declarations,
    routes: Declarations,
    defaults: Defaults | Mapping[str, Any] | None,
    accepted: Keys,
    own_key: str,
    allowed: Sequence[Network] = (),
) -> Table:
    """A table without hooks. ``accepted`` are keys of callers by name, or without; ``own_key`` is the program's, which
    calls without a network between. Raises ValueError naming the field at fault."""
    upstreams, abilities = _upstreams(providers, allowed)
    by_name = {upstream.name: upstream for upstream in upstreams}
    pepper = secrets.token_bytes(PEPPER_BYTES)
    known = {keys.digest(plain, pepper): key for plain, key in _keys(accepted)}
    named = Tenants()
    made = _routes(routes, by_name)
    model, default_route = _defaults(defaults, by_name, made)
    return with_routes(
        Table(
            keys={**known, keys.digest(own_key, pepper): Key(0, "in-process", OWNER.id, may_explain=True)},
            tenants=named.ids,
            named=named,
            anonymous=None if known else Key(0, "anonymous", OWNER.id),
            upstreams={upstream.id: upstream for upstream in upstreams},
            abilities=abilities,
            default_model=model,
            default_route=default_route,
            peppers=(pepper,),
            loaded_at=time.time(),
        ),
        made,
    )


def _upstreams(providers: Declarations, allowed: Sequence[Network]) -> tuple[list[Upstream], Abilities]:
    found: list[Upstream] = []
    abilities: Abilities = {}
    for n, each in enumerate(read_all(Provider, providers, "providers", "name")):
        path = f"providers[{n}]"
        declared.check_provider(each, path, allowed)
        models = read_all(Model, each.models, f"{path}.models", "name")
        credentials = _credentials(each, path, n * MOST_CREDENTIALS)
        if each.enabled:
            found.append(building.upstream_of(each, n + 1, credentials))
            able = {(n + 1, model.name): read_ability(dict(model.abilities)) for model in models}
            abilities |= {key: ability for key, ability in able.items() if ability is not None}
    if not found:
        raise ValueError("providers: at least one must be declared, and enabled.")
    return found, abilities


def _credentials(provider: Provider, path: str, number: int) -> list[Credential]:
    """Those that are enabled; ``number`` is the id before theirs."""
    said = read_all(declarations.Credential, provider.credentials, f"{path}.credentials", "name")
    if len(said) >= MOST_CREDENTIALS:
        raise wrong(f"{path}.credentials", f"must be fewer than {MOST_CREDENTIALS}.")
    places = [(each, f"{path}.credentials[{n}].secret") for n, each in enumerate(said)]
    if provider.api_key:
        if any(each.name == "default" for each in said):
            raise wrong(f"{path}.credentials", "The api_key is the credential default already; give one of them.")
        places.insert(0, (declarations.Credential(provider.api_key), f"{path}.api_key"))
    found = []
    for n, (each, place) in enumerate(places, number + 1):
        secret = declared.secret_of(each.secret, place)
        try:
            found.append(building.credential_of(provider, n, secret, each.weight))
        except ValueError as error:
            raise wrong(place, str(error)) from None
    return [made for made, (each, _) in zip(found, places, strict=True) if each.enabled]


def _routes(routes: Declarations, upstreams: Mapping[str, Upstream]) -> dict[str, Route]:
    found: dict[str, Route] = {}
    count = 0
    for n, each in enumerate(read_all(declarations.Route, routes, "routes", "model")):
        path = f"routes[{n}]"
        targets = [
            target
            for m, given in enumerate(each.targets)
            if (target := _target(given, f"{path}.targets[{m}]", count + m + 1, each, upstreams)) is not None
        ]
        count += len(each.targets)
        if not targets and each.enabled:
            raise wrong(f"{path}.targets", "must have a target that is enabled.")
        if each.enabled:
            found[each.model] = Route(
                n + 1,
                each.model,
                tuple(sorted(targets, key=lambda target: target.priority)),
                each.reply_model,
                frozenset(each.allowed_fields),
                each.loss,
                each.strategy,
                each.sticky_by or "conversation",
                each.deadline,
                each.keep_alive,
            )
    return found


def _target(
    given: Any, path: str, number: int, route: declarations.Route, upstreams: Mapping[str, Upstream]
) -> Target | None:
    """None for one that is turned off."""
    said = read(declarations.Target, given, path)
    if said.provider not in upstreams:
        raise wrong(f"{path}.provider", f"There is no enabled provider {said.provider!r}.")
    upstream = upstreams[said.provider]
    if said.api and said.api not in upstream.apis:
        known = ", ".join(sorted(upstream.apis))
        raise wrong(f"{path}.api", f"{said.provider} does not serve it. It serves {known}.")
    made = Target(
        number,
        building.timed(upstream, route),
        said.model,
        said.api,
        said.weight,
        said.priority,
        said.max_tokens,
        read_conditions(dict(said.conditions)),
        said.fallback_for,
    )
    return made if said.enabled else None


def _defaults(
    given: Defaults | Mapping[str, Any] | None, upstreams: Mapping[str, Upstream], routes: Mapping[str, Route]
) -> tuple[str, Route | None]:
    said = read(Defaults, {} if given is None else given, "defaults")
    if said.provider is not None and said.provider not in upstreams:
        raise wrong("defaults.provider", f"There is no enabled provider {said.provider!r}.")
    if said.model and with_routes(Table(), routes).find(said.model, 0) is None:
        raise wrong("defaults.model", f"No route answers to {said.model!r}.")
    if said.provider is None:
        return said.model, None
    return said.model, Route(0, "default", (Target(0, upstreams[said.provider]),))


def _keys(accepted: Keys) -> list[tuple[str, Key]]:
    if isinstance(accepted, str):
        raise wrong("keys", "must be a list of keys, or a mapping of names to keys.")
    named = (
        accepted.items()
        if isinstance(accepted, Mapping)
        else [(f"key {n}", each) for n, each in enumerate(accepted, 1)]
    )
    found = []
    for n, (name, plain) in enumerate(named, 1):
        if not isinstance(plain, str) or len(plain) < SHORTEST_KEY or not plain.isascii() or not plain.isprintable():
            raise wrong(f"keys[{n - 1}]", f"A key is a text of at least {SHORTEST_KEY} printable ASCII characters.")
        found.append((declared.secret_of(plain, f"keys[{n - 1}]"), Key(n, str(name), OWNER.id)))
    return found


def with_hooks(table: Table, hooks: Declarations, means: Means) -> Table:
    """``table`` with these hooks: objects of classes with phases, or declarations. Where one says whose a request is,
    none is let in without that."""
    rows: list[Row] = []
    classes: dict[str, type] = {}
    made = []
    for n, each in enumerate(hooks):
        path = f"hooks[{n}]"
        if not isinstance(each, (Mapping, Hook)):
            _check(type(each), path)
            made.append(each)
        elif (said := read(Hook, each, path)).enabled:
            classes[f"{n} {said.name}"] = hook = _class(said.name, path)
            rows.append(_row(said, hook, path, n, table))
    if not rows and not made:
        return table
    found = Hooks(rows, classes, means, made=made)
    return replace(table, hooks=found, anonymous=None if found.authenticate else table.anonymous)


def _row(said: Hook, hook: type, path: str, number: int, table: Table) -> Row:
    options = dict(said.options)
    try:
        read_options(options_class(hook), options)
    except ValueError as error:
        raise wrong(f"{path}.options", str(error)) from None
    return Row(
        f"{number} {said.name}",
        orjson.dumps(options).decode(),
        said.order,
        table.named.get(said.tenant).id if said.tenant else None,  # type: ignore[union-attr]
        _route(said.route, path, table).id if said.route else None,
        said.on_failure,
        said.seconds or 0.0,
        number + 1,
    )


def _class(name: object, path: str) -> type:
    if isinstance(name, type):
        return _check(name, path)
    short = {each.rpartition(":")[2]: each for each in SHIPPED}
    text = short.get(str(name), str(name))
    try:
        return load([text])[text]
    except HookSettingError as error:
        raise wrong(f"{path}.name", str(error)) from None


def _check(hook: type, path: str) -> type:
    try:
        return checked(hook)
    except TypeError as error:
        raise wrong(path, f"{hook.__name__} cannot be a hook: {error}.") from None


def _route(name: str, path: str, table: Table) -> Route:
    found = next((route for route in table.all_routes() if route.name == name), None)
    if found is None:
        raise wrong(f"{path}.route", f"There is no route {name!r}.")
    return found
