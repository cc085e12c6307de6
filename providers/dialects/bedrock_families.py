"""Families of models behind the Converse API, and what each takes besides: thinking and sampling of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from providers.chat import Chat, Json, Reasoning
from providers.dialects.anthropic_write_request import BY_BUDGET, WITHOUT_SAMPLING, thinking_budget, unthought
from providers.dialects.efforts import budget_of, effort_of
from providers.dialects.loss import Loss
from providers.fields import present

#: Families of models by their ids; an ARN may tell none.
FAMILIES = (
    ("claude", re.compile(r"claude")),
    ("nova-2", re.compile(r"amazon\.nova-2")),
    ("nova", re.compile(r"amazon\.nova")),
    ("gpt-oss", re.compile(r"openai\.gpt-oss|moonshot")),
    ("gpt", re.compile(r"openai\.gpt")),
    ("qwen", re.compile(r"qwen\.")),
    ("unknown", re.compile(r"\Aarn:")),
)
#: Claude with strict tools and without the rule that calls may always be parallel.
SINCE_4_5 = re.compile(r"claude-[a-z]+-(4-([5-9]|1\d)(\D|$)|[5-9])")
FIELDS = "additionalModelRequestFields"


def family(model: str) -> str:
    """The family of ``model``, "" where it is none of those that differ."""
    return next((name for name, fits in FAMILIES if fits.search(model)), "")


def fields_of(chat: Chat, doc: Json, loss: Loss, kin: str) -> Json:
    """``additionalModelRequestFields``: what the model itself takes besides. May take back settings from ``doc``."""
    own = chat.extra.get(FIELDS)
    fields: Json = dict(own) if isinstance(own, dict) else {}
    if (top_k := chat.sampling.top_k) is not None:
        if kin == "claude" and not WITHOUT_SAMPLING.search(chat.model):
            fields["top_k"] = int(top_k)
        elif kin in ("nova", "nova-2"):
            fields["inferenceConfig"] = {"topK": int(top_k)}
        else:
            loss.drop("top_k")
    config = doc.get("toolConfig", {})
    if chat.parallel_tool_calls is False and config:
        if kin == "claude" and SINCE_4_5.search(chat.model) and "toolChoice" not in config:
            fields["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
        else:
            loss.drop("parallel_tool_calls")
    if chat.reasoning is not None:
        loss.own("reasoning", chat.reasoning.extra)
        fields |= THINKERS.get(kin, _thoughtless)(_Asked(chat, chat.reasoning, doc, fields, loss))
    return fields


class _Asked(NamedTuple):
    """A request to think, and what it may have to change."""

    chat: Chat
    reasoning: Reasoning
    doc: Json
    fields: Json
    loss: Loss

    def unset(self, *names: str) -> None:
        """Drop settings that the model does not take while it thinks."""
        words = {"topP": "top_p"}
        inference = self.doc.get("inferenceConfig", {})
        for name in names:
            if inference.pop(name, self.fields.pop(name, None)) not in (None, 1):
                self.loss.drop(words.get(name, name))
        if not inference:
            self.doc.pop("inferenceConfig", None)


def _thoughtless(asked: _Asked) -> Json:
    if budget_of(asked.reasoning) != 0:
        asked.loss.drop("reasoning")
    return {}


def _claude(asked: _Asked) -> Json:
    effort = effort_of(asked.reasoning)
    if asked.doc.get("toolConfig", {}).get("toolChoice") and budget_of(asked.reasoning) != 0:
        asked.loss.drop("reasoning")  # forced tools and thinking exclude each other
        return {}
    if BY_BUDGET.search(asked.chat.model):
        if unthought(asked.doc["messages"]) and budget_of(asked.reasoning) != 0:
            asked.loss.drop("reasoning")
            return {}
        return _claude_by_budget(asked)
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    asked.unset("temperature", "top_k")
    effort = "low" if effort == "minimal" else effort
    return {"thinking": {"type": "adaptive"}} | present(output_config=present(effort=effort))


def _claude_by_budget(asked: _Asked) -> Json:
    budget = thinking_budget(asked.reasoning, asked.chat.max_tokens, asked.loss)
    if not budget:
        return {}
    asked.unset("temperature", "top_k")
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _nova_2(asked: _Asked) -> Json:
    effort = effort_of(asked.reasoning)
    if effort == "none":
        return {"reasoningConfig": {"type": "disabled"}}
    effort = {"minimal": "low", "xhigh": "high", "max": "high", "": "medium"}.get(effort, effort)
    if effort == "high" and asked.chat.max_tokens is not None:
        effort = "medium"  # the highest takes no limit of tokens, and the client's own limit goes first
        asked.loss.drop("reasoning")
    if effort == "high":
        asked.unset("temperature", "topP")
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}


def _three_steps(name: str) -> Callable[[_Asked], Json]:
    """Models that know low, medium and high, and cannot be told not to think."""

    def told(asked: _Asked) -> Json:
        effort = effort_of(asked.reasoning)
        if effort == "none":
            asked.loss.drop("reasoning")
        return present(**{name: {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}.get(effort, effort)})

    return told


def _gpt(asked: _Asked) -> Json:
    effort = effort_of(asked.reasoning)
    return present(reasoning=present(effort="low" if effort == "minimal" else effort))


THINKERS: dict[str, Callable[[_Asked], Json]] = {
    "claude": _claude,
    "nova-2": _nova_2,
    "gpt-oss": _three_steps("reasoning_effort"),
    "gpt": _gpt,
    "qwen": _three_steps("reasoning_config"),
}
