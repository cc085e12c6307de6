"""Who may use the REST API: operator tokens, and the permission that every request to it needs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request

from tenants import keys
from tenants.models import OperatorToken


class OperatorTokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer gwop-…``: the request acts as the token's user. Why a token is refused is not told."""

    def authenticate(self, request: Request) -> tuple[Any, OperatorToken] | None:
        scheme, _, plain = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        token = find(plain.strip().decode("latin-1"))
        if token is None:
            raise AuthenticationFailed("This operator token is not valid.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def find(plain: str) -> OperatorToken | None:
    """The token that ``plain`` is, if it and its user may be used now. It is looked up by HMAC, so the time taken tells nothing."""
    digests = [keys.digest(plain, pepper).hex() for pepper in settings.GATEWAY_KEY_PEPPERS]
    token = OperatorToken.objects.select_related("user").filter(digest__in=digests, enabled=True).first()
    if (
        token is None
        or not token.user.is_active
        or (token.expires_at is not None and token.expires_at <= timezone.now())
    ):
        return None
    return token


class ModelPermission(DjangoModelPermissions):
    """The model permission that fits the method; reading needs ``view``."""

    perms_map = {
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
        "OPTIONS": ["%(app_label)s.view_%(model_name)s"],
        "POST": ["%(app_label)s.add_%(model_name)s"],
        "PUT": ["%(app_label)s.change_%(model_name)s"],
        "PATCH": ["%(app_label)s.change_%(model_name)s"],
        "DELETE": ["%(app_label)s.delete_%(model_name)s"],
    }


class ChangePermission(ModelPermission):
    """For actions that change a row by POST."""

    perms_map = {**ModelPermission.perms_map, "POST": ModelPermission.perms_map["PUT"]}
