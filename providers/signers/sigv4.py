"""AWS Signature Version 4, made by botocore."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from typing import Any

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from providers.light import Header

#: Above this many bytes the digest of a body would hold up the event loop.
LARGE = 1 << 18
ADDED = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")
#: AWS's hosts end with service, region and domain; those of interface endpoints have ``vpce`` between.
HOST = re.compile(
    r"(?:\A|\.)[a-z0-9-]+\.(?P<region>[a-z]{2,5}(?:-[a-z]+)+-\d+)\.(?:vpce\.)?"
    r"(?:amazonaws\.(?:com(?:\.cn)?|eu)|api\.aws|api\.amazonwebservices\.(?:com\.cn|eu))\Z"
)
MEMBERS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
FORM = "ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]"


@dataclass(frozen=True, slots=True)
class Keys:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def parse_secret(text: str) -> Keys:
    """``ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]``, or a JSON object with aws_access_key_id,
    aws_secret_access_key and perhaps aws_session_token. ValueError says what is wrong, never what the secret is."""
    text = text.strip()
    values = _members(text) if text.startswith("{") else [part.strip() for part in text.split(":")]
    if len(values) not in (2, 3):
        raise ValueError(f"an AWS secret has the form {FORM}, or is a JSON object with {', '.join(MEMBERS)}")
    for name, value in zip(MEMBERS, values, strict=False):
        if not value and name != "aws_session_token":
            raise ValueError(f"{name} is missing")
        if not value.isascii() or any(sign <= " " for sign in value):
            raise ValueError(f"{name} has a character that no key has")
    return Keys(*values)


def _members(text: str) -> list[str]:
    doc: Any = None
    with contextlib.suppress(ValueError):  # raised below instead, since orjson's error holds the whole secret
        doc = orjson.loads(text)
    if doc is None:
        raise ValueError("the AWS secret begins with { but is not valid JSON")
    values = [doc.get(name) or "" for name in MEMBERS]
    for name, value in zip(MEMBERS, values, strict=True):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a string")
    return [value.strip() for value in values]


def region_of(host: str, region: str = "") -> str:
    """The region that an AWS host names (public, FIPS, dual-stack, VPC endpoint), else ``region``. Raises ValueError
    where neither tells one."""
    match = HOST.search(host.partition(":")[0].rstrip(".").lower())
    found = match["region"] if match else region.strip()
    if not found:
        raise ValueError("the host names no AWS region, and none is set")
    return found


def region_in(secret: str) -> str:
    """The ``aws_region`` of a secret that is a JSON object, for a host that names none; "" where there is none."""
    with contextlib.suppress(ValueError):
        doc = orjson.loads(secret)
        if isinstance(doc, dict) and isinstance(doc.get("aws_region"), str):
            return str(doc["aws_region"])
    return ""


class Sigv4Signer:
    """``secret`` as ``parse_secret`` reads it; raises ValueError."""

    def __init__(self, secret: str, region: str, service: str = "bedrock") -> None:
        keys = parse_secret(secret)
        credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
        self._auth = SigV4Auth(credentials, service, region)

    async def sign(self, method: str, url: str, headers: list[Header], body: bytes) -> list[Header]:
        """Signs host, content type and AWS's own headers; what a proxy may change on the way stays unsigned."""
        signed = {name.decode().lower(): value.decode("latin-1") for name, value in headers if _is_signed(name.lower())}
        request = AWSRequest(method, url, signed, body)
        if len(body) > LARGE:
            await asyncio.to_thread(self._auth.add_auth, request)
        else:
            self._auth.add_auth(request)
        added = ((name, request.headers.get(name)) for name in ADDED)
        return [(name.lower().encode(), value.encode()) for name, value in added if value]


def _is_signed(name: bytes) -> bool:
    return name in (b"host", b"content-type") or name.startswith(b"x-amz")
