"""Asks a moderation model about what clients write, and what they get whole, and refuses what it flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from routing.hooks import HookCall, HookReply, Means, Refusal, option
from routing.shipped.texts import slots
from tenants.ledger import Entry

#: Where turns of a conversation stand.
TURNS = ("messages[", "input[", "contents[")
REFUSED = "The {} was refused by this gateway's content policy."
LONGEST = 30_000


class Moderate:
    on_failure = "closed"
    seconds = 15.0

    @dataclass(frozen=True)
    class Options:
        model: str = option(help="The moderation model, by a name that a route of this gateway has.")
        look_at: Literal["last", "all"] = option("last", "The last turn, or the whole conversation.")
        categories: tuple[str, ...] = option((), "Which categories are refused; none stands for what is flagged.")
        threshold: float = option(
            0.0, "The score from which a category is refused; 0 for the model's own.", minimum=0, maximum=1
        )
        replies: bool = option(False, "Ask about whole replies too. Streams are not held for it.")

    def __init__(self, options: Options, means: Means) -> None:
        self.options = options
        self.ask = means.ask

    async def before_request(self, call: HookCall) -> None:
        if call.form != "json" or call.endpoint == "moderations":
            return  # its own question comes back as a request
        found = [(slot.path, slot.text) for slot in slots(call.doc)]
        turns = [path.partition("]")[0] for path, _ in found if path.startswith(TURNS)]
        if self.options.look_at == "last" and turns:
            found = [(path, text) for path, text in found if path.partition("]")[0] == turns[-1]]
        await self._check([text for _, text in found], "request")

    async def after_response(self, call: HookCall, reply: HookReply, entry: Entry) -> None:
        if self.options.replies and call.endpoint != "moderations" and reply.body is not None and reply.status < 300:
            await self._check([slot.text for slot in slots(reply.doc)], "reply")

    async def _check(self, texts: list[str], what: str) -> None:
        pieces = [text[at : at + LONGEST] for text in texts for at in range(0, len(text), LONGEST)]
        if not pieces:
            return
        said = await self.ask("moderations", {"model": self.options.model, "input": pieces})
        if any(self._flags(result) for result in said["results"]):
            raise Refusal(REFUSED.format(what), "invalid_request", code="content_policy_violation")

    def _flags(self, result: dict[str, Any]) -> bool:
        wanted, threshold = self.options.categories, self.options.threshold
        if not wanted and not threshold:
            return bool(result["flagged"])
        told = result["category_scores" if threshold else "categories"]
        return any(told[name] >= (threshold or 1) for name in wanted or told if told.get(name) is not None)
