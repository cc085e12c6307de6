"""The tools of a chat completions request, and the choice among them, written from the vocabulary."""

from __future__ import annotations

from dataclasses import replace

from providers.chat import Chat, CustomTool, FunctionTool, HostedTool, Json, NamespaceTool, Tool
from providers.dialects.lacks import without
from providers.dialects.loss import Loss
from providers.dialects.openai_chat_read_request import DIALECT
from providers.dialects.openai_parts import write_cache
from providers.dialects.tool_names import ANY_NAME, Naming, ToolNames, as_function, names_for
from providers.fields import present
from providers.schemas import EMPTY

NAMING = Naming(namespaces=False)


def names_of(chat: Chat | None) -> ToolNames:
    """The tools' names there; without freeform tools also a chat client's own are mapped."""
    if chat is None or "custom_tools" not in chat.lacks:
        return names_for(chat, DIALECT, NAMING)
    return ToolNames(chat, replace(ANY_NAME if chat.dialect == DIALECT else NAMING, custom=False))


def write_tools(chat: Chat, loss: Loss, names: ToolNames) -> Json:
    doc: Json = {}
    for tool in chat.tools:
        _tool(tool, "", doc, loss, names)
    if chat.tool_choice is not None:
        doc |= _choice(chat, loss, names)
    if without(chat, "parallel_tool_calls", chat.parallel_tool_calls, loss):
        return doc
    if chat.parallel_tool_calls is not None and ("tools" in doc or not loss.foreign):
        doc["parallel_tool_calls"] = chat.parallel_tool_calls
    return doc


def _tool(tool: Tool, namespace: str, doc: Json, loss: Loss, names: ToolNames) -> None:
    if isinstance(tool, NamespaceTool):
        for inner in tool.tools:
            _tool(inner, tool.name, doc, loss, names)
    elif isinstance(tool, HostedTool):
        _hosted(tool, doc, loss)
    elif isinstance(tool, CustomTool) and not names.naming.custom:
        loss.own("tools", tool.extra)
        _function(as_function(tool), names.wire(tool.name, namespace), doc, loss)
    elif isinstance(tool, CustomTool):
        name = names.wire(tool.name, namespace)
        body = {"name": name} | present(description=tool.description, format=_grammar(tool.format, loss))
        wire = {"type": "custom", "custom": body | loss.own("tools", tool.extra)}
        doc.setdefault("tools", []).append(wire)
    else:
        _function(tool, names.wire(tool.name, namespace), doc, loss)


def _grammar(form: Json | None, loss: Loss) -> Json | None:
    """The Responses API has a grammar one level higher."""
    if not loss.foreign or form is None or form.get("type") != "grammar":
        return form
    return {"type": "grammar", "grammar": {name: value for name, value in form.items() if name != "type"}}


def _function(tool: FunctionTool, name: str, doc: Json, loss: Loss) -> None:
    extra = dict(loss.own("tools", tool.extra))
    body: Json = {"name": name}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.parameters is not None or loss.foreign:
        body["parameters"] = tool.parameters or (EMPTY if loss.foreign else {})
    body |= present(strict=tool.strict) | extra.pop("function", {})
    if extra.pop("legacy", False):
        doc.setdefault("functions", []).append(body)
        return
    wire = {"type": "function", "function": body} | extra
    if tool.cache is not None and not loss.foreign:
        wire |= write_cache(tool.cache)
    elif tool.cache is not None:
        loss.drop_cache(tool.cache)
    doc.setdefault("tools", []).append(wire)


def _hosted(tool: HostedTool, doc: Json, loss: Loss) -> None:
    if tool.dialect == DIALECT and "web_search_options" in tool.raw:
        doc["web_search_options"] = tool.raw["web_search_options"]
    elif tool.dialect == DIALECT:
        doc.setdefault("tools", []).append(tool.raw)
    elif tool.kind != "web_search":
        loss.refuse(f"tools.{tool.kind}")
    else:
        if tool.domains or tool.blocked_domains:
            loss.refuse("tools.web_search.domains")
        loss.unless([("tools.web_search.max_uses", tool.max_uses)])
        place = {"user_location": {"type": "approximate", "approximate": tool.location}} if tool.location else {}
        doc["web_search_options"] = place


def _choice(chat: Chat, loss: Loss, names: ToolNames) -> Json:
    choice = chat.tool_choice
    assert choice is not None
    extra = dict(loss.own("tool_choice", choice.extra))
    member = "function_call" if extra.pop("legacy", False) else "tool_choice"
    kinds = {} if names.naming.custom else {"custom": "function"}
    wired = [(kinds.get(kind, kind), names.chosen(name)) for kind, name in choice.names]
    if choice.mode in ("auto", "none", "required"):
        return {member: extra.get("word", choice.mode)}
    if choice.mode == "allowed":
        tools = [{"type": kind, kind: {"name": name}} for kind, name in wired]
        allowed = {"mode": choice.allowed_mode, "tools": tools}
        return {member: {"type": "allowed_tools", "allowed_tools": allowed} | extra}
    kind, name = wired[0]
    if kind not in ("function", "custom"):
        if loss.foreign:
            loss.refuse(f"tool_choice.{kind}")
        return {member: extra}
    if member == "function_call":
        return {member: {"name": name} | extra}
    return {member: {"type": kind, kind: {"name": name}} | extra}
