"""An Ollama chat request, written from the vocabulary.

A message's content is one string, beside it stand images, thinking and tool calls. There is no word for how a tool is
to be chosen: only which tools are offered.
"""

from __future__ import annotations

from collections.abc import Iterable

from providers.chat import (
    Chat,
    CustomTool,
    File,
    FunctionTool,
    HostedTool,
    Image,
    Json,
    Message,
    NamespaceTool,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from providers.dialects import turns
from providers.dialects.efforts import effort_of
from providers.dialects.loss import Loss
from providers.dialects.tiers import request_tier
from providers.dialects.tool_names import Naming, ToolNames, as_function, as_object, names_for, wrapped
from providers.fields import present
from providers.schemas import EMPTY, inlined

DIALECT = "ollama"
NAMING = Naming(allowed=r"[A-Za-z0-9_.:-]", longest=128, custom=False, namespaces=False)
#: The efforts that ``think`` knows by name, and what stands for the others.
EFFORTS: dict[str, str | bool] = {
    "none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high",
}  # fmt: skip


def write_request(chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]:
    """The body for ``chat`` and the names of what it leaves out. Raises Unsupported."""
    loss = Loss(chat, DIALECT, lenient)
    writer = _Messages(loss, names_for(chat, DIALECT, NAMING))
    writer.system(chat.system)
    for message in turns.prepared_for(chat, loss):
        writer.add(message)
    loss.refuse_silence(writer.found)
    doc: Json = {"model": chat.model, "messages": writer.found}
    doc |= present(tools=_tools(chat, loss, writer.names)) | _format(chat, loss) | _think(chat.reasoning, loss)
    doc |= _logprobs(chat, loss)
    _unsayable(chat, loss)
    extra = dict(loss.own("", chat.extra))
    options = _options(chat) | extra.pop("options", {})
    # Where nothing is said, this API streams.
    return doc | present(options=options) | {"stream": bool(chat.stream)} | extra, loss.dropped


def _options(chat: Chat) -> Json:
    given = chat.sampling
    return present(
        temperature=given.temperature,
        top_p=given.top_p,
        top_k=given.top_k,
        min_p=given.min_p,
        frequency_penalty=given.frequency_penalty,
        presence_penalty=given.presence_penalty,
        repeat_penalty=given.repetition_penalty,
        seed=given.seed,
        stop=chat.stop,
        num_predict=chat.max_tokens,
    )


def _format(chat: Chat, loss: Loss) -> Json:
    """A schema is always kept to, strict or not."""
    form = chat.response_format
    if form is None or form.kind == "text":
        return {}
    loss.own("response_format", form.extra)
    loss.unless([("response_format.description", form.description)])
    return {"format": form.schema or "json"}


def _think(given: Reasoning | None, loss: Loss) -> Json:
    if given is None:
        return {}
    loss.own("reasoning", given.extra)
    loss.unless([("reasoning.summary", given.summary), ("reasoning.include", "no" if given.include is False else "")])
    effort = effort_of(given)
    if effort and effort not in EFFORTS:
        loss.drop("reasoning.effort")
    if effort:
        return {"think": EFFORTS.get(effort, True)}
    return {"think": True} if given.enabled or given.budget is not None else {}


def _logprobs(chat: Chat, loss: Loss) -> Json:
    if not loss.foreign:
        return present(logprobs=chat.logprobs, top_logprobs=chat.top_logprobs)
    return {"logprobs": True} | present(top_logprobs=chat.top_logprobs) if chat.logprobs else {}


def _unsayable(chat: Chat, loss: Loss) -> None:
    loss.refuse_asked(chat, "logit_bias", "n", "previous_response_id", "modalities")
    loss.drop_asked(chat, "metadata", "user", "prompt_cache_key", "verbosity")
    request_tier(chat, loss)
    loss.drop_cache(chat.cache)
    if chat.parallel_tool_calls is False and chat.tools:
        loss.drop("parallel_tool_calls")


# ---------------------------------------------------------------- messages


class _Messages:
    def __init__(self, loss: Loss, names: ToolNames) -> None:
        self.loss = loss
        self.names = names
        self.found: list[Json] = []

    def system(self, parts: list[Part]) -> None:
        """What stands apart from the messages is one message before them, its parts as paragraphs."""
        doc = {"role": "system", "content": "\n\n".join(self._texts(parts))} | present(images=self._images(parts))
        if len(doc) > 2 or doc["content"]:
            self.found.append(doc)

    def add(self, message: Message) -> None:
        extra = self.loss.own("messages", message.extra)
        results, others = turns.results_apart(message)
        shown: list[Part] = []
        for result in results:
            shown += self._result(result)
        if message.role == "assistant":
            self._assistant(others, extra)
            return
        role = "user" if message.role == "tool" else message.role
        content = "\n".join(self._texts([*shown, *others]))
        doc = {"role": "system" if role == "developer" else role, "content": content}
        doc |= present(images=self._images([*shown, *others])) | ({} if results else extra)
        if len(doc) > 2 or content or not (results or self.loss.foreign):
            self.found.append(doc)

    def _assistant(self, parts: list[Part], extra: Json) -> None:
        spoken: list[Part] = [part for part in parts if not isinstance(part, Thinking | ToolCall)]
        calls = [self._call(part) for part in parts if isinstance(part, ToolCall)]
        thoughts = [self._thought(part) for part in parts if isinstance(part, Thinking)]
        # An answer may have been cut into pieces, say by its citations.
        doc: Json = {"role": "assistant", "content": "".join(self._texts(spoken))}
        doc |= present(thinking="\n\n".join(filter(None, thoughts)), images=self._images(spoken), tool_calls=calls)
        doc |= extra
        if len(doc) > 2 or doc["content"] or not self.loss.foreign:
            self.found.append(doc)

    def _thought(self, part: Thinking) -> str:
        """Its words, whoever signed them: nothing is proved here. A summary or ciphertext is not the thought."""
        self.loss.unless([("messages.thinking.signature", part.texts and part.signature)])
        if not part.texts:
            self.loss.drop("messages.thinking")
        return "\n\n".join(part.texts)

    def _call(self, call: ToolCall) -> Json:
        if call.signature:
            self.loss.drop("messages.thought_signature")
        self.loss.drop_cache(call.cache)
        extra = self.loss.own("messages.tool_calls", call.extra)
        arguments = wrapped(call.arguments) if call.kind == "custom" else call.arguments
        body = {"name": self.names.wire(call.name, call.namespace), "arguments": as_object(arguments)}
        return present(id=call.id) | {"type": "function", "function": body} | extra

    def _result(self, result: ToolResult) -> list[Part]:
        """Adds the tool message; gives its images, which only a user message shows to every model."""
        self.loss.drop_cache(result.cache)
        extra = self.loss.own("messages.content", result.extra)
        shown: list[Part] = [part for part in result.parts if isinstance(part, Image)]
        texts = self._texts(result.parts)
        if result.is_error:
            texts = ["Error:", *texts]
        doc: Json = {"role": "tool", "content": "\n".join(texts)}
        name = self.names.wire(result.name, result.namespace)
        self.found.append(doc | present(tool_name=name, tool_call_id=result.call_id) | extra)
        return shown

    def _texts(self, parts: list[Part]) -> list[str]:
        """The words of each part that has some; what is neither words nor an image is refused."""
        return [text for part in parts if (text := self._text(part))]

    def _text(self, part: Part) -> str:
        if isinstance(part, Opaque | Thinking):
            self.loss.drop(f"messages.content.{part.type}" if isinstance(part, Opaque) else "messages.thinking")
            return ""
        self.loss.drop_cache(getattr(part, "cache", None))
        if isinstance(part, Image):
            return ""
        if isinstance(part, Text):
            self.loss.own("messages.content", part.extra)
            self.loss.unless([("messages.thought_signature", part.signature), ("messages.citations", part.citations)])
            return part.text
        if isinstance(part, Refusal):
            return part.text
        if isinstance(part, File) and (source := turns.plain(part.source)).kind == "text":
            self.loss.own("messages.content", part.extra)
            self.loss.unless([("messages.content.name", part.name), ("messages.content.citations", part.citations)])
            return source.value
        self.loss.refuse(f"messages.content.{type(part).__name__.lower()}")
        return ""

    def _images(self, parts: Iterable[Part]) -> list[str]:
        found = []
        for part in parts:
            if not isinstance(part, Image):
                continue
            self.loss.own("messages.content", part.extra)
            self.loss.unless([("messages.content.detail", part.detail if part.detail != "auto" else "")])
            if part.source.kind == "data":
                found.append(part.source.value)
            else:
                self.loss.refuse(f"messages.content.image.{part.source.kind}")
        return found


# ---------------------------------------------------------------- tools


def _tools(chat: Chat, loss: Loss, names: ToolNames) -> list[Json]:
    """The tools that may be called. A call cannot be forced here, and to leave it to the model means something else."""
    choice = chat.tool_choice or ToolChoice("auto")
    if not chat.tools:
        return []
    loss.own("tool_choice", choice.extra)
    if choice.mode in ("required", "tool") or (choice.mode == "allowed" and choice.allowed_mode == "required"):
        loss.refuse("tool_choice")
    if choice.mode == "none" or (choice.mode == "allowed" and choice.allowed_mode == "none"):
        return []
    only = {name for _, name in choice.names} if choice.mode in ("allowed", "tool") else None
    return [found for tool in chat.tools for found in _tool(tool, "", only, loss, names)]


def _tool(tool: Tool, space: str, only: set[str] | None, loss: Loss, names: ToolNames) -> list[Json]:
    if isinstance(tool, NamespaceTool):
        return [found for inner in tool.tools for found in _tool(inner, tool.name, only, loss, names)]
    if isinstance(tool, HostedTool):
        loss.refuse(f"tools.{tool.kind}")
        return []
    if only is not None and tool.name not in only:
        return []
    name = names.wire(tool.name, space)
    extra = loss.own("tools", tool.extra)
    wire = _function(as_function(tool) if isinstance(tool, CustomTool) else tool, name, loss)
    return [wire | extra]


def _function(tool: FunctionTool, name: str, loss: Loss) -> Json:
    loss.drop_cache(tool.cache)
    loss.unless([("tools.strict", tool.strict or None)])
    body: Json = {"name": name} | present(description=tool.description)
    if tool.parameters is not None or loss.foreign:
        body["parameters"] = _parameters(tool.parameters or {}) if loss.foreign else tool.parameters
    return {"type": "function", "function": body}


def _parameters(schema: Json) -> Json:
    """References are put in their place: a property that is one would lose all that it says."""
    whole = inlined(schema) if "$defs" in schema or "definitions" in schema else schema
    found = EMPTY | whole
    return found if isinstance(found["type"], str) else found | {"type": "object"}
