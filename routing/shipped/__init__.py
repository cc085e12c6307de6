"""The hooks that come with the gateway, as ``GATEWAY_HOOKS`` names them. Nothing is imported before one is wanted."""

from __future__ import annotations

SHIPPED = (
    "routing.shipped.redact:Redact",
    "routing.shipped.block_secrets:BlockSecrets",
    "routing.shipped.moderate:Moderate",
    "routing.shipped.inject:Inject",
    "routing.shipped.webhook_auth:WebhookAuth",
    "routing.shipped.request_log:RequestLog",
)
