"""Providers that the environment names: ``OPENAI_API_KEY`` and its like. ``bootstrap`` makes rows of them."""

from __future__ import annotations

from gateway_project.environment import Environment, Refused, url
from providers.presets import PRESETS, Preset
from routing.vendors import FIRST_BYTE_SECONDS, RETRIES, Vendor

DEFAULT = "LLM_GATEWAY_PROVIDERS_DEFAULT"


def vendors(env: Environment) -> list[Vendor]:
    """Those with a key; Ollama and its like, which need none, with a base URL."""
    found = [_vendor(env, kind, preset) for kind, preset in PRESETS.items() if kind != "demo"]
    return [vendor for vendor in found if vendor is not None]


def _vendor(env: Environment, kind: str, preset: Preset) -> Vendor | None:
    stem = kind.upper().replace("-", "_").replace(".", "_")
    vendor = Vendor(
        kind,
        env.text(*preset.environment),
        env.read(f"{stem}_BASE_URL", url, ""),
        env.seconds(f"{stem}_TIMEOUT", default=FIRST_BYTE_SECONDS, least=1),
        env.whole(f"{stem}_MAX_RETRIES", default=RETRIES, least=0, most=10),
    )
    wanted = vendor.api_key if preset.environment else vendor.base_url
    return vendor if wanted and (vendor.base_url or preset.base_url) else None


def default_vendor(env: Environment, found: list[Vendor]) -> str:
    """The one that answers for models that no route names: as said, else the one that has names of its own (Ollama), else the first."""
    kinds = [vendor.kind for vendor in found]
    named = env.text(DEFAULT).lower()
    if named and named not in PRESETS:
        raise Refused(f"{DEFAULT}: {named!r} is no kind of provider. Known are {', '.join(PRESETS)}.")
    if named:
        return named
    keyless = [kind for kind in kinds if not PRESETS[kind].needs_secret]
    return next(iter(keyless + kinds), "")
