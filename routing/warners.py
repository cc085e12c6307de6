"""How warnings of budgets reach webhooks: as what hooks post does, to the same addresses and no others."""

from __future__ import annotations

from django.conf import settings

from tenants import notices

MAX_BYTES = 64 * 1024
SECONDS = 10.0


def posts() -> notices.Posts:
    from providers.posting import Poster  # only who sends any loads the engine

    return Poster(settings.GATEWAY_HOOK_ADDRESSES, max_bytes=MAX_BYTES, timeout=SECONDS)


def connect() -> None:
    """Called once, when the app is ready."""
    notices.posts = posts
