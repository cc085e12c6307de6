"""Content at rest: compressed, then encrypted with GATEWAY_ENCRYPTION_KEYS; the first key writes and every key reads."""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

_LEVEL = 1  # a third of the time of the default, for a tenth more bytes


class Unreadable(ValueError):
    """No configured key opens it, or it is not what was sealed under its label."""


def seal(label: bytes, plain: bytes) -> bytes:
    """``plain``, to be opened under the same ``label`` only: what one row holds is worth nothing in another."""
    token = _box().encrypt(zlib.compress(label + b"\n" + plain, _LEVEL))
    return urlsafe_b64decode(token)  # a quarter less to store


def unseal(label: bytes, sealed: bytes) -> bytes:
    """Raises Unreadable; it never names the content. A label holds no line feed."""
    try:
        opened = zlib.decompress(_box().decrypt(urlsafe_b64encode(sealed)))
    except InvalidToken:
        raise Unreadable("no key of GATEWAY_ENCRYPTION_KEYS opens it") from None
    found, _, plain = opened.partition(b"\n")
    if found != label:
        raise Unreadable("it was sealed for something else")
    return plain


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.GATEWAY_ENCRYPTION_KEYS])
