"""REST framework's settings. JSON only; every request is authenticated and has the model permission for its method."""

from __future__ import annotations

from typing import Any


def rest_framework(debug: bool) -> dict[str, Any]:
    """``REST_FRAMEWORK`` for settings.py; browsable pages only under DEBUG."""
    renderers = ["rest_framework.renderers.JSONRenderer"]
    if debug:
        renderers.append("rest_framework.renderers.BrowsableAPIRenderer")
    return {
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "tenants.tokens.OperatorTokenAuthentication",
            "rest_framework.authentication.SessionAuthentication",
        ],
        "DEFAULT_PERMISSION_CLASSES": ["tenants.tokens.ModelPermission"],
        "DEFAULT_RENDERER_CLASSES": renderers,
        "DEFAULT_PARSER_CLASSES": ["routing.api_rules.StrictJSONParser"],
        "DEFAULT_PAGINATION_CLASS": "routing.api_rules.Pages",
        "DEFAULT_FILTER_BACKENDS": ["routing.api_rules.Filter"],
        "DEFAULT_THROTTLE_CLASSES": [
            "rest_framework.throttling.UserRateThrottle",
            "rest_framework.throttling.AnonRateThrottle",
        ],
        "DEFAULT_THROTTLE_RATES": {"user": "1200/min", "anon": "60/min"},
        "EXCEPTION_HANDLER": "routing.api_rules.handle",
        "TEST_REQUEST_DEFAULT_FORMAT": "json",
    }
