"""What a model can do: as its provider lists it, and as the operator says it on the model's row, which counts more.

What nobody says counts as possible, and a length that nobody says as unlimited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from providers.chat import BadRequest
from providers.fields import Fields

#: The optional abilities, and what each is called in a reason.
FLAGS = {
    "stream": "streaming",
    "tools": "tools",
    "structured": "structured output",
    "images": "images",
    "audio": "audio",
    "video": "video",
    "documents": "documents",
}


class Asks(Protocol):
    """What a request needs."""

    @property
    def least_tokens(self) -> int: ...

    def has(self, flag: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Ability:
    """``flags`` are those that are known, ``context_length`` is in tokens, 0 where it is not known."""

    flags: tuple[tuple[str, bool], ...] = ()
    context_length: int = 0

    def reject(self, asks: Asks) -> str:
        """Why the model cannot do what the request needs, "" if it can as far as one knows."""
        for flag, able in self.flags:
            if not able and asks.has(flag):
                return f"its model has no {FLAGS[flag]}"
        if self.context_length and asks.least_tokens > self.context_length:
            return (
                f"its model has room for {self.context_length} tokens, and the input has at least {asks.least_tokens}"
            )
        return ""


def flags_of(members: Fields) -> tuple[tuple[str, bool], ...]:
    """The flags that stand in an object, taken out of it."""
    return tuple((name, flag) for name in FLAGS if (flag := members.flag(name)) is not None)


def size_of(members: Fields, name: str) -> int:
    """A number from 0 up, 0 where there is none. Raises BadRequest."""
    value = members.integer(name) or 0
    if value < 0:
        raise members.wrong(name, "a number from 0 up")
    return value


def none_left(members: Fields, known: tuple[str, ...]) -> None:
    """Raises BadRequest where the object has other members."""
    if unknown := next(iter(members.left), None):
        raise BadRequest(members.at(unknown), f"is not known; known are {', '.join(known)}")


def read_ability(doc: Any) -> Ability | None:
    """What ``{"tools": false, "context_length": 8192}`` says of a model, None for nothing. Raises BadRequest."""
    members = Fields({} if doc is None else doc, "abilities")
    found = Ability(flags_of(members), size_of(members, "context_length"))
    none_left(members, (*FLAGS, "context_length"))
    return None if found == Ability() else found


def ability_of(details: Any, said: Any = None) -> Ability | None:
    """What a provider's own ``details`` of a model tell of it, and over that what the operator ``said``."""
    told = _told(details) if isinstance(details, dict) else Ability()
    own = read_ability(said) or Ability()
    flags = {**dict(told.flags), **dict(own.flags)}
    found = Ability(tuple(flags.items()), own.context_length or told.context_length)
    return None if found == Ability() else found


#: The room for input and output together: OpenRouter and Mistral; Groq; vLLM; Together; Cohere; Gemini.
LENGTHS = ("context_length", "max_context_length", "context_window", "max_model_len", "inputTokenLimit")
MEDIA = {"image": "images", "audio": "audio", "video": "video", "file": "documents", "document": "documents"}


def _told(details: dict[str, Any]) -> Ability:
    lengths = [value for name in LENGTHS if isinstance(value := details.get(name), int) and value > 0]
    flags: dict[str, bool] = {}
    architecture = details.get("architecture")  # OpenRouter
    takes = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    if isinstance(takes, list) and takes:
        flags |= dict.fromkeys(MEDIA.values(), False) | {MEDIA[kind]: True for kind in takes if kind in MEDIA}
    knows = details.get("supported_parameters")  # OpenRouter
    if isinstance(knows, list) and knows:
        flags["tools"] = "tools" in knows
    able = details.get("capabilities")  # Mistral
    if isinstance(able, dict):
        names = (("function_calling", "tools"), ("vision", "images"))
        flags |= {flag: able[name] for name, flag in names if isinstance(able.get(name), bool)}
    return Ability(tuple(flags.items()), lengths[0] if lengths else 0)
