"""What stands in the turns of a request: text, which its bytes bound, pictures, and what cannot be seen from outside.

Only shapes that are known count as seen: whatever is not listed here hides what it holds.
"""

from __future__ import annotations

from typing import Any, Final

#: Members that hold nothing but text, whatever is inside.
TEXT: Final = frozenset(
    "role text name id call_id tool_call_id tool_calls function_call arguments refusal status phase namespace is_error"
    " tool_use_id input cache_control citations title context annotations logprobs thinking reasoning reasoning_content"
    " prefix prompt_cache_breakpoint detail format filename summary code action error server_label server_name execution"
    " thought functionCall executableCode executable_code codeExecutionResult code_execution_result index"
    " approval_request_id approve reason query url page_age stdout stderr return_code caller video_metadata"
    " videoMetadata mediaResolution media_resolution mimeType mime_type pending_safety_checks"
    " acknowledged_safety_checks channel recipient end_turn agent is_image arguments_json scheduling".split()
)
#: Members that hold turns or parts.
NESTED: Final = frozenset(
    "content parts output functionResponse function_response response source tools tool tool_references"
    " reasoning_details outputs".split()
)
#: Members that only their maker can read: what is in them may be longer than they are, as they may be packed.
SEALED: Final = frozenset("signature encrypted_content data thoughtSignature thought_signature encrypted_index".split())
#: Parts by ``type`` that hold only what the members above do.
PLAIN: Final = frozenset(
    "text input_text output_text summary_text reasoning_text refusal thinking redacted_thinking tool_use tool_result"
    " function_call function_call_output custom_tool_call custom_tool_call_output message reasoning function custom"
    " server_tool_use mcp_tool_use mcp_tool_result mcp_list_tools mcp_call mcp_approval_request mcp_approval_response"
    " computer_call computer_call_output local_shell_call local_shell_call_output shell_call shell_call_output"
    " apply_patch_call apply_patch_call_output tool_search_call tool_search_output additional_tools"
    " bash_code_execution_tool_result bash_code_execution_result code_execution_tool_result code_execution_result"
    " text_editor_code_execution_tool_result text_editor_code_execution_result search_result document"
    " reasoning.text reasoning.summary reasoning.encrypted namespace".split()
)
PICTURES: Final = frozenset(("image", "image_url", "input_image", "computer_screenshot"))
#: Members of a picture that hold its data or say where it is.
PICTURE_DATA: Final = frozenset(("image_url", "url", "data"))
SEALED_FACTOR: Final = 4  # text is hardly ever packed to less than its fourth


class Seen:
    """``held`` are characters of the body that are data of pictures, ``sealed`` those that only their maker can read;
    ``hidden`` is what hides a part of the input, "" if nothing does; ``tools`` are those that stand in turns; ``walked``
    says that there was more than plain texts."""

    __slots__ = ("held", "hidden", "pictures", "sealed", "tools", "walked")

    def __init__(self) -> None:
        self.hidden = ""
        self.walked = False
        self.pictures = self.held = self.sealed = 0
        self.tools: list[Any] = []

    def read(self, field: str, value: Any) -> None:
        """Take in what stands in a field of the request: a text, or turns, or parts."""
        if value is None or value.__class__ is str:
            return
        if value.__class__ is not list:
            self.hide(field)
            self.walked = True
            return
        left: list[Any] = []
        for turn in value:
            if turn.__class__ is dict and len(turn) == 2 and "role" in turn:
                content = turn.get("content")  # as most are
                if content.__class__ is str:
                    continue
            left.append(turn)
        self.walked |= bool(left)
        while left:
            item = left.pop()
            if item.__class__ is dict:
                if len(item) == 2 and item.get("type") == "text" and "text" in item:
                    continue
                self._part(item, left)
            elif item.__class__ is list:
                left.extend(item)

    def hide(self, name: str) -> None:
        self.hidden = self.hidden or name[:64]

    def _part(self, item: dict[str, Any], left: list[Any]) -> None:
        kind = item.get("type")
        if kind is not None and (kind.__class__ is not str or kind not in PLAIN):
            self._other(kind, item)
            return
        if kind == "reasoning" and not (item.get("encrypted_content") or item.get("content")):
            self.hide("reasoning")  # the upstream has kept it
        for name, value in item.items():
            if name in TEXT or name == "type" or not value:
                continue
            if name in NESTED:
                self._nested(item, name, value, left)
            elif name in SEALED and value.__class__ is str:
                self.sealed += len(value)
            elif name in ("inlineData", "inline_data"):
                self._inline(value)
            else:
                self.hide(name)

    def _nested(self, item: dict[str, Any], name: str, value: Any, left: list[Any]) -> None:
        if name in ("tools", "tool"):
            self.tools.extend(value if value.__class__ is list else [value])
        elif name == "source" and value.__class__ is dict:
            self._source(value, left)
        elif name == "response" or value.__class__ is str:
            pass  # what a function says is text
        else:
            left.append(value)

    def _source(self, source: dict[str, Any], left: list[Any]) -> None:
        """Of a document."""
        if source.get("type") == "content":
            left.append(source.get("content"))
        elif source.get("type") != "text":
            self.hide("document")

    def _other(self, kind: Any, item: dict[str, Any]) -> None:
        """A part that is no text."""
        if kind.__class__ is not str or kind not in PICTURES:
            self.hide(kind if kind.__class__ is str else "type")
            return
        self.pictures += 1
        for name, value in item.items():
            for inner, each in value.items() if value.__class__ is dict else ((name, value),):
                if inner in PICTURE_DATA and each.__class__ is str:
                    self.held += len(each)

    def _inline(self, value: Any) -> None:
        """Gemini's data: a picture, or a text in base64."""
        medium = value.get("mimeType", value.get("mime_type")) if value.__class__ is dict else None
        if medium.__class__ is not str or not medium.startswith(("image/", "text/")):
            self.hide("inlineData")
        elif medium.startswith("image/"):
            self.pictures += 1
            self.held += len(data) if (data := value.get("data")).__class__ is str else 0
