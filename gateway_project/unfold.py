"""How the admin looks and what stands in its sidebar: django-unfold's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _page(title: str, icon: str, url: str, permission: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{url}"), "permission": _may(permission)}


NAVIGATION = [
    {
        "items": [
            {"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")},
            _page("Usage report", "bar_chart", "usage_report", "tenants.view_usage"),
            _page("Requests", "list_alt", "tenants_usage_changelist", "tenants.view_usage"),
        ]
    },
    {
        "title": "Routing",
        "separator": True,
        "items": [
            _page("Routes", "alt_route", "routing_route_changelist", "routing.view_route"),
            _page("Aliases", "label", "routing_alias_changelist", "routing.view_alias"),
            _page("Rewrites", "edit_note", "routing_rewrite_changelist", "routing.view_rewrite"),
            _page("Defaults", "home_pin", "routing_defaults_changelist", "routing.view_defaults"),
            _page("Hooks", "webhook", "routing_hook_changelist", "routing.view_hook"),
        ],
    },
    {
        "title": "Providers",
        "separator": True,
        "items": [
            _page("Providers", "dns", "providers_provider_changelist", "providers.view_provider"),
            _page(
                "Their models", "deployed_code", "providers_upstreammodel_changelist", "providers.view_upstreammodel"
            ),
        ],
    },
    {
        "title": "Clients",
        "separator": True,
        "items": [
            _page("Tenants", "groups", "tenants_tenant_changelist", "tenants.view_tenant"),
            _page("Projects", "folder_shared", "tenants_project_changelist", "tenants.view_project"),
            _page("Stored responses", "forum", "tenants_storedresponse_changelist", "tenants.view_storedresponse"),
            _page("Logged requests", "plagiarism", "tenants_loggedrequest_changelist", "tenants.read_loggedrequest"),
            _page("Keys", "key", "tenants_apikey_changelist", "tenants.view_apikey"),
            _page("Budgets", "savings", "tenants_budget_changelist", "tenants.view_budget"),
            _page("Prices", "sell", "tenants_price_changelist", "tenants.view_price"),
            _page(
                "Workers with money",
                "account_balance_wallet",
                "tenants_leaseowner_changelist",
                "tenants.view_leaseowner",
            ),
        ],
    },
    {
        "title": "Operators",
        "separator": True,
        "items": [
            _page("Users", "person", "auth_user_changelist", "auth.view_user"),
            _page("Groups", "group", "auth_group_changelist", "auth.view_group"),
            _page("API tokens", "token", "tenants_operatortoken_changelist", "tenants.view_operatortoken"),
            _page("Revisions", "history", "routing_revision_changelist", "routing.view_revision"),
        ],
    },
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "LLM gateway",
    "SITE_HEADER": "LLM gateway",
    "SITE_SUBHEADER": "Control plane",
    "SITE_SYMBOL": "hub",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "routing.dashboard.context",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("gateway/icon.svg")}],
    "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": NAVIGATION},
    "COLORS": {
        "primary": {
            "50": "oklch(97.1% .014 237)",
            "100": "oklch(94% .03 238)",
            "200": "oklch(89% .06 238)",
            "300": "oklch(81% .1 238)",
            "400": "oklch(71% .13 240)",
            "500": "oklch(62% .15 243)",
            "600": "oklch(54% .15 246)",
            "700": "oklch(47% .13 247)",
            "800": "oklch(41% .11 248)",
            "900": "oklch(36% .09 249)",
            "950": "oklch(27% .07 250)",
        }
    },
}
