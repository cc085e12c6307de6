"""Guessing passwords is slow: so many tries in five minutes from one address, and for one user name from anywhere.

A try takes a slot before the password is looked at, and a right one gives it back. A slot is one row of the shared
cache, added or not added by the database, so that a hundred tries at once, over all workers, get no more than the slots.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from unfold.forms import AuthenticationForm

from routing.headers import client_ip

SECONDS = 300
TRIES_PER_ADDRESS = 10
TRIES_PER_NAME = 30  # higher: a stranger must not lock the operator out by ten wrong guesses


class ThrottledBackend(ModelBackend):
    """Django's own users and passwords, a few tries at a time. All that authenticates by password passes here."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:  # type: ignore[override]
        taken = claim(request, str(credentials.get("username") or ""))
        user = super().authenticate(request, **credentials)
        if user is not None:
            caches["shared"].delete_many(taken)
        return user

    async def aauthenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:  # type: ignore[override]
        return await sync_to_async(self.authenticate)(request, **credentials)


class LoginForm(AuthenticationForm):  # type: ignore[misc]
    """Says so when tries are used up: the operator who mistyped must not look for another reason."""

    def get_invalid_login_error(self) -> ValidationError:
        if getattr(self.request, "throttled", False):
            return ValidationError(
                f"Too many failed tries. Wait {SECONDS // 60} minutes, then try again.", code="throttled"
            )
        error: ValidationError = super().get_invalid_login_error()
        return error


def claim(request: HttpRequest | None, username: str) -> list[str]:
    """Take the slots of one try. Raises PermissionDenied, after which no other backend is asked, if none is left."""
    taken: list[str] = []
    for who, count in ((f"address:{client_network(request)}", TRIES_PER_ADDRESS), (f"name:{username}", TRIES_PER_NAME)):
        slot = _take(who, count)
        if slot is None:
            if request is not None:
                request.throttled = True  # type: ignore[attr-defined]
            caches["shared"].delete_many(taken)
            raise PermissionDenied("too many tries")
        taken.append(slot)
    return taken


def _take(who: str, count: int) -> str | None:
    # A cache key takes no spaces and at most 250 characters; a name may be anything.
    stem = hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return next((slot for n in range(count) if caches["shared"].add(slot := f"login:{stem}:{n}", 1, SECONDS)), None)


def client_network(request: HttpRequest | None) -> str:
    """Who asks: the bare address; of IPv6 the network, for which one machine has 2**64 of them."""
    if request is None:
        return ""
    forwarded = request.headers.get("x-forwarded-for", "").encode("latin-1", "replace")
    text = client_ip(
        request.META.get("REMOTE_ADDR") or "",
        [(b"x-forwarded-for", forwarded)],
        tuple(settings.GATEWAY_TRUSTED_PROXIES),
    )
    try:
        address = ip_address(text)
    except ValueError:
        return text
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else text
