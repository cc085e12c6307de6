"""The URLs of the REST API, below /api/v1/; with and without a slash at the end."""

from __future__ import annotations

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from providers.api import CredentialViewSet, ProviderViewSet
from routing.api import AliasViewSet, DefaultsView, RewriteViewSet, RouteViewSet, TargetViewSet
from tenants.api import ApiKeyViewSet, TenantViewSet, UsageReportView, UsageRowViewSet

router = SimpleRouter()
router.trailing_slash = "/?"
router.register("providers", ProviderViewSet, "provider")
router.register("credentials", CredentialViewSet, "credential")
router.register("routes", RouteViewSet, "route")
router.register("targets", TargetViewSet, "target")
router.register("aliases", AliasViewSet, "alias")
router.register("rewrites", RewriteViewSet, "rewrite")
router.register("tenants", TenantViewSet, "tenant")
router.register("keys", ApiKeyViewSet, "key")
router.register("requests", UsageRowViewSet, "request")

app_name = "api"
urlpatterns = [
    re_path("^defaults/?$", DefaultsView.as_view(), name="defaults"),
    re_path("^usage/?$", UsageReportView.as_view(), name="usage"),
    *router.urls,
]
