"""The URLs of the REST API, below /api/v1/; with and without a slash at the end."""

from __future__ import annotations

from django.urls import re_path

from providers.api import CredentialViewSet, ProviderViewSet, UpstreamModelViewSet
from routing.api import AliasViewSet, DefaultsView, HookViewSet, RewriteViewSet, RouteViewSet, TargetViewSet
from routing.api_guard import GuardedRouter, guarded
from routing.explain_api import ExplainView, RequestViewSet
from tenants.api import ApiKeyViewSet, ProjectViewSet, TenantViewSet, UsageReportView
from tenants.budget_api import BudgetViewSet
from tenants.price_api import PriceViewSet

router = GuardedRouter()
router.trailing_slash = "/?"
router.register("providers", ProviderViewSet, "provider")
router.register("credentials", CredentialViewSet, "credential")
router.register("models", UpstreamModelViewSet, "model")
router.register("routes", RouteViewSet, "route")
router.register("targets", TargetViewSet, "target")
router.register("aliases", AliasViewSet, "alias")
router.register("rewrites", RewriteViewSet, "rewrite")
router.register("hooks", HookViewSet, "hook")
router.register("tenants", TenantViewSet, "tenant")
router.register("projects", ProjectViewSet, "project")
router.register("keys", ApiKeyViewSet, "key")
router.register("budgets", BudgetViewSet, "budget")
router.register("prices", PriceViewSet, "price")
router.register("requests", RequestViewSet, "request")

app_name = "api"
urlpatterns = [
    re_path("^defaults/?$", guarded(DefaultsView).as_view(), name="defaults"),
    re_path("^explain/?$", guarded(ExplainView).as_view(), name="explain"),
    re_path("^usage/?$", guarded(UsageReportView).as_view(), name="usage"),
    *router.urls,
]
