"""The variants by name. A provider kind names its own; an API version makes Azure's deployments of it."""

from __future__ import annotations

from providers.variants import Variant, azure, bedrock, vertex

VARIANTS: dict[str, Variant] = {
    "azure-deployments": azure.DEPLOYMENTS,
    "bedrock-anthropic": bedrock.VARIANT,
    "vertex": vertex.GEMINI,
    "vertex-anthropic": vertex.ANTHROPIC,
}
