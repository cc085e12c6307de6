"""Where the words of people and models stand in the JSON of any API: all texts, save what names, chooses or encodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

#: Top-level members without words of a user: settings, and what a program wrote.
SETTINGS = frozenset(
    """
    model stream stream_options tools tool_choice functions function_call response_format reasoning thinking generationConfig
    generation_config safetySettings toolConfig tool_config include truncation service_tier store object id created
    created_at usage usageMetadata modelVersion responseId system_fingerprint status encoding_format
    """.split()
)
#: Members that name, choose or encode, wherever they stand.
PLAIN = frozenset(
    """
    type role id call_id tool_call_id tool_use_id name model status finish_reason stop_reason finishReason object signature
    thoughtSignature thought_signature encrypted_content data b64_json file_data file_id fileUri file_uri uri url
    image_url media_type mime_type mimeType format detail effort index cache_control toolUseId item_id response_id
    container_id previous_response_id conversation partial_image_b64
    """.split()
)
#: Members whose object is a tool's own: nothing in it is known, so all of it is words.
FREE = frozenset({"input", "args", "arguments", "response", "output", "structuredContent", "metadata"})


class Slot(NamedTuple):
    """A text, and where it stands: ``holder[key]``; ``path`` is for people."""

    holder: Any
    key: Any
    path: str

    @property
    def text(self) -> str:
        found: str = self.holder[self.key]
        return found

    def put(self, text: str) -> None:
        self.holder[self.key] = text


def slots(doc: Any, without: frozenset[str] = SETTINGS) -> Iterator[Slot]:
    """The texts of a request or a reply, in their order, ``without`` these of its members."""
    top: list[tuple[Any, Any, str]] = (
        [(doc, key, str(key)) for key in doc if key not in without] if isinstance(doc, dict) else []
    )
    if isinstance(doc, list):
        top = [(doc, n, f"[{n}]") for n in range(len(doc))]
    stack: list[tuple[Any, Any, str, bool]] = [(*each, False) for each in reversed(top)]
    while stack:
        holder, key, path, free = stack.pop()
        value = holder[key]
        if key == "result" and isinstance(holder, dict) and holder.get("type") == "image_generation_call":
            continue  # an image
        if isinstance(value, str):
            if value and (free or key not in PLAIN or (key == "data" and holder.get("type") == "text")):
                yield Slot(holder, key, path)
        elif isinstance(value, dict):
            inside = free or (key in FREE and path != "response")
            stack += [(value, name, f"{path}.{name}", inside) for name in reversed(value)]
        elif isinstance(value, list):
            stack += [(value, n, f"{path}[{n}]", free) for n in reversed(range(len(value)))]
