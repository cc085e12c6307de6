"""Whose request it is, which route its model has, and whether what it names is its own. Raises GatewayError."""

from __future__ import annotations

import time

from routing import headers, objects
from routing.call import Call
from routing.errors import GatewayError
from routing.table import Resolved, Table
from tenants import keys
from tenants.objects import ObjectStoreError, StoredObject


def admit(call: Call, table: Table, allow_anonymous: bool) -> None:
    """Find whose request this is. Raises auth or permission; touches no database."""
    plain = headers.key_of(call.headers, call.query, call.endpoint.dialect)
    key = keys.find(table.keys, plain, table.peppers) if plain else table.anonymous if allow_anonymous else None
    if key is None:
        raise GatewayError("auth", "The API key is not valid." if plain else "No API key was sent.")
    call.key, entry = key, call.entry
    tenant = table.tenants.get(key.tenant_id)
    entry.key_id, entry.key, entry.key_prefix = key.id, key.name, keys.prefix_of(plain)
    entry.tenant_id, entry.tenant = key.tenant_id, tenant.name if tenant else ""
    if not key.enabled or (key.expires_at and key.expires_at <= time.time()):
        raise GatewayError("auth", "The API key has expired." if key.enabled else "The API key is disabled.")
    if tenant is None or not tenant.enabled:
        raise GatewayError("permission", "The tenant of this API key is disabled.")
    call.tenant = tenant


def resolve(call: Call, table: Table) -> Resolved:
    """The route of the model that was asked for. Raises unknown_model or permission."""
    resolved = table.find(call.model, call.key.tenant_id)
    if resolved is None:
        raise GatewayError("unknown_model", f"The model {call.model[:200]!r} does not exist.", param="model")
    if resolved.model not in call.key.allowed_models:
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
    """Every upstream object that the body names must be this tenant's; they tie the call to their provider."""
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


def _absent(path: str) -> GatewayError:
    if path == "previous_response_id":
        message = "The previous response was not found."
        return GatewayError("invalid_request", message, param=path, code="previous_response_not_found")
    message = f"The object that {path} names does not exist."
    return GatewayError("not_found", message, param=path, code="object_not_found")
