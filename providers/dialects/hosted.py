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


def mcp_of(tool: HostedTool) -> Mcp | None:
    """What every API can say of it; None where it asks for more (approval of each call, a vendor's connector)."""
    if tool.dialect == "anthropic":
        raw = tool.raw.get("mcp_server") or {}
        allowed = _texts((raw.get("tool_configuration") or {}).get("allowed_tools"))
        return Mcp(str(raw.get("name")), str(raw.get("url")), raw.get("authorization_token") or "", allowed)
    raw = tool.raw
    if not raw.get("server_url") or raw.get("require_approval") != "never" or raw.get("headers"):
        return None
    allowed = _texts(raw.get("allowed_tools"))
    return Mcp(str(raw.get("server_label")), str(raw["server_url"]), raw.get("authorization") or "", allowed)
