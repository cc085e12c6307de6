"""Names that ``extra`` and ``Opaque`` may hold, by dialect: fields that no other dialect has a word for.

Taken from the APIs' own documents and from the vendors whose traffic is recorded; what is not listed here has to become
a member of the vocabulary, or a decision that it may stay apart.
"""

from __future__ import annotations

#: On every dialect's holders: how a member was written, where it may be written in two ways.
FORMS = {"form", "mime", "word", "mode", "legacy", "type", "name", "index", "id", "status"}

EXTRA: dict[str, set[str]] = {
    "openai_chat": {
        # OpenAI
        "audio", "moderation", "prediction", "prompt_cache_options", "prompt_cache_retention", "safety_identifier",
        "stream_options", "functions", "function_call", "web_search_options", "search_context_size",
        # OpenRouter
        "models", "provider", "transforms", "route", "plugins", "preset", "usage", "reasoning", "include_reasoning",
        "top_a", "session_id", "trace", "debug", "image_config",
        # Groq, Mistral, DeepSeek, Z.ai, xAI, Venice, Perplexity, vLLM, llama.cpp, SGLang, Snowflake
        "reasoning_format", "citation_options", "documents", "compound_custom", "disable_tool_validation", "safe_prompt",
        "random_seed", "prompt_mode", "prefix", "thinking", "clear_thinking", "enable_thinking", "thinking_budget",
        "do_sample", "request_id", "search_parameters", "deferred", "venice_parameters", "search_domain_filter",
        "search_recency_filter", "return_images", "return_related_questions", "grammar", "json_schema", "guided_json",
        "guided_regex", "guided_choice", "guided_grammar", "chat_template_kwargs", "chat_template", "cache_prompt",
        "id_slot", "n_predict", "samplers", "mirostat", "typical_p", "repeat_penalty", "ignore_eos", "min_tokens",
        "best_of", "use_beam_search", "skip_special_tokens", "echo", "logit_processors", "structured_outputs",
        "extra_body", "keep_alive", "options", "think", "format", "cache_control", "image_url", "function", "file",
        "closed", "reasoning_content", "extra_content", "verbosity", "guardrails", "providerOptions", "tool_config",
    },
    "openai_responses": {
        "background", "context_management", "conversation", "include", "max_tool_calls", "moderation", "prompt",
        "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "stream_options", "text", "truncation",
        "provider", "models", "plugins", "search_parameters", "client_metadata", "context", "generate_summary", "phase",
        "defer_loading", "output_schema", "allowed_callers", "caller", "logprobs", "created_by", "tools", "detail",
        "agent", "recipient", "channel", "end_turn", "format", "internal_chat_message_metadata_passthrough",
    },
    "anthropic": {
        "container", "context_management", "inference_geo", "output_config", "speed", "betas", "diagnostics",
        "defer_loading", "allowed_callers", "eager_input_streaming", "input_examples", "caller", "context",
        "task_budget", "anthropic_version", "user_profile_id", "workspace_id", "fallback", "output_format",
    },
    "gemini": {
        "cachedContent", "labels", "modelArmorConfig", "safetySettings", "toolConfig", "generationConfig", "store",
        "thoughtSignature", "thought", "videoMetadata", "mediaResolution", "partMetadata", "functionCall",
        "functionResponse", "response", "responseJsonSchema", "behavior", "streamFunctionCallArguments", "model",
        "thinkingLevel",
    },
}  # fmt: skip

#: Items, parts and blocks that stay whole, and hosted tools of one vendor. A name ends in ``*`` where dates follow.
OPAQUE: dict[str, tuple[str, ...]] = {
    "openai_chat": ("openrouter:*", "web_search_options", "web_search*", "reasoning_details.*", "reference", "document*"),
    "openai_responses": (
        "additional_tools", "apply_patch*", "code_interpreter*", "compaction*", "computer*", "file_search*",
        "image_generation*", "input_video", "item_reference", "local_shell*", "mcp*", "program*", "shell*",
        "tool_search*", "web_search*", "x_search*", "collections_search*", "function_shell*", "custom*", "openrouter:*",
        "multi_agent*", "agent*",
    ),
    "anthropic": (
        "advisor*", "bash*", "browser*", "code_execution*", "compaction*", "computer*", "container_upload", "mcp*",
        "memory*", "search_result*", "server_tool_use", "text_editor*", "tool_addition", "tool_reference",
        "tool_removal", "tool_search*", "web_fetch*", "web_search*", "document", "image", "fallback*",
    ),
    "gemini": (
        "codeExecution*", "computerUse", "enterpriseWebSearch", "executableCode", "fileSearch", "googleMaps",
        "googleSearch*", "mcpServers", "retrieval", "toolCall", "toolResponse", "urlContext", "exaAiSearch",
        "parallelAiSearch", "groundingMetadata", "urlContextMetadata", "citationMetadata", "audioTranscription", "",
    ),
}  # fmt: skip
