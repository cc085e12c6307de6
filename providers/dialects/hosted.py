"""Tools that the upstream runs, where more than one API has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from providers.chat import HostedTool


@dataclass(slots=True)
class Mcp:
    """A remote MCP server."""

    label: str
    url: str
    authorization: str = ""
    allowed: list[str] = field(default_factory=list)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("tool_names")
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def mcp_of(tool: HostedTool) -> Mcp | None:
    """What every API can say of it; None where it asks for more (approval of each call, a vendor's connector)."""
    if tool.dialect == "anthropic":
        raw = tool.raw.get("mcp_server") or {}
        configuration = raw.get("tool_configuration")
        allowed = _texts(configuration.get("allowed_tools")) if isinstance(configuration, dict) else []
        return Mcp(_text(raw.get("name")), _text(raw.get("url")), _text(raw.get("authorization_token")), allowed)
    raw = tool.raw
    if not raw.get("server_url") or raw.get("require_approval") != "never" or raw.get("headers"):
        return None
    allowed = _texts(raw.get("allowed_tools"))
    return Mcp(_text(raw.get("server_label")), _text(raw["server_url"]), _text(raw.get("authorization")), allowed)
