"""Puts the rules of this API on its views, whatever REST framework's settings are: the project's other APIs have theirs.

Every request is authenticated, and has the model permission for its method. JSON only, browsable pages under DEBUG.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import GenericAPIView
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle
from rest_framework.views import APIView

from routing import api_rules
from tenants.tokens import ModelPermission, OperatorTokenAuthentication


class UserRate(UserRateThrottle):
    def get_rate(self) -> str:
        return self.THROTTLE_RATES.get("user") or "1200/min"


class AnonRate(AnonRateThrottle):
    def get_rate(self) -> str:
        return self.THROTTLE_RATES.get("anon") or "60/min"


def renderers(debug: bool) -> tuple[type[Any], ...]:
    return (JSONRenderer, BrowsableAPIRenderer) if debug else (JSONRenderer,)


class Guarded(APIView):
    authentication_classes = (OperatorTokenAuthentication, SessionAuthentication)
    permission_classes = (ModelPermission,)
    renderer_classes = renderers(settings.DEBUG and apps.is_installed("rest_framework"))
    parser_classes = (api_rules.StrictJSONParser,)
    throttle_classes = (UserRate, AnonRate)
    versioning_class = None

    def get_exception_handler(self) -> Any:
        return api_rules.handle


class GuardedList(Guarded, GenericAPIView[Any]):
    pagination_class = api_rules.Pages
    filter_backends = (api_rules.Filter,)


def guarded(view: type[Any]) -> type[Any]:
    """``view`` under these rules; what it says itself counts more."""
    rules = GuardedList if issubclass(view, GenericAPIView) else Guarded
    return type(view.__name__, (view, rules), {"__doc__": view.__doc__, "__module__": view.__module__})


class GuardedRouter(SimpleRouter):
    def register(self, prefix: str, viewset: type[Any], basename: str | None = None) -> None:
        super().register(prefix, guarded(viewset), basename)
