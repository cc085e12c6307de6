"""Reasoning effort in words and in tokens, either way.

The steps are those of OpenAI's and Anthropic's words; the budgets lie inside what Anthropic (at least 1,024) and Gemini
(up to 32,768) accept.
"""

from __future__ import annotations

from providers.chat import Reasoning

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32768}
WORDS = (*BUDGETS, "none")


def budget_of(reasoning: Reasoning) -> int | None:
    """Tokens to think with: 0 is off, -1 the model's own choice, None untold."""
    if reasoning.budget is not None:
        return reasoning.budget
    if reasoning.enabled is False or reasoning.effort == "none":
        return 0
    if reasoning.effort in BUDGETS:
        return BUDGETS[reasoning.effort]
    return -1 if reasoning.enabled else None


def effort_of(reasoning: Reasoning) -> str:
    """The word for it; empty where the model is to decide."""
    if reasoning.effort:
        return reasoning.effort
    if reasoning.enabled is False or reasoning.budget == 0:
        return "none"
    if reasoning.budget is None or reasoning.budget < 0:
        return ""
    return next((word for word, budget in BUDGETS.items() if reasoning.budget <= budget), "max")
