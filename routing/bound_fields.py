"""The fields of each endpoint's request, by what they can do to its cost. What stands in neither list is not known to be
harmless, and no bound holds where it says anything.
"""

from __future__ import annotations

from typing import Any, Final

from providers.hints import has

_SAMPLING: Final = "temperature top_p seed stop user metadata stream stream_options"
_CACHED: Final = "prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier"
_OPENAI_IMAGE: Final = "background output_format output_compression quality response_format user stream moderation"

#: Endpoint -> fields that change no more than which tokens are generated, how the reply looks or who may see it.
HARMLESS: dict[str, str] = {
    "chat": f"{_SAMPLING} {_CACHED} model frequency_penalty presence_penalty function_call functions logit_bias logprobs"
    " moderation parallel_tool_calls reasoning_effort response_format store tool_choice top_logprobs verbosity"
    # OpenRouter, Groq, Mistral, DeepSeek, Z.ai, vLLM, llama.cpp
    " reasoning include_reasoning usage transforms reasoning_format clear_thinking thinking enable_thinking safe_prompt"
    " random_seed prompt_mode top_k top_a min_p repetition_penalty repeat_penalty typical_p grammar json_schema"
    " guided_json guided_regex guided_choice guided_grammar structured_outputs chat_template_kwargs cache_prompt"
    " skip_special_tokens do_sample cache_control",
    "completions": f"{_SAMPLING} model frequency_penalty presence_penalty logit_bias logprobs suffix top_k min_p",
    "responses": f"{_CACHED} model background frequency_penalty presence_penalty include metadata parallel_tool_calls"
    " moderation personality store stream stream_options temperature text tool_choice top_logprobs top_p truncation user",
    "messages": "model metadata stop_sequences stream temperature top_k top_p tool_choice thinking output_config"
    " output_format betas anthropic_version",
    "generate": "model safetySettings safety_settings toolConfig tool_config labels modelArmorConfig"
    " model_armor_config stream store",
    "embeddings": "model dimensions encoding_format user input_type truncate truncation output_dimension output_dtype",
    "generate.embed": "model taskType task_type title outputDimensionality output_dimensionality autoTruncate",
    "images.generations": f"{_OPENAI_IMAGE} model style",
    "images.edits": f"{_OPENAI_IMAGE} model input_fidelity",
    "images.variations": "model response_format user",
    "audio.speech": "model voice response_format stream_format",
    "audio.transcriptions": "model language languages response_format stream temperature timestamp_granularities include"
    " chunking_strategy known_speaker_names",
    "audio.translations": "model response_format temperature",
    "moderations": "model",
    "rerank": "model return_documents top_n top_k max_tokens_per_doc truncation return_text priority",
}
#: Endpoint -> fields that bounds are made of.
READ: dict[str, str] = {
    "chat": "messages tools max_tokens max_completion_tokens n prediction modalities audio service_tier",
    "completions": "prompt max_tokens n best_of echo service_tier",
    "responses": "input instructions tools max_output_tokens max_tool_calls previous_response_id conversation prompt"
    " reasoning service_tier context_management",
    "messages": "messages system tools max_tokens container speed service_tier context_management inference_geo"
    " cache_control",
    "generate": "contents systemInstruction system_instruction tools generationConfig generation_config cachedContent"
    " cached_content serviceTier service_tier",
    "embeddings": "input service_tier",
    "generate.embed": "content requests",
    "images.generations": "prompt n size partial_images",
    "images.edits": "prompt n size partial_images image image[] images mask",
    "images.variations": "image n size",
    "audio.speech": "input instructions speed",
    "audio.transcriptions": "file prompt keywords",
    "audio.translations": "file prompt",
    "moderations": "input",
    "rerank": "query documents",
}
#: What is written like another.
SAME: Final = {"unified": "chat", "responses.compact": "responses"}
HARMLESS |= {name: HARMLESS[other] for name, other in SAME.items()}
READ |= {name: READ[other] for name, other in SAME.items()}
KNOWN: Final = {name: frozenset(f"{HARMLESS[name]} {READ[name]}".split()) for name in READ}
#: As they stand in forms, where lists may have names of their own.
IN_FORMS: Final = {name: KNOWN[name] | {f"{each}[]" for each in HARMLESS[name].split()} for name in READ}
#: Fields that another reader must not find twice, beside those that are looked for when the body is read.
SINGLE: Final[dict[str, tuple[str, ...]]] = {
    "completions": ("best_of", "echo", "service_tier"),
    "responses": ("conversation", "max_tool_calls", "previous_response_id", "prompt", "service_tier", "tools"),
    "messages": ("container", "service_tier", "speed", "tools"),
    "chat": ("prediction", "service_tier", "tools"),
    "generate": ("cachedContent", "cached_content", "serviceTier", "service_tier", "tools"),
}
#: Of an endpoint that has turns, the field that holds them.
TURNS: Final = {
    "chat": "messages",
    "unified": "messages",
    "messages": "messages",
    "responses": "input",
    "generate": "contents",
}
QUOTED_TURNS: Final = {endpoint: f'"{name}"'.encode() for endpoint, name in TURNS.items()}

MOST_TOKENS: Final = 2**40


def may_repeat_turns(endpoint: str, body: bytes) -> bool:
    """Whether the field of its turns may stand twice in a body, if it has one."""
    quoted = QUOTED_TURNS.get(endpoint)
    return quoted is not None and (body.count(quoted) > 1 or has(body, b"\\u00"))


def unknown(endpoint: str, doc: dict[str, Any]) -> tuple[str, ...]:
    """The fields that say something of which nobody knows what it costs."""
    known = KNOWN[endpoint]
    if doc.keys() <= known:
        return ()
    return tuple(name[:64] for name, value in doc.items() if name not in known and value)


def most(value: Any, zero: bool = False) -> int | None:
    """A cap as an upstream may read it; None where it is none, as zero is unless ``zero`` counts."""
    if value.__class__ is not int and value.__class__ is not float:
        return None
    if value < 0 or (not value and not zero):  # -1 is without end for some
        return None
    return -int(-value // 1) if value < MOST_TOKENS else MOST_TOKENS


def times(value: Any) -> int:
    """How many of a thing are asked for: one, unless a number says so."""
    return 1 if value is None else max(1, most(value) or 1)
