"""A start with other secrets than the database was written with is refused, before anything is written or answered.

Of each secret the database keeps a one-way mark of the value that writes (the first of a list). A start is right if the
mark is that of any configured value; if it is not the first, the secret was rotated and the mark moves on to the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from routing.models import Fingerprint

#: Slow enough that a mark is no help in guessing a weak secret, quick enough for every start (10 ms each).
COST = 2**12


class WrongSecret(ImproperlyConfigured):
    """The text is all that the operator needs to read."""


def mark(name: str, secret: bytes) -> str:
    return hashlib.scrypt(secret, salt=f"gateway fingerprint of {name}".encode(), n=COST, r=8, p=1).hex()[:64]


def configured() -> dict[str, Sequence[bytes]]:
    """The secrets in force by the name of their variable, the one that writes first."""
    return {
        "SECRET_KEY": [key.encode() for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)],
        "GATEWAY_ENCRYPTION_KEYS": [key.encode() for key in settings.GATEWAY_ENCRYPTION_KEYS],
        "GATEWAY_KEY_PEPPERS": settings.GATEWAY_KEY_PEPPERS,
    }


def verify() -> None:
    """Compare every secret with its mark, and keep the marks of those seen for the first time. Raises WrongSecret."""
    for name, secrets in configured().items():
        first = mark(name, secrets[0])
        row, _ = Fingerprint.objects.get_or_create(name=name, defaults={"digest": first})
        if row.digest == first:
            continue
        if row.digest not in {mark(name, secret) for secret in secrets[1:]}:
            raise WrongSecret(_refusal(name))
        row.digest = first
        row.save(update_fields=("digest",))


def _refusal(name: str) -> str:
    keep = "SECRET_KEY_FALLBACKS" if name == "SECRET_KEY" else name
    return (
        f"{name} is not the one that this database was written with. Give the old one"
        f" (to rotate it, put the new one first and keep the old one{' in ' + keep if keep != name else ''} after it), or restore the"
        f" data directory that belongs to the database."
    )
