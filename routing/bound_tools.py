"""The tools of a request, by who runs them. The client's own are text; the upstream's own have it read what they find."""

from __future__ import annotations

import re
from typing import Any

from routing.bound_demand import Served
from routing.bound_fields import most

#: The client's own tools, by ``type``.
CHAT = re.compile(r"function|custom")
RESPONSES = re.compile(r"function|custom|namespace|computer(_use)?(_preview)?|local_shell|apply_patch")
MESSAGES = re.compile(r"custom|(computer|text_editor|bash|memory)_\d+")
#: What comes with one of a kind that the upstream has words of its own for.
BUILT_IN_TOKENS = 2_048
GEMINI = frozenset(("functionDeclarations", "function_declarations", "computerUse", "computer_use"))
#: The upstream's own whose uses can be capped -> what each use is counted as, "" where it is for free.
OPENAI_SERVED = {
    "web_search": "web_searches",
    "web_search_preview": "web_searches",
    "file_search": "storage_searches",
    "code_interpreter": "code_executions",
}
ANTHROPIC_SERVED = {
    "web_search": "web_searches",
    "web_fetch": "",
    "tool_search_tool_bm25": "",
    "tool_search_tool_regex": "",
}
#: Those that are for free and end with the upstream's own rounds: they need no cap, and take none.
FREE = frozenset(("tool_search_tool_bm25", "tool_search_tool_regex"))
_DATED = re.compile(r"_\d{4,8}(_\d\d){0,2}$")


class Tools:
    """``number`` counts the tools, ``built_in`` those of them whose words only the upstream knows; ``refused`` says that
    there are some whose use has no bound."""

    __slots__ = ("built_in", "number", "refused", "served")

    def __init__(self) -> None:
        self.number = self.built_in = 0
        self.refused = False
        self.served: list[Served] = []


def chat_tools(told: Any) -> Tools:
    """Of chat completions, where no upstream's tool can be capped."""
    return _by_type(told, CHAT, {})


def responses_tools(told: Any, inner: list[Any]) -> Tools:
    """``inner`` are tools that stand in the input: there none may be the upstream's."""
    found = _by_type(told, RESPONSES, OPENAI_SERVED)
    for extra in (inner, _grouped(told), _grouped(inner)):
        more = _by_type(extra, RESPONSES, {})
        found.number += more.number
        found.refused |= more.refused
    return found


def messages_tools(told: Any, inner: list[Any]) -> Tools:
    found = _by_type(told, MESSAGES, ANTHROPIC_SERVED)
    more = _by_type(inner, MESSAGES, {})
    found.refused |= more.refused
    found.number += more.number
    return found


def gemini_tools(told: Any) -> Tools:
    """Gemini's own have no caps."""
    found = Tools()
    for tool in _listed(told, found):
        if tool.__class__ is not dict:
            found.refused = True
            continue
        for name, value in tool.items():
            if name not in GEMINI:
                found.refused |= value is not None
            elif value.__class__ is list:
                found.number += len(value)
            elif value is not None:
                found.built_in += 1
    return found


def _listed(told: Any, found: Tools) -> list[Any]:
    if told.__class__ is list:
        return told
    found.refused = bool(told)
    return []


def _grouped(told: Any) -> list[Any]:
    """The tools inside of namespaces."""
    if told.__class__ is not list:
        return []
    groups = [tool.get("tools") for tool in told if tool.__class__ is dict and tool.get("type") == "namespace"]
    return [each for group in groups for each in (group if group.__class__ is list else [group])]


def _by_client(tool: dict[str, Any]) -> bool:
    """OpenAI's search for tools may be either's."""
    return tool.get("type") == "tool_search" and tool.get("execution") == "client"


def _by_type(told: Any, own: re.Pattern[str], served: dict[str, str]) -> Tools:
    found = Tools()
    for place, tool in enumerate(_listed(told, found)):
        found.number += 1
        kind = tool.get("type", "custom") if tool.__class__ is dict else None
        if kind is None and tool.__class__ is dict:
            kind = "custom"
        if kind in ("function", "custom"):
            continue
        if kind.__class__ is str and (own.fullmatch(kind) or _by_client(tool)):
            found.built_in += 1
        elif kind.__class__ is str and (name := _DATED.sub("", kind)) in served:
            cap = 0 if name in FREE else most(tool.get("max_uses"), zero=True)
            found.served.append(Served(place, served[name], cap))
        else:
            found.refused = True
    return found
