"""Whose request it is, which route its model has, and whether what it asks for is within its key's terms and its own.
Raises GatewayError.
"""

from __future__ import annotations

import time

from routing import headers, incoming, objects
from routing.allowance import check_sizes, scope_of
from routing.call import Call
from routing.errors import GatewayError
from routing.hooks import Hooks
from routing.table import Resolved, Table
from tenants import keys
from tenants.keys import Key
from tenants.objects import ObjectStoreError, StoredObject
from tenants.terms import NOTHING, Level, Names


async def admit(call: Call, table: Table, allow_anonymous: bool) -> None:
    """Find whose request this is. Raises auth or permission; touches no database."""
    plain = headers.key_of(call.headers, call.query, call.endpoint.dialect)
    key = keys.find(table.keys, plain, table.peppers) if plain else table.anonymous if allow_anonymous else None
    if (key is None or not plain) and table.hooks is not None and table.hooks.authenticate:
        key = await _identified(call, table, table.hooks) or key
    if key is None:
        raise GatewayError("auth", "The API key is not valid." if plain else "No API key was sent.")
    accept(call, table, key, plain)
    check_address(call)
    check_scope(call)


def accept(call: Call, table: Table, key: Key, plain: str = "") -> None:
    """Take the request as one of ``key``'s, and what holds for it. Raises auth or permission."""
    call.key, entry = key, call.entry
    tenant = table.tenants.get(key.tenant_id)
    entry.key_id, entry.key, entry.key_prefix = key.id, key.name, keys.prefix_of(plain)
    entry.tenant_id, entry.tenant = key.tenant_id, tenant.name if tenant else ""
    if not key.enabled or (key.expires_at and key.expires_at <= time.time()):
        raise GatewayError("auth", "The API key has expired." if key.enabled else "The API key is disabled.")
    if tenant is None or not tenant.enabled:
        raise GatewayError("permission", "The tenant of this API key is disabled.")
    call.tenant, call.terms = tenant, table.terms(key, tenant)
    _admit_project(call, table)
    if call.terms.tags:
        entry.tags = list(call.terms.tags[: incoming.MAX_TAGS])
        incoming.declare(call)


def check_address(call: Call) -> None:
    """Raises permission, without a word of which networks would do."""
    if call.terms.address_refused_by(call.entry.client_ip) is not None:
        raise GatewayError("permission", "This API key may not be used from this address.", code="address_not_allowed")


def check_scope(call: Call) -> None:
    """Raises permission, naming the scope that is needed."""
    scopes = call.terms.scopes
    if scopes and (scope := scope_of(call.endpoint.name)) not in scopes:
        raise GatewayError(
            "permission", f"This API key lacks the scope {scope}, which this endpoint needs.", code="scope_missing"
        )


def _admit_project(call: Call, table: Table) -> None:
    project = table.projects.get(call.key.project_id) if call.key.project_id else None
    if project is None:
        return
    call.entry.project_id, call.entry.project = project.id, project.name
    if not project.enabled:
        raise GatewayError("permission", "The project of this API key is disabled.")


async def _identified(call: Call, table: Table, hooks: Hooks) -> Key | None:
    """The key that a hook's word stands for. Raises GatewayError."""
    found = await hooks.identify(call.headers, call.entry.request_id)
    if found is None:
        return None
    tenant = table.named.get(found.tenant)
    if tenant is None:
        raise GatewayError("permission", "The tenant of this request is not known.")
    call.identity = found
    level = Level("key", found.key[:100], Names(found.models)) if found.models else NOTHING
    return Key(0, found.key[:100], tenant.id, level=level)


def resolve(call: Call, table: Table) -> Resolved:
    """The route of the model that was asked for. Raises unknown_model or permission."""
    resolved = table.find(call.model, call.key.tenant_id)
    if resolved is None:
        raise GatewayError("unknown_model", f"The model {call.model[:200]!r} does not exist.", param="model")
    if call.terms.model_refused_by(resolved.model) is not None:
        raise GatewayError(
            "permission",
            f"This API key may not use the model {call.model[:200]!r}.",
            param="model",
            code="model_not_allowed",
        )
    call.resolved, call.model = resolved, resolved.model
    call.entry.route = resolved.route.name
    return resolved


async def find_objects(call: Call, ids: list[str]) -> dict[str, StoredObject]:
    """Those of the objects that are the caller's. With the store away nothing is known, so nothing is allowed: 503."""
    try:
        return await call.objects.find(call.key.tenant_id, ids)
    except ObjectStoreError:
        raise GatewayError("overloaded", "Stored objects cannot be looked up now.", retry_after=5) from None


async def check_objects(call: Call) -> None:
    """What the body asks for must be within the key's terms; and every upstream object that it names must be this
    tenant's: they tie the call to their provider. By now hooks have edited it, and a conversation is resumed."""
    check_sizes(call)
    if call.hooked is not None:
        incoming.declare(call)
    named = objects.named(call.endpoint.api, call.doc, call.body)
    if not named:
        return
    owned = await find_objects(call, [found for _, found in named])
    for path, found in named:
        if found not in owned:
            raise _absent(path)
    providers = {item.provider_id for item in owned.values()}
    if len(providers) > 1:
        raise GatewayError("invalid_request", "The request names objects of different providers.", param=named[0][0])
    call.provider_id = providers.pop()
    accounts = {item.credential_id for item in owned.values()}
    call.credential_id = accounts.pop() if len(accounts) == 1 else 0


def _absent(path: str) -> GatewayError:
    if path == "previous_response_id":
        message = "The previous response was not found."
        return GatewayError("invalid_request", message, param=path, code="previous_response_not_found")
    message = f"The object that {path} names does not exist."
    return GatewayError("not_found", message, param=path, code="object_not_found")
