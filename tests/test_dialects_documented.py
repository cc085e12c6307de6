"""Requests that hold what the APIs document and no recording has: they too come out as they went in."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from providers.dialects import CLIENTS, UPSTREAMS
from tests.dialect_shapes import NORMALISE
from tests.test_recordings import differs

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CHAT: dict[str, Any] = {
    "model": "gpt-6", "max_completion_tokens": 5, "max_tokens": 4, "temperature": 0, "top_p": 0.5, "seed": -1,
    "frequency_penalty": -2, "presence_penalty": 2, "logit_bias": {"50256": -100}, "logprobs": True, "top_logprobs": 0,
    "n": 1, "stop": ["a", "b"], "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "verbosity": "low",
    "prompt_cache_retention": "24h", "metadata": {"a": "b"}, "service_tier": "flex", "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"}, "store": False, "reasoning_effort": "minimal", "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": False}, "parallel_tool_calls": True,
    "prediction": {"type": "content", "content": "x"}, "web_search_options": {"search_context_size": "low"},
    "response_format": {"type": "text"}, "functions": [{"name": "g", "parameters": {}}], "function_call": {"name": "g"},
    "tools": [TOOL, {"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "s"}}}}],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}},
    "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "d"}], "name": "n"},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}, {"type": "file", "file": {"file_id": "x"}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "t"}, {"type": "refusal", "refusal": "no"}], "audio": {"id": "a"}},
        {"role": "assistant", "refusal": "no", "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "c", "input": "raw"}}]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r"}]},
        {"role": "assistant", "content": "", "function_call": {"name": "g", "arguments": "{}"}},
        {"role": "function", "name": "g", "content": "1"},
    ],
}  # fmt: skip
CALLS: list[dict[str, Any]] = [
    {"type": "computer_call", "id": "1", "call_id": "c", "action": {"type": "screenshot"}, "status": "completed"},
    {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "file_id": "f"}},
    {"type": "custom_tool_call", "call_id": "d", "name": "p", "input": "raw", "namespace": "ns"},
    {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "ok"}]},
    {"type": "mcp_approval_request", "id": "m", "name": "n", "arguments": "{}", "server_label": "s"},
    {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
    {"type": "local_shell_call", "id": "l", "call_id": "l", "action": {"type": "exec"}, "status": "completed"},
    {"type": "item_reference", "id": "msg_1"},
    {"type": "compaction", "encrypted_content": "x"},
]
RESPONSES: dict[str, Any] = {
    "model": "gpt-6", "instructions": "i", "temperature": 2, "top_p": 1, "max_output_tokens": 20, "max_tool_calls": 3,
    "previous_response_id": "resp_1", "prompt": {"id": "p"}, "truncation": "auto", "background": False, "store": True,
    "include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "top_logprobs": 3, "user": "u",
    "metadata": {"a": "b"}, "service_tier": "priority", "stream": True, "stream_options": {"include_obfuscation": True},
    "reasoning": {"effort": "xhigh", "summary": "concise"}, "text": {"verbosity": "high", "format": {"type": "json_object"}},
    "tool_choice": {"type": "custom", "name": "p"}, "tools": [{"type": "local_shell"}, {"type": "apply_patch"}, {"type": "custom", "name": "p"}],
    "input": [
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}, {"type": "input_file", "file_data": "AA==", "filename": "f"}]},
        {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "t", "annotations": [{"type": "file_path", "file_id": "f", "index": 1}]}, {"type": "refusal", "refusal": "no"}]},
        {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}], "encrypted_content": "e"},
        *CALLS,
        {"role": "system", "content": "s"},
    ],
}  # fmt: skip
ANTHROPIC: dict[str, Any] = {
    "model": "claude-x", "max_tokens": 1, "temperature": 0, "top_k": 5, "top_p": 0.1, "stop_sequences": ["x"], "stream": False,
    "service_tier": "standard_only", "speed": "fast", "inference_geo": "us", "cache_control": {"type": "ephemeral"},
    "thinking": {"type": "between_tools"}, "output_config": {"effort": "max"}, "container": {"id": "c", "skills": []},
    "tool_choice": {"type": "none"}, "metadata": {"user_id": "u"}, "mcp_servers": [{"type": "url", "name": "n", "url": "https://x"}],
    "tools": [{"name": "t", "input_schema": {"type": "object"}, "eager_input_streaming": True}, {"type": "mcp_toolset", "mcp_server_name": "n"}, {"type": "bash_20250124", "name": "bash"}],
    "system": "s",
    "messages": [
        {"role": "user", "content": [
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "c"}]}, "citations": {"enabled": False}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}, "context": "x", "cache_control": {"type": "ephemeral"}},
            {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "c"}]},
        ]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "s"}, {"type": "tool_use", "id": "1", "name": "t", "input": {"a": None, "n": 1.0}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}, {"type": "tool_result", "tool_use_id": "2", "is_error": True, "content": []}]},
    ],
}  # fmt: skip
GEMINI: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"text": "a"}, {"fileData": {"fileUri": "gs://x"}, "videoMetadata": {"fps": 1}}, {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}, "mediaResolution": {"level": "L"}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": "AA=="}, {"text": "t", "thought": True}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "AA=="}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": {"a": 1}}, "willContinue": False}}, {"functionResponse": {"name": "f", "response": {"a": 1, "b": 2}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING", "parameters": {"type": "OBJECT", "nullable": True, "properties": {"a": {"type": "STRING", "minLength": "1"}}}}]}, {"googleSearch": {"timeRangeFilter": {}}}, {"googleMaps": {}}],
    "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, "retrievalConfig": {"languageCode": "en"}},
    "generationConfig": {"temperature": 0, "topK": 3, "seed": 1, "candidateCount": 1, "presencePenalty": 0.1, "frequencyPenalty": 0.1, "responseLogprobs": True, "logprobs": 1, "responseModalities": ["TEXT", "IMAGE"], "speechConfig": {}, "mediaResolution": "M", "responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}, "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": False}},
    "safetySettings": [{"category": "C", "threshold": "T"}], "cachedContent": "c", "labels": {"a": "b"},
}  # fmt: skip
CASES = {"openai_chat": CHAT, "openai_responses": RESPONSES, "anthropic": ANTHROPIC, "gemini": GEMINI}


@pytest.mark.parametrize("dialect", CASES)
def test_documented_requests_come_out_as_they_went_in(dialect: str) -> None:
    given = CASES[dialect]
    chat = CLIENTS[dialect].read_request(copy.deepcopy(given), "/v1beta/models/m:generateContent")
    doc, dropped = UPSTREAMS[dialect].write_request(chat)
    normal = NORMALISE[dialect]
    assert differs(normal(copy.deepcopy(given)), normal(json.loads(json.dumps(doc)))) == "" and dropped == []
