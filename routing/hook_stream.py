"""The events of one streamed reply on their way through the hooks that want them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from providers.events import Event
from providers.sse import Event as SseEvent
from providers.sse import write
from routing.hook_call import HookCall
from routing.hook_words import Misuse

if TYPE_CHECKING:
    from routing.hooks import Hooks, Step

VOCABULARY = get_args(Event)


class Stream:
    """Events of SSE where the reply is passed through, else of the vocabulary. Comments pass by the hooks.

    A hook that has failed, and may, is left out of the rest of the stream."""

    def __init__(self, hooks: Hooks, call: HookCall, steps: list[Step], raw: bool) -> None:
        self._hooks = hooks
        self._call = call
        self._steps = list(steps)
        self._kind: Any = SseEvent if raw else VOCABULARY

    async def feed(self, events: Sequence[Any]) -> list[Any]:
        """What the client gets for these. Raises GatewayError."""
        found = list(events)
        for step in list(self._steps):
            found = await self._through(step, found)
        return found

    async def end(self) -> list[Any]:
        """What hooks have kept back, at the end of the stream. Raises GatewayError."""
        found: list[Any] = []
        for step in list(self._steps):
            found = await self._through(step, found)
            if step in self._steps and (last := getattr(step.hook, "on_end", None)) is not None:
                found += await self._told(replace(step, run=last, phase="on_end"), (), self._call)
        return found

    async def _through(self, step: Step, events: list[Any]) -> list[Any]:
        found: list[Any] = []
        for event in events:
            if step not in self._steps or (isinstance(event, SseEvent) and event.silent):
                found.append(event)
            else:
                found += await self._told(step, (event,), self._call, event)
        return found

    async def _told(self, step: Step, instead: tuple[Any, ...], *given: Any) -> list[Any]:
        """What the hook returns, as a list; ``instead`` where it has failed."""
        try:
            return [self._written(each, instead) for each in _each(await self._hooks.run(step, self._call, *given))]
        except Exception as error:
            self._hooks.failed(step, self._call.request_id, error)
        self._steps = [each for each in self._steps if each.hook is not step.hook]
        return list(instead)

    def _written(self, event: Any, given: tuple[Any, ...]) -> Any:
        if given and event is given[0]:
            return event
        if not isinstance(event, self._kind):
            raise Misuse(f"a hook returned a {type(event).__name__} into a stream")
        if isinstance(event, SseEvent) and event.data not in event.raw:
            return event._replace(raw=write(event.data, event.type), silent=False)
        return event


def _each(found: Any) -> Iterable[Any]:
    if found is None:
        return ()
    return found if isinstance(found, list) or type(found) is tuple else (found,)
