"""What tests of the REST API share: clients with tokens, one object behind every URL, and every URL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.urls import URLPattern, reverse
from rest_framework.test import APIClient

from providers.models import Credential, Provider, UpstreamModel
from routing import api_urls
from routing.models import Alias, Defaults, Hook, Rewrite, Route, Target
from tenants.models import ApiKey, Budget, LeaseIncrease, OperatorToken, Price, Project, Tenant, Usage
from tests.admin_site import add_usage

SECRET = "sk-live-0123456789abcdefghijklmnop"
READ, WRITE = ("get", "head", "options"), ("post", "put", "patch", "delete")


@pytest.fixture(autouse=True)
def no_throttle_left_over() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def client_of(*permissions: str, superuser: bool = False) -> APIClient:
    """A client with a token whose user has just these permissions."""
    user = User.objects.create(username=f"user{User.objects.count()}", is_superuser=superuser)
    for name in permissions:
        label, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))
    token = OperatorToken(user=user, name="test")
    plain = token.issue()
    token.save()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    return client


@pytest.fixture
def api() -> APIClient:
    return client_of(superuser=True)


@pytest.fixture
def rows() -> dict[str, dict[str, Any]]:
    """One object behind every URL with a parameter: the parameters, by the URL's name."""
    provider = Provider.objects.create(name="main", kind="openai")
    provider.set_api_key(SECRET)
    tenant = Tenant.objects.create(name="acme")
    key = ApiKey(tenant=tenant, name="prod")
    key.issue()
    key.save()
    route = Route.objects.create(name="gpt-*")
    target = Target.objects.create(route=route, provider=provider, model="gpt-4o")
    alias = Alias.objects.create(name="fast", model="gpt-4o-mini")
    rewrite = Rewrite.objects.create(place="body", action="set", name="user", value="us", route=route)
    hook = Hook.objects.create(name="Inject", options={"text": "Be kind."})
    budget = Budget.objects.create(tenant=tenant, name="monthly", amount=10**9)
    until = tenant.created_at + timedelta(days=1)
    increase = LeaseIncrease.objects.create(counter=budget.counter, amount=1, ends_at=until, reason="r", made_by="m")
    Defaults.objects.create(provider=provider)
    found: dict[str, dict[str, Any]] = {
        "provider-detail": {"name": provider.name},
        "tenant-detail": {"name": tenant.name},
    }
    for name, row in {
        "credential": provider.credentials.get(),
        "model": UpstreamModel.objects.create(provider=provider, name="gpt-4o", seen_at=tenant.created_at),
        "key": key,
        "route": route,
        "target": target,
        "alias": alias,
        "hook": hook,
        "project": Project.objects.create(tenant=tenant, name="web"),
        "price": Price.objects.create(model="gpt-4o", rates={"input_tokens": 10**9}),
    }.items():
        found[f"{name}-detail"] = {"pk": row.pk}
    found |= {
        "rewrite-detail": {"pk": rewrite.pk},
        **{f"key-{each}": {"pk": key.pk} for each in ("rotate", "end-previous")},
        **{f"budget-{each}": {"pk": budget.pk} for each in ("detail", "rotate", "increases")},
        "budget-end": {"pk": budget.pk, "increase": increase.pk},
        "request-detail": {"pk": add_usage().pk},
    }
    return found


def every_url(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Every URL of the API by name, from the URL table itself."""
    names = [pattern.name for pattern in api_urls.urlpatterns if isinstance(pattern, URLPattern) and pattern.name]
    assert len(names) == len(api_urls.urlpatterns)
    return {name: reverse(f"api:{name}", kwargs=rows.get(name, {})) for name in names}


def everything() -> list[Any]:
    """All that the API could change, as values."""
    models = (
        *(Provider, Credential, UpstreamModel, Tenant, Project, ApiKey, Route, Target),
        *(Alias, Rewrite, Hook, Defaults, Usage, OperatorToken, Budget, LeaseIncrease),
    )
    return [list(model._base_manager.order_by("pk").values()) for model in models]


def plain_of(client: APIClient) -> str:
    """The token that a client of ``client_of`` sends."""
    header = client._credentials["HTTP_AUTHORIZATION"]  # type: ignore[attr-defined]
    return str(header).removeprefix("Bearer ")
