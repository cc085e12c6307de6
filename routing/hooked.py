"""The hooks of one request, at each phase that it comes to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from routing.call import Call
from routing.choosing import NONE
from routing.decision import Decision
from routing.errors import GatewayError
from routing.hook_call import HookCall
from routing.hook_stream import Stream
from routing.hook_words import Answer, Attempt, HookReply
from routing.hooks import Hooks
from routing.table import Target

if TYPE_CHECKING:
    from routing.held import Held


class Hooked:
    """``hooks`` are those of the snapshot that the request began with."""

    def __init__(self, hooks: Hooks, call: Call) -> None:
        self.hooks = hooks
        self.call = HookCall(call)
        self._entry = call.entry
        self._told = False

    @property
    def reads(self) -> bool:
        """Whether a hook is to see whole replies: none of those may go out unseen."""
        return any(step.applies(self.call) for step in self.hooks.after_response)

    async def begin(self, resolve: Callable[[], object]) -> Answer | None:
        return await self.hooks.begin(self.call, resolve) if self.hooks.before_request else None

    async def order(self, decision: Decision) -> None:
        """Let hooks say which of the targets are tried, in which order. Raises GatewayError where they leave none."""
        if self.hooks.choose:
            decision.targets = await self.hooks.order(self.call, decision.targets)
            if not decision.targets:
                raise GatewayError("overloaded", NONE, retry_after=30)

    async def aim(self, target: Target, request: Any) -> None:
        if self.hooks.before_attempt:
            attempt = Attempt(target, request, self.call.model, self._entry.attempts)
            await self.hooks.aim(self.call, attempt)

    def stream(self, raw: bool) -> Stream | None:
        """What the events of a stream pass through, None where no hook wants them."""
        return self.hooks.stream(self.call, raw) if self.hooks.on_event else None

    async def finish(self, held: Held) -> None:
        """The reply is complete: a whole one is about to be sent, a stream has been. Raises GatewayError for a whole one
        that must not be sent."""
        if not self.hooks.after_response:
            return
        body = held.whole()
        reply = HookReply(held.told_status(), body is None, body)
        if body is None:
            with suppress(GatewayError):  # it has been sent, and the failure has been told
                await self.hooks.end(self.call, reply, self._entry)
            return
        after = await self.hooks.end(self.call, reply, self._entry)
        if after is not None and after is not body:
            held.edited(after)

    async def answered(self, body: bytes, stream: bool) -> bytes:
        """A hook has answered: what of it is sent."""
        if not self.hooks.after_response:
            return body
        reply = HookReply(200, stream, None if stream else body)
        after = await self.hooks.end(self.call, reply, self._entry)
        return body if stream or after is None else after

    async def fail(self, error: GatewayError) -> GatewayError:
        """Tell of an error, once for a request; what the client is to read."""
        if self._told or not self.hooks.on_error:
            return error
        self._told = True
        return await self.hooks.fail(self.call, error)
