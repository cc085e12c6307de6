"""Makes the rows of a plan: ``python -m routing.proofs.site``, in the environment of an installation, the plan as JSON on
its input. It answers with the keys in the clear and the names of the budgets' counters.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django

from routing.proofs.plan import MODEL, WINDOW


def make(plan: dict[str, Any]) -> dict[str, Any]:
    from django.db import transaction

    with transaction.atomic():
        _provider(plan)
        rows: dict[str, Any] = {}
        keys: dict[str, str] = {}
        counters: dict[str, str] = {}
        for node in plan["nodes"]:
            rows[node["path"]] = _level(node, rows, keys)
            if node["budget"]:
                counters[node["path"]] = _budget(node, rows)
    return {"keys": keys, "counters": counters}


def _provider(plan: dict[str, Any]) -> None:
    from providers.models import Provider
    from routing.models import Route, Target
    from tenants.models import Price

    provider = Provider(name="proof", kind="openai", base_url=plan["upstream"], breaker="closed")
    provider.full_clean()
    provider.save()
    provider.set_api_key("sk-proof")
    route = Route.objects.create(name=MODEL)
    Target.objects.create(route=route, provider=provider, max_tokens=plan["cap"])
    Price.objects.create(model=MODEL, rates=plan["rates"], context_window=WINDOW)


def _level(node: dict[str, Any], rows: dict[str, Any], keys: dict[str, str]) -> Any:
    from tenants.models import ApiKey, Project, Tenant

    names = node["path"].split("/")
    if len(names) == 1:
        return Tenant.objects.create(name=names[0], **node["limits"])
    tenant = rows[names[0]]
    if len(names) == 2:
        return Project.objects.create(tenant=tenant, name=names[1], **node["limits"])
    key = ApiKey(tenant=tenant, project=rows.get("/".join(names[:2])), name=node["path"], **node["limits"])
    keys[node["path"]] = key.issue()
    key.save()
    return key


def _budget(node: dict[str, Any], rows: dict[str, Any]) -> str:
    from tenants.models import Budget

    path = node["path"]
    of = ("tenant", "project", "key")[path.count("/")]
    which = {} if of == "tenant" else {of: rows[path]}
    budget = Budget(
        tenant=rows[path.partition("/")[0]], name=path, of=of, amount=node["budget"], period="total", **which
    )
    budget.full_clean()
    budget.save()
    return budget.counter


if __name__ == "__main__":
    django.setup()
    sys.stdout.write(json.dumps(make(json.load(sys.stdin))))
