"""Provider kinds: what a row of the admin's "kind" list already knows.

Sameness gets a row here, behaviour gets a module. ``apis`` maps an API that the upstream serves to nothing but
its presence; the wire dialect of an API is fixed by its name (``chat`` is OpenAI chat, ``messages`` is Anthropic ...).
"""

from __future__ import annotations

from dataclasses import dataclass

OPENAI_APIS = ("chat", "completions", "responses", "embeddings", "images", "audio", "moderation")
CHAT_APIS = ("chat", "completions", "embeddings")
#: Packages may add to it at the start, as to PRESETS: see providers.plugins.
ALL_APIS = [*OPENAI_APIS, "messages", "generate", "rerank", "ollama", "cohere", "converse", "titan"]

#: Body fields with which one vendor lets a client pick another model, provider or price than the route's.
OPENROUTER_FIELDS = ("models", "provider", "route", "plugins", "preset", "transforms")


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider kind. ``auth`` names the header style, ``stream_usage`` how usage of a chat stream is got."""

    title: str
    base_url: str = ""
    auth: str = "bearer"  # bearer | x-api-key | x-goog-api-key | api-key | aws | google | none
    apis: tuple[str, ...] = CHAT_APIS
    strip_path: str = ""  # leading path to drop from our paths, for upstreams without /v1
    stream_usage: str = "ask"  # native: tells usage unasked; ask: stream_options.include_usage must be set
    choosing_fields: tuple[str, ...] = ()  # refused in a body unless the route allows them
    needs_secret: bool = True
    variant: str = ""  # a name in providers.variants: the API of another vendor, served a little differently
    environment: tuple[str, ...] = ()  # names of the variables that hold its key, first one found wins


PRESETS: dict[str, Preset] = {
    "demo": Preset(
        "Demo (in-process, no network)",
        "http://demo.invalid",
        "none",
        ("chat", "completions", "embeddings", "images"),
        needs_secret=False,
    ),
    "openai": Preset(
        "OpenAI",
        "https://api.openai.com/v1",
        apis=OPENAI_APIS,
        environment=("OPENAI_API_KEY", "LLM_GATEWAY_PROVIDERS_OPENAI_API_KEY"),
    ),
    "anthropic": Preset(
        "Anthropic",
        "https://api.anthropic.com",
        "x-api-key",
        ("messages",),
        environment=("ANTHROPIC_API_KEY", "LLM_GATEWAY_PROVIDERS_ANTHROPIC_API_KEY"),
    ),
    "gemini": Preset(
        "Google Gemini",
        "https://generativelanguage.googleapis.com",
        "x-goog-api-key",
        ("generate",),
        environment=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    "ollama": Preset(
        "Ollama",
        "http://127.0.0.1:11434",
        "none",
        ("chat", "completions", "responses", "embeddings", "messages", "ollama"),
        needs_secret=False,
    ),
    "azure-openai": Preset("Azure OpenAI", "", "api-key", OPENAI_APIS, environment=("AZURE_OPENAI_API_KEY",)),
    "bedrock": Preset(
        "Amazon Bedrock (Converse)",
        "https://bedrock-runtime.us-east-1.amazonaws.com",
        "aws",
        ("converse", "titan"),
        environment=("AWS_BEARER_TOKEN_BEDROCK",),
    ),
    "bedrock-anthropic": Preset(
        "Amazon Bedrock (Claude by its own API)",
        "https://bedrock-runtime.us-east-1.amazonaws.com",
        "aws",
        ("messages",),
        variant="bedrock-anthropic",
    ),
    "vertex": Preset("Google Vertex AI (Gemini)", "", "google", ("generate",), variant="vertex"),
    "vertex-anthropic": Preset("Google Vertex AI (Claude)", "", "google", ("messages",), variant="vertex-anthropic"),
    "groq": Preset(
        "Groq", "https://api.groq.com/openai/v1", apis=("chat", "responses", "audio"), environment=("GROQ_API_KEY",)
    ),
    "mistral": Preset(
        "Mistral",
        "https://api.mistral.ai/v1",
        apis=("chat", "embeddings", "moderation", "audio"),
        stream_usage="native",
        environment=("MISTRAL_API_KEY",),
    ),
    "deepseek": Preset("DeepSeek", "https://api.deepseek.com", apis=("chat",), environment=("DEEPSEEK_API_KEY",)),
    "openrouter": Preset(
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        apis=("chat", "completions", "responses", "messages", "embeddings"),
        choosing_fields=OPENROUTER_FIELDS,
        environment=("OPENROUTER_API_KEY",),
    ),
    "together": Preset(
        "Together",
        "https://api.together.xyz/v1",
        apis=("chat", "completions", "embeddings", "images", "audio", "rerank"),
        environment=("TOGETHER_API_KEY",),
    ),
    "fireworks": Preset(
        "Fireworks",
        "https://api.fireworks.ai/inference/v1",
        apis=("chat", "completions", "embeddings", "responses", "rerank"),
        environment=("FIREWORKS_API_KEY",),
    ),
    "xai": Preset("xAI", "https://api.x.ai/v1", apis=("chat", "responses", "images"), environment=("XAI_API_KEY",)),
    "cerebras": Preset(
        "Cerebras", "https://api.cerebras.ai/v1", apis=("chat", "completions"), environment=("CEREBRAS_API_KEY",)
    ),
    "perplexity": Preset(
        "Perplexity",
        "https://api.perplexity.ai",
        apis=("chat",),
        strip_path="/v1",
        stream_usage="native",
        environment=("PERPLEXITY_API_KEY",),
    ),
    "siliconflow": Preset(
        "SiliconFlow",
        "https://api.siliconflow.com/v1",
        apis=("chat", "embeddings", "images", "audio", "rerank"),
        environment=("SILICONFLOW_API_KEY",),
    ),
    "voyage": Preset(
        "Voyage AI", "https://api.voyageai.com/v1", apis=("embeddings", "rerank"), environment=("VOYAGE_API_KEY",)
    ),
    "cohere": Preset(
        "Cohere", "https://api.cohere.com", apis=("cohere", "rerank"), environment=("CO_API_KEY", "COHERE_API_KEY")
    ),
    "cohere-compatible": Preset(
        "Cohere (OpenAI-compatible API)",
        "https://api.cohere.ai/compatibility/v1",
        apis=("chat", "embeddings"),
    ),
    "vllm": Preset(
        "vLLM",
        "http://127.0.0.1:8000/v1",
        apis=("chat", "completions", "responses", "embeddings", "rerank", "audio", "messages"),
        needs_secret=False,
    ),
    "llama.cpp": Preset(
        "llama.cpp server",
        "http://127.0.0.1:8080/v1",
        apis=("chat", "completions", "responses", "embeddings", "rerank", "messages"),
        needs_secret=False,
    ),
    "lm-studio": Preset(
        "LM Studio",
        "http://127.0.0.1:1234/v1",
        apis=("chat", "completions", "responses", "embeddings", "messages"),
        needs_secret=False,
    ),
    "openai-compatible": Preset("OpenAI-compatible server", "", apis=(*OPENAI_APIS, "rerank"), needs_secret=False),
    "anthropic-compatible": Preset("Anthropic-compatible server", "", "x-api-key", ("messages",), needs_secret=False),
    "gemini-compatible": Preset("Gemini-compatible server", "", "x-goog-api-key", ("generate",), needs_secret=False),
}


def preset_of(kind: str) -> Preset:
    """What a kind knows; nothing, and no API, where the package that had it is gone."""
    return PRESETS.get(kind) or Preset(kind, apis=(), needs_secret=False)


def kind_choices() -> list[tuple[str, str]]:
    return [(kind, preset.title) for kind, preset in PRESETS.items()]


def api_choices() -> list[tuple[str, str]]:
    return [(api, api) for api in ALL_APIS]
