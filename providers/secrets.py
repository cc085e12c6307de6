"""Provider secrets at rest: MultiFernet, the first key writes and every key reads."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.GATEWAY_ENCRYPTION_KEYS])


def encrypt(plain: str) -> str:
    return _box().encrypt(plain.encode()).decode() if plain else ""


def decrypt(sealed: str) -> str:
    """Plain text of ``sealed``. Raises ValueError where no configured key opens it; the text never names the secret."""
    if not sealed:
        return ""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise ValueError("no key of GATEWAY_ENCRYPTION_KEYS opens this secret") from None
