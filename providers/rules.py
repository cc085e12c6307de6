"""What a provider's fields may hold, in words for whoever set them. The models and declarations in code both ask here.

Every rule raises ValueError.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from providers.addresses import Network, refused
from providers.dialects.lacks import LACKS
from providers.presets import ALL_APIS, PRESETS

NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}\Z")
NAMES = "Use 1 to 63 of: a-z 0-9 . _ - and start with a letter or digit."
#: Headers that no provider and no rewrite may set: addressing, credentials, framing.
PROTECTED_HEADERS = frozenset(
    "host authorization proxy-authorization x-api-key api-key x-goog-api-key cookie content-length content-type content-encoding "
    "accept-encoding transfer-encoding connection proxy-connection keep-alive te trailer upgrade expect".split()
)
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
NOT_IN_URLS = re.compile(r"[^\x21-\x7e]|[\"'<>\\^`{|}]")
LONGEST_WAIT = 86400


class FieldError(ValueError):
    """What is wrong with one field is seen only beside the others."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check_together(kind: str, base_url: str, api_version: str) -> None:
    """What the fields of a provider must be to each other. Raises FieldError."""
    preset = PRESETS.get(kind)
    if preset is not None and not preset.base_url and not base_url:
        raise FieldError("base_url", f"{preset.title} has no address of its own: say where it is.")
    if api_version and kind != "azure-openai":
        raise FieldError("api_version", "Only Azure OpenAI has dated API versions.")
    if api_version and urlsplit(base_url).path.strip("/"):
        message = "With an API version, give the resource's address alone: https://NAME.openai.azure.com."
        raise FieldError("base_url", message)


def check_name(value: str) -> None:
    if not NAME.match(value):
        raise ValueError(NAMES)


def check_base_url(value: str, allowed: Sequence[Network] = ()) -> None:
    """``allowed`` are networks that the operator lets through although they are link-local or metadata services."""
    parts = _http_url(value)
    if "?" in value or "#" in value:
        raise ValueError("No query and no fragment: only where the API starts, such as https://api.example.com/v1.")
    if refused(_address(parts.hostname or ""), allowed):
        raise ValueError(
            "This is a link-local or metadata address, which is never called. An operator can list it in GATEWAY_ALLOWED_UPSTREAM_ADDRESSES."
        )


def check_proxy_url(value: str) -> None:
    parts = _http_url(value)
    if parts.path.strip("/") or "?" in value or "#" in value:
        raise ValueError("Only scheme, host and port, such as http://proxy.example.com:3128.")


def _http_url(value: str) -> SplitResult:
    """The parts of an http or https URL with a host, a legal port and no secrets."""
    if NOT_IN_URLS.search(value):
        raise ValueError("A URL holds no spaces, quotes or control characters.")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("This is not a URL.") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("Start with https:// or http://.")
    if not parts.hostname or port == 0:
        raise ValueError("The URL names no host to call.")
    if "@" in parts.netloc:
        raise ValueError("No user name or password in the URL: it is not kept secret.")
    return parts


def _address(host: str) -> str:
    """``host`` as an IP address, also where it is spelled as one number or in octal; a name counts as a harmless address,
    since what it resolves to is checked whenever it is called."""
    try:
        return str(ip_address(host.split("%", 1)[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return "127.0.0.1"


def check_api_version(value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", value):
        raise ValueError("An API version is a date such as 2024-10-21, perhaps with -preview.")


def check_lacks(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(word, str) and word in LACKS for word in value):
        raise ValueError(f"Give a list of: {', '.join(LACKS)}.")


def check_apis(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("Give a list of API names.")
    if unknown := [name for name in value if name not in ALL_APIS]:
        raise ValueError(f"Unknown API: {', '.join(unknown)}. Known are {', '.join(ALL_APIS)}.")


def check_headers(value: Any) -> None:
    """A mapping of names to printable values, none of which addresses, authenticates or frames."""
    if not isinstance(value, dict):
        raise ValueError('Give header names with their values, as {"name": "value"}.')
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a legal header name.")
        if name.lower() in PROTECTED_HEADERS or name.lower().startswith("x-gateway-"):
            raise ValueError(f"The header {name} cannot be set here. Keys belong to a credential.")
        if not isinstance(text, str) or not HEADER_VALUE.fullmatch(text):
            raise ValueError(f"The value of {name} must be text of printable ASCII.")


def check_ca_file(value: str) -> None:
    if not Path(value).is_file():
        raise ValueError("There is no such file on the gateway's machine.")
    try:
        found = ssl.create_default_context(cafile=value).get_ca_certs()
    except (OSError, ValueError):
        found = []
    if not found:
        raise ValueError("The file holds no certificate authority in PEM form.")


def check_strip_path(value: str) -> None:
    if not value.startswith("/") or NOT_IN_URLS.search(value) or "?" in value or "#" in value:
        raise ValueError("A path starts with / and holds no spaces, such as /v1.")


def check_seconds(value: float) -> None:
    if not 0 < value <= LONGEST_WAIT:
        raise ValueError(f"Give seconds: more than 0, at most {LONGEST_WAIT}.")
