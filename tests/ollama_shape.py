"""The body of ``POST /api/chat`` as Ollama documents it. Ollama itself passes over what it does not know."""

from __future__ import annotations

from typing import Any

import pytest

jsonschema = pytest.importorskip("jsonschema")

TEXT = {"type": "string"}
#: What the documentation does not name is an error here.
SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages", "stream"],
    "additionalProperties": False,
    "properties": {
        "model": TEXT,
        "stream": {"type": "boolean"},
        "think": {"enum": [True, False, "low", "medium", "high"]},
        "format": {"anyOf": [{"const": "json"}, {"type": "object"}]},
        "keep_alive": {"type": ["string", "number"]},
        "logprobs": {"type": "boolean"},
        "top_logprobs": {"type": "integer"},
        "options": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "properties": {"stop": {"type": "array", "items": TEXT}, "num_predict": {"type": "integer"}},
        },
        "messages": {"type": "array", "items": {"$ref": "#/$defs/message"}},
        "tools": {"type": "array", "items": {"$ref": "#/$defs/tool"}},
    },
    "$defs": {
        "message": {
            "type": "object",
            "required": ["role", "content"],
            "additionalProperties": False,
            "properties": {
                "role": {"enum": ["system", "user", "assistant", "tool"]},
                "content": TEXT,
                "thinking": TEXT,
                "images": {"type": "array", "items": {"type": "string", "pattern": "^(?!data:|https?:)"}},
                "tool_name": TEXT,
                "tool_call_id": TEXT,
                "tool_calls": {"type": "array", "items": {"$ref": "#/$defs/call"}},
            },
        },
        "call": {
            "type": "object",
            "required": ["function"],
            "additionalProperties": False,
            "properties": {
                "id": TEXT,
                "type": {"const": "function"},
                "function": {
                    "type": "object",
                    "required": ["name", "arguments"],
                    "additionalProperties": False,
                    "properties": {"name": TEXT, "arguments": {"type": "object"}},
                },
            },
        },
        "tool": {
            "type": "object",
            "required": ["type", "function"],
            "additionalProperties": False,
            "properties": {
                "type": {"const": "function"},
                "function": {
                    "type": "object",
                    "required": ["name", "parameters"],
                    "additionalProperties": False,
                    "properties": {
                        "name": TEXT,
                        "description": TEXT,
                        "parameters": {
                            "type": "object",
                            "required": ["type", "properties"],
                            "properties": {
                                "type": TEXT,
                                "required": {"type": "array", "items": TEXT},
                                "properties": {"type": "object"},
                            },
                        },
                    },
                },
            },
        },
    },
}
CHECK = jsonschema.Draft202012Validator(SHAPE)
