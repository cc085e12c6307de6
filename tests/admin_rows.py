"""Fixtures of the tests of admin pages: one row of each model that the admin has."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User

from providers.models import Provider, UpstreamModel
from routing.models import Alias, Defaults, Hook, Revision, Rewrite, Route, Target
from tenants.models import ApiKey, LoggedRequest, OperatorToken, Project, StoredResponse, Tenant
from tests.admin_site import EVIL, SECRET, add_usage


@pytest.fixture
def provider(db: None) -> Provider:
    provider = Provider.objects.create(name="main", title=EVIL, kind="openai")
    provider.set_api_key(SECRET)
    return provider


@pytest.fixture
def everything(provider: Provider, admin_user: User) -> dict[type[Any], Any]:
    """One row of each model that the admin has, with markup wherever people may write."""
    tenant = Tenant.objects.create(name="acme", title=EVIL)
    key = ApiKey(tenant=tenant, name=EVIL, allowed_models=[EVIL])
    key.issue()
    key.save()
    token = OperatorToken(user=admin_user, name=EVIL)
    token.issue()
    token.save()
    route = Route.objects.create(name="fast", title=EVIL)
    rows = [
        provider,
        UpstreamModel.objects.create(provider=provider, name=EVIL, details={EVIL: EVIL}, seen_at=tenant.created_at),
        tenant,
        Project.objects.create(tenant=tenant, name="web", title=EVIL),
        key,
        token,
        route,
        Target.objects.create(route=route, provider=provider, model=EVIL),
        Alias.objects.create(name="quick", model="fast", tenant=tenant),
        Rewrite.objects.create(route=route, place="body", action="set", name=EVIL, value=EVIL),
        Hook.objects.create(name="Inject", title=EVIL, options={"text": EVIL}, tenant=tenant, route=route),
        Defaults.objects.create(provider=provider),
        add_usage(
            request_id="r-1",
            tenant=EVIL,
            key=EVIL,
            model=EVIL,
            route=EVIL,
            provider=EVIL,
            upstream_model=EVIL,
            end_user=EVIL,
            tags=[EVIL],
            error_kind="network",
        ),
        StoredResponse.objects.create(
            tenant=tenant,
            response_id=EVIL,
            previous_id=EVIL,
            model=EVIL,
            route=EVIL,
            size=1,
            content=b"x",
            created_at=tenant.created_at,
            expires_at=tenant.created_at,
        ),
        LoggedRequest.objects.create(
            usage_id=UUID(int=7),
            tenant=tenant,
            request_id=EVIL,
            route=EVIL,
            model=EVIL,
            size=1,
            content=b"x",
            created_at=tenant.created_at,
            expires_at=tenant.created_at,
        ),
        admin_user,
    ]
    return {type(row): row for row in rows} | {Revision: Revision.objects.order_by("number").first()}
