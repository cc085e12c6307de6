"""What routing asks of a request: cheap facts of its body and headers, found out when they are asked for.

The bodies of all client dialects are read by shape, without the vocabulary; garbage never raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from providers.hints import has_any

if TYPE_CHECKING:
    from routing.call import Call

BYTES_PER_TOKEN = 4
#: Hardly any text has more bytes to a token: what is too long by this measure surely is.
MOST_BYTES_PER_TOKEN = 6
MEDIUM_TOKENS = 1000  # of an image, a sound or a document
#: Parts by the ``type`` that OpenAI's and Anthropic's dialects give them.
PARTS = {
    "image": "images",
    "image_url": "images",
    "input_image": "images",
    "computer_screenshot": "images",
    "input_audio": "audio",
    "video_url": "video",
    "document": "documents",
    "file": "documents",
    "input_file": "documents",
}
#: No body has a medium without one of these, unless it hides it behind an escape.
HINTS = (b'"type"', b'Data"', b'_data"', b"\\u00")
NO_MEDIA: tuple[frozenset[str], int, int] = (frozenset(), 0, 0)
MEDIA = frozenset({"images", "audio", "video", "documents"})
MEDIA_TYPES = {"image": "images", "audio": "audio", "video": "video"}
#: Where a dialect has its turns, and where parts hold parts.
TURNS = ("messages", "contents", "input")
INNER = ("content", "parts", "output", "functionResponse", "function_response")
GEMINI_DATA = ("inlineData", "inline_data", "fileData", "file_data")
SYSTEM = ("system", "instructions", "systemInstruction", "system_instruction")
#: What may change from one turn to the next although the text is the same.
UNSTABLE = frozenset({"type", "role", "cache_control", "id", "status"})
PREFIX_CHARACTERS = 8192
PLAIN = frozenset({"role", "content"})
MAX_LEADING_TURNS = 64


class Facts:
    """``size`` is the body's in bytes, ``headers`` have lower-case names, ``now`` is seconds since the epoch."""

    def __init__(
        self,
        doc: Mapping[str, Any],
        *,
        size: int = 0,
        stream: bool = False,
        headers: Mapping[bytes, bytes] | None = None,
        tags: Sequence[str] = (),
        tenant: str = "",
        tenant_id: int = 0,
        key_id: int = 0,
        end_user: str = "",
        now: float = 0,
        body: bytes = b"",
    ) -> None:
        self.doc = doc
        self.input_bytes = size
        self.stream = stream
        self.headers = headers or {}
        self.tags = tags
        self.tenant = tenant
        self.tenant_id = tenant_id
        self.key_id = key_id
        self.end_user = end_user
        self.now = now
        self._body = body
        self._found: tuple[frozenset[str], int, int] | None = None

    def has(self, flag: str) -> bool:
        """Whether the request uses what ``flag`` (one of FLAGS) names."""
        return flag in self._media[0] if flag in MEDIA else bool(getattr(self, flag))

    @property
    def tools(self) -> bool:
        return bool(self.doc.get("tools") or self.doc.get("functions"))

    @property
    def structured(self) -> bool:
        """Whether the reply must follow a schema."""
        doc = self.doc
        formats = (doc.get("response_format"), _at(doc, "text", "format"), _at(doc, "output_config", "format"))
        if any(isinstance(found, dict) and found.get("type") == "json_schema" for found in formats):
            return True
        config = doc.get("generationConfig", doc.get("generation_config"))
        return isinstance(config, dict) and any(
            config.get(name) for name in ("responseSchema", "response_schema", "responseJsonSchema")
        )

    @property
    def _media(self) -> tuple[frozenset[str], int, int]:
        """The kinds of media in the turns, how many there are, and the characters that they take in the body."""
        if self._found is None:
            self._found = self._look()
        return self._found

    def _look(self) -> tuple[frozenset[str], int, int]:
        if self._body and not has_any(self._body, HINTS):
            return NO_MEDIA
        kinds: set[str] = set()
        count = characters = 0
        left: list[Any] = [self.doc.get(name) for name in TURNS]
        while left:
            item = left.pop()
            if isinstance(item, list):
                left.extend(item)
            elif isinstance(item, dict):
                if kind := _medium(item):
                    kinds.add(kind)
                    count += 1
                    characters += _held(item)
                else:
                    left.extend(item[name] for name in INNER if name in item)
        return frozenset(kinds), count, characters

    @property
    def input_tokens(self) -> int:
        """A guess from the size, media counted by the piece."""
        _, count, held = self._media
        return -(-max(0, self.input_bytes - held) // BYTES_PER_TOKEN) + MEDIUM_TOKENS * count

    @property
    def least_tokens(self) -> int:
        """What the input surely has: its text alone, and sparse at that."""
        return max(0, self.input_bytes - self._media[2]) // MOST_BYTES_PER_TOKEN

    @property
    def conversation(self) -> str:
        """What stays the same over all turns of a conversation: the client's own cache key, else a hash of the system's
        words and the first of the user's. "" where there is neither."""
        named = self.doc.get("prompt_cache_key")
        if isinstance(named, str) and named:
            return f"{self.tenant_id}:{named[:PREFIX_CHARACTERS]}"
        system, user = _beginning(self.doc)
        if not system and not user:
            return ""
        words = f"{len(system)}:{system}{user}".encode("utf-8", "surrogatepass")
        return blake2b(words, digest_size=16).hexdigest()


def facts_of(call: Call, now: float) -> Facts:
    """The facts of a call whose body and head have been read; ``now`` is seconds since the epoch."""
    return Facts(
        call.doc,
        size=len(call.body),
        stream=call.stream,
        headers=call.named,
        tags=call.entry.tags,
        tenant=call.tenant.name,
        tenant_id=call.tenant.id,
        key_id=call.key.id,
        end_user=call.entry.end_user,
        now=now,
        body=call.body,
    )


def _at(doc: Mapping[str, Any], outer: str, inner: str) -> Any:
    found = doc.get(outer)
    return found.get(inner) if isinstance(found, dict) else None


def _medium(part: dict[str, Any]) -> str:
    """The kind of medium that a part is, "" for none."""
    kind = part.get("type")
    if isinstance(kind, str) and kind in PARTS:
        return PARTS[kind]
    for name in GEMINI_DATA:
        if isinstance(data := part.get(name), dict):
            media_type = str(data.get("mimeType") or data.get("mime_type") or "")
            return MEDIA_TYPES.get(media_type.partition("/")[0], "documents")
    return ""


def _held(part: dict[str, Any]) -> int:
    """The characters of a medium's data: in the part itself or one object further in."""
    values = list(part.values())
    for value in part.values():
        if isinstance(value, dict):
            values += value.values()
    return sum(len(value) for value in values if isinstance(value, str))


def _beginning(doc: Mapping[str, Any]) -> tuple[str, str]:
    """The system's words and the first user's, as much of both as PREFIX_CHARACTERS."""
    system = [doc[name] for name in SYSTEM if doc.get(name)]
    turns = next((doc[name] for name in (*TURNS, "prompt") if doc.get(name)), None)
    first: Any = turns if isinstance(turns, str) else None
    for turn in turns[:MAX_LEADING_TURNS] if isinstance(turns, list) else ():
        role = _role(turn)
        if role == "user":
            first = turn
            break
        if role in ("system", "developer"):
            system.append(turn)
    return _words(system), _words(first)


def _role(turn: Any) -> str:
    """A bare text and a message without a role are the user's; other items of the Responses API are nobody's."""
    if not isinstance(turn, dict):
        return "user"
    role = turn.get("role") or ("user" if turn.get("type", "message") == "message" else "")
    return role if isinstance(role, str) else ""


def _words(value: Any) -> str:
    """The texts in ``value``, in order, without what tells only their form."""
    if isinstance(value, dict) and value.keys() == PLAIN and isinstance(text := value["content"], str):
        return text[:PREFIX_CHARACTERS]  # as most are
    found: list[str] = []
    room = PREFIX_CHARACTERS
    left = [value]
    while left and room > 0:
        item = left.pop()
        if isinstance(item, str):
            found.append(item[:room])
            room -= len(item)
        elif isinstance(item, list):
            left.extend(reversed(item[:MAX_LEADING_TURNS]))
        elif isinstance(item, dict):
            left.extend(member for name, member in reversed(item.items()) if name not in UNSTABLE)
    return "\n".join(found)
