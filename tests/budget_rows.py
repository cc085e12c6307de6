"""What tests of budgets share: a tenant with a project, a key and a budget."""

from __future__ import annotations

import pytest

from tenants.models import ApiKey, Budget, Project, Tenant
from tests.budget_windows import NANO


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(name="acme")


@pytest.fixture
def project(tenant: Tenant) -> Project:
    return Project.objects.create(tenant=tenant, name="shop")


@pytest.fixture
def key(tenant: Tenant) -> ApiKey:
    key = ApiKey(tenant=tenant, name="web")
    key.issue()
    key.save()
    return key


@pytest.fixture
def budget(tenant: Tenant) -> Budget:
    return Budget.objects.create(tenant=tenant, name="monthly", amount=100 * NANO)
