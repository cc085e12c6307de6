"""What a tenant's operator sets about stored responses: in the admin, the REST API and files for apply."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tenants.keys import Tenant as TenantOfRequests
from tenants.models import Tenant
from tests.admin_site import form_data
from tests.api_site import client_of
from tests.apply_site import do

pytestmark = pytest.mark.django_db(transaction=True)
SET: dict[str, Any] = {"store_responses": False, "response_days": 7, "response_bytes": 1000}


def found() -> dict[str, Any]:
    return dict(Tenant.objects.values(*SET).get(name="acme"))


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="acme")


def test_rows_and_requests_start_from_the_same(tenant: Tenant) -> None:
    of_requests = TenantOfRequests(tenant.pk, tenant.name)
    assert tenant.store_responses is of_requests.store_responses is True
    assert tenant.response_days * 86_400 == of_requests.response_seconds
    assert tenant.response_bytes == of_requests.response_bytes


def test_the_rest_api_sets_them(tenant: Tenant) -> None:
    api: APIClient = client_of(superuser=True)
    url = reverse("api:tenant-detail", kwargs={"name": "acme"})
    reply = api.patch(url, SET, format="json")
    assert reply.status_code == 200 and SET.items() <= reply.json().items() and found() == SET
    for name, value in (("response_days", 0), ("response_days", 3651), ("response_bytes", -1), ("response_bytes", "x")):
        refused = api.patch(url, {name: value}, format="json")
        assert refused.status_code == 400 and name in refused.content.decode()
    assert found() == SET


def test_a_file_sets_them() -> None:
    do("tenants: [{name: acme, store_responses: false, response_days: 7, response_bytes: 1000}]")
    assert found() == SET


def test_the_admin_sets_them(tenant: Tenant, admin_client: Client) -> None:
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    form = form_data(admin_client.get(url))
    assert form["store_responses"] and form["response_days"] == "30" and form["response_bytes"] == str(256 * 2**20)
    del form["store_responses"]
    assert admin_client.post(url, form | {"response_days": "7", "response_bytes": "1000"}).status_code == 302
    assert found() == SET
