"""The models that a key may call, and the three shapes in which dialects list them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from routing.table import Route, Table
from tenants.keys import Key
from tenants.terms import Terms

CREATED = 1735689600  # OpenAI's shape wants a time; upstreams that tell none get the same one, so that lists are stable


def models_of(table: Table, key: Key) -> dict[str, tuple[str, dict[str, Any]]]:
    """Public model name -> (provider, what the provider says of it): exact routes, what the providers of a pattern
    have that matches it, and what the default provider has. Sorted by name; never a pattern."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    if table.default_route is not None:
        found.update(_behind(table, table.default_route, ""))
    for prefix, route in sorted(table.prefixes.items(), key=lambda item: len(item[0])):
        found.update(_behind(table, route, prefix))
    for name, route in table.routes.items():
        for target in route.targets[:1]:
            found[name] = (target.upstream.name, table.models.get(target.upstream.id, {}).get(target.model or name, {}))
    for (tenant_id, name), model in table.aliases.items():
        if tenant_id in (0, key.tenant_id) and model in found:
            found[name] = found[model]
    tenant = table.tenants.get(key.tenant_id)
    terms = table.terms(key, tenant) if tenant is not None else Terms()
    return {name: found[name] for name in sorted(found) if _may(table, key, terms, name)}


def _behind(table: Table, route: Route, prefix: str) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    """What the providers behind a pattern have that matches it; the first target's word counts."""
    for target in reversed(route.targets):
        if not target.model:
            for name, details in table.models.get(target.upstream.id, {}).items():
                if name.startswith(prefix):
                    yield name, (target.upstream.name, details)


def _may(table: Table, key: Key, terms: Terms, name: str) -> bool:
    resolved = table.find(name, key.tenant_id)
    return (
        resolved is not None
        and terms.model_refused_by(resolved.model) is None
        and any(terms.provider_allowed(t.upstream.name) for t in resolved.route.targets)
    )


def openai_model(name: str, provider: str, details: dict[str, Any]) -> dict[str, Any]:
    created = details.get("created")
    return {
        "id": name,
        "object": "model",
        "created": created if isinstance(created, int) else CREATED,
        "owned_by": str(details.get("owned_by") or provider),
    }


def anthropic_model(name: str, _provider: str, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": str(details.get("display_name") or name),
        "created_at": str(details.get("created_at") or "2025-01-01T00:00:00Z"),
    }


def gemini_model(name: str, _provider: str, details: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "name": f"models/{name}",
        "displayName": str(details.get("displayName") or name),
        "supportedGenerationMethods": details.get("supportedGenerationMethods") or ["generateContent", "countTokens"],
    }
    known = (
        "version",
        "description",
        "inputTokenLimit",
        "outputTokenLimit",
        "temperature",
        "topP",
        "topK",
        "maxTemperature",
        "thinking",
        "baseModelId",
    )
    return {**shown, **{field: details[field] for field in known if field in details}}


def openai_list(models: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {"object": "list", "data": [openai_model(name, *rest) for name, rest in models.items()]}


def anthropic_list(models: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    data = [anthropic_model(name, *rest) for name, rest in models.items()]
    return {
        "data": data,
        "has_more": False,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def gemini_list(models: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {"models": [gemini_model(name, *rest) for name, rest in models.items()]}


SHAPES = {
    "openai": (openai_list, openai_model),
    "anthropic": (anthropic_list, anthropic_model),
    "gemini": (gemini_list, gemini_model),
}
