"""The admin of this app: its modules are imported here, to be registered, and pages of no model are added to the site."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from tenants import (
    budget_admin,
    key_admin,
    lease_admin,
    logged_admin,
    operator_admin,
    price_admin,
    project_admin,
    report_views,
    response_admin,
    tenant_admin,
    usage_admin,
)

#: Modules that register their models when they are imported.
__all__ = (
    "budget_admin",
    "key_admin",
    "lease_admin",
    "logged_admin",
    "operator_admin",
    "price_admin",
    "project_admin",
    "response_admin",
    "tenant_admin",
    "usage_admin",
)

site: Any = admin.site
before: Any = getattr(site, "extra_urls", list)
site.extra_urls = lambda: [*before(), *report_views.urls()]  # how unfold takes pages of no model
