"""What a writer could not say: the harmless is listed, the rest is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from providers.chat import Cache, Chat, Json, Unsupported

#: Top-level fields of one dialect without which a request means something else.
MEANINGFUL = {"audio", "background", "cachedContent", "container", "conversation", "grammar", "prompt"}


#: How a member was written, or an item's place in its vendor's store: nothing that another API would miss.
FORMS = {"form", "index", "id", "mime", "status", "type", "word"}


#: What some APIs cannot say -> whether a request says it.
ASKED: dict[str, Callable[[Chat], object]] = {
    "frequency_penalty": lambda chat: chat.sampling.frequency_penalty,
    "logit_bias": lambda chat: chat.sampling.logit_bias,
    "logprobs": lambda chat: chat.logprobs,
    "metadata": lambda chat: chat.metadata,
    "min_p": lambda chat: chat.sampling.min_p,
    "modalities": lambda chat: {*map(str.lower, chat.modalities)} - {"text"},
    "n": lambda chat: (chat.n or 1) > 1,
    "presence_penalty": lambda chat: chat.sampling.presence_penalty,
    "previous_response_id": lambda chat: chat.previous_id,
    "prompt_cache_key": lambda chat: chat.cache_key,
    "repetition_penalty": lambda chat: chat.sampling.repetition_penalty,
    "seed": lambda chat: chat.sampling.seed is not None,
    "stop": lambda chat: chat.stop,
    "top_logprobs": lambda chat: chat.top_logprobs,
    "user": lambda chat: chat.user,
    "verbosity": lambda chat: chat.verbosity,
}


class Loss:
    """``dropped`` names fields of the client's request that are not in the upstream's; paths bear no indices, so that
    they stay few. ``lenient`` lists also what would be refused."""

    __slots__ = ("dialect", "dropped", "foreign", "lenient")

    def __init__(self, chat: Chat, dialect: str, lenient: bool = False) -> None:
        self.dialect = dialect
        self.foreign = chat.dialect != dialect
        self.lenient = lenient
        self.dropped: list[str] = []

    def drop(self, field: str) -> None:
        if field not in self.dropped:
            self.dropped.append(field)

    def refuse(self, field: str) -> None:
        """Raise Unsupported, or list the field where the route is lenient."""
        if not self.lenient:
            raise Unsupported(field, self.dialect)
        self.drop(field)

    def refuse_asked(self, chat: Chat, *fields: str) -> None:
        """Refuse each of ``fields`` that ``chat`` asks for: without it the reply means something else."""
        for field in fields:
            if ASKED[field](chat):
                self.refuse(field)

    def drop_asked(self, chat: Chat, *fields: str) -> None:
        """List each of ``fields`` that ``chat`` asks for."""
        for field in fields:
            if ASKED[field](chat):
                self.drop(field)

    def refuse_silence(self, found: Sequence[object]) -> None:
        """Refuse a request of which nothing is left to answer: no API takes one."""
        if self.foreign and not found:
            self.refuse("messages")

    def own(self, path: str, extra: Json) -> Json:
        """``extra`` where this dialect wrote it; else nothing, and its names are listed."""
        if not self.foreign or not extra:
            return extra
        for name, value in extra.items():
            if name in FORMS or value in (None, False, "", [], {}):
                continue
            if not path and name in MEANINGFUL:
                self.refuse(name)
            self.drop(f"{path}.{name}" if path else name)
        return {}

    def drop_cache(self, cache: Cache | None) -> None:
        if cache is not None:
            self.drop(cache.form)

    def unless(self, held: Iterable[tuple[str, object]]) -> None:
        """List each (field, value) whose value says something."""
        for field, value in held:
            if value not in (None, "", [], {}):
                self.drop(field)
