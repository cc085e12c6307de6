"""The rows of ``field_table`` that no specification here has: of Anthropic's and Google's APIs, as their documents say and
the recordings show, and of vendors that serve OpenAI's APIs with fields of their own."""

from __future__ import annotations

from tests.field_table import LONG, Row, bounded, priced, refused

_SEARCH = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]
_PARTS = [{"parts": [{"fileData": {"fileUri": "https://a.example/1.mp4"}}]}]

ACTIVE: dict[str, dict[str, Row]] = {
    "chat": {
        "provider": refused("routing", {"order": ["a"]}),
        "models": refused("routing", ["a", "b"]),
        "venice_parameters": refused("searches", {"enable_web_search": "on"}),
        "search_context_size": refused("searches", "high"),
    },
    "completions": {"service_tier": priced("tier", "flex")},
    "embeddings": {"service_tier": priced("tier", "flex")},
    "responses": {"provider": refused("routing", {"order": ["a"]})},
    "messages": {
        "messages": bounded("text", [{"role": "user", "content": LONG}]),
        "system": bounded("unseen", [{"type": "document", "source": {"type": "url", "url": "https://a.example"}}]),
        "tools": bounded("rereading", _SEARCH),
        "max_tokens": bounded("output", 5_000),
        "container": bounded("unseen", "container_1"),
        "speed": priced("tier", "fast"),
        "service_tier": priced("tier", "standard_only"),
        "cache_control": priced("cache", {"type": "ephemeral", "ttl": "1h"}),
        "context_management": refused("rereading", {"edits": [{"type": "compact_20260112"}]}),
        "inference_geo": refused("dearer", "us"),
        "mcp_servers": refused("rereading", [{"type": "url", "url": "https://a.example", "name": "a"}]),
    },
    "generate": {
        "contents": bounded("unseen", _PARTS),
        "systemInstruction": bounded("unseen", _PARTS[0]),
        "system_instruction": bounded("unseen", _PARTS[0]),
        "tools": refused("rereading", [{"codeExecution": {}}]),
        "generationConfig": bounded("output", {"maxOutputTokens": 5_000}),
        "generation_config": bounded("choices", {"candidate_count": 3}),
        "cachedContent": bounded("unseen", "cachedContents/1"),
        "cached_content": bounded("unseen", "cachedContents/1"),
        "serviceTier": priced("tier", "flex"),
        "service_tier": priced("tier", "PRIORITY"),
    },
    "generate.embed": {
        "content": bounded("unseen", _PARTS[0]),
        "requests": bounded("unseen", [{"content": _PARTS[0]}]),
    },
    "rerank": {"query": bounded("text", LONG), "documents": bounded("searches", [LONG] * 200)},
    "images.edits": {"image[]": bounded("pictures", b"\x89PNG")},
}
HARMLESS: dict[str, dict[str, str]] = {
    "chat": {
        "sampling": "random_seed top_k top_a min_p repetition_penalty repeat_penalty typical_p do_sample",
        "capped": "reasoning thinking enable_thinking clear_thinking prompt_mode",
        "shape": "include_reasoning reasoning_format usage skip_special_tokens",
        "text": "grammar json_schema guided_json guided_regex guided_choice guided_grammar structured_outputs"
        " safe_prompt chat_template_kwargs transforms",
        "cheaper": "cache_prompt cache_control",
    },
    "completions": {"sampling": "top_k min_p", "label": "metadata"},
    "responses": {"text": "personality"},
    "embeddings": {"shape": "input_type truncate truncation output_dimension output_dtype"},
    "images.generations": {},
    "images.edits": {},
    "messages": {
        "sampling": "temperature top_k top_p stop_sequences",
        "shape": "stream",
        "label": "metadata",
        "name": "model anthropic_version betas",
        "choice": "tool_choice",
        "capped": "thinking output_config",
        "text": "output_format",
    },
    "generate": {
        "name": "model",
        "shape": "stream",
        "label": "labels store",
        "choice": "toolConfig tool_config",
        "free": "safetySettings safety_settings modelArmorConfig model_armor_config",
    },
    "generate.embed": {
        "name": "model",
        "text": "title",
        "shape": "taskType task_type outputDimensionality output_dimensionality autoTruncate",
    },
    "rerank": {
        "name": "model",
        "shape": "return_documents return_text top_n top_k",
        "cheaper": "max_tokens_per_doc truncation",
        "label": "priority",
    },
}
