"""A reply of the vocabulary: the events that it consists of, whole or streamed."""

from __future__ import annotations

from dataclasses import dataclass

from providers.chat import Audio, Citation, File, Image, Json, Video
from providers.usage import Usage


@dataclass(slots=True)
class Started:
    """``dialect`` made ``id``; ``created`` is a Unix time in seconds, 0 where none was told."""

    id: str = ""
    model: str = ""
    created: int = 0
    dialect: str = ""
    service_tier: str = ""


@dataclass(slots=True)
class TextDelta:
    text: str
    choice: int = 0


@dataclass(slots=True)
class ThinkingDelta:
    """``summary``: the vendor's summary of it, not the reasoning itself."""

    text: str
    summary: bool = False
    choice: int = 0
    form: str = ""


@dataclass(slots=True)
class Signed:
    """The proof or ciphertext of what was just sent: of thinking, or (Gemini) of a text."""

    signature: str
    signed_by: str
    redacted: bool = False
    choice: int = 0
    id: str = ""
    form: str = ""


@dataclass(slots=True)
class ToolStarted:
    """``index`` counts the tool calls of a choice from 0."""

    index: int
    id: str
    name: str
    kind: str = "function"
    namespace: str = ""
    signature: str = ""
    signed_by: str = ""
    choice: int = 0


@dataclass(slots=True)
class ToolDelta:
    index: int
    arguments: str
    choice: int = 0


@dataclass(slots=True)
class RefusalDelta:
    text: str
    choice: int = 0


@dataclass(slots=True)
class Cited:
    citation: Citation
    choice: int = 0


@dataclass(slots=True)
class MediaAdded:
    """An image, audio or file that the model made, whole."""

    part: Image | Audio | Video | File
    choice: int = 0


@dataclass(slots=True)
class AudioDelta:
    """Spoken output: base64 ``data`` and its ``transcript``, each possibly empty."""

    data: str = ""
    transcript: str = ""
    id: str = ""
    expires_at: int = 0
    choice: int = 0


@dataclass(slots=True)
class Logprobs:
    """Of the tokens just sent: ``{token, logprob, bytes, top_logprobs}`` each."""

    tokens: list[Json]
    kind: str = "content"
    choice: int = 0


@dataclass(slots=True)
class Break:
    """The next delta of the same kind starts a part of its own."""

    choice: int = 0


@dataclass(slots=True)
class OpaqueAdded:
    """A whole item that only ``dialect`` knows."""

    dialect: str
    type: str
    raw: Json
    choice: int = 0


@dataclass(slots=True)
class Used:
    """Usage so far; the last one counts."""

    usage: Usage


@dataclass(slots=True)
class Finished:
    """``reason`` is stop, stop_sequence, length, tool_calls, content_filter, refusal, pause, context_window or error;
    ``native`` is the upstream's own word."""

    reason: str
    choice: int = 0
    stop_sequence: str = ""
    native: str = ""


@dataclass(slots=True)
class Failed:
    """The reply ended in an error. ``kind`` is a word of the error table, ``code`` and ``type`` the upstream's own;
    ``request_id`` is the client's, where it is to stand beside the message."""

    kind: str
    message: str
    status: int = 502
    code: str = ""
    type: str = ""
    param: str = ""
    request_id: str = ""


Event = (
    Started | TextDelta | ThinkingDelta | Signed | ToolStarted | ToolDelta | RefusalDelta | Cited | MediaAdded
    | AudioDelta | Logprobs | Break | OpaqueAdded | Used | Finished | Failed
)  # fmt: skip


def cut_short() -> Failed:
    """What a reader adds where a stream ended without its terminator."""
    return Failed("network", "The upstream's stream ended before it was complete.", 502, "stream_incomplete")
