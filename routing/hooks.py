"""Hooks: classes of the operator's that see, edit, answer and refuse requests, at the phases that they have methods for.

    authenticate(headers) -> Identity | None       whose request this is, where no key of the gateway's own says it
    before_request(call) -> Answer | None          edits the request, answers it, or refuses it
    choose(call, choices) -> list[Choice] | None   which targets are tried, in which order
    before_attempt(call, attempt)                  edits what one upstream gets
    on_event(call, event) -> what to send          of a stream: the event, another, a list, or None for nothing
    on_end(call) -> what more to send              beside on_event: the stream is over
    after_response(call, reply, entry)             the reply is complete; a whole one can be edited
    on_error(call, trouble)                        the request has failed

A class takes ``(options, means)``: its own ``Options``, read from JSON, and what it may use of the gateway. Each method
is sync (it only computes; with ``blocking = True`` it runs in a thread) or async, and has ``seconds`` of time. One that
raises or takes longer has failed: ``on_failure`` says whether the request goes on without it ("open") or is refused
("closed"). The texts of failures reach nobody but the log; to refuse in words, raise ``Refusal``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from providers.light import Header
from routing.call import Call
from routing.errors import GatewayError
from routing.hook_call import HookCall
from routing.hook_classes import PHASES, HookSettingError, load
from routing.hook_options import OptionError, option, options_class, options_schema, read_options
from routing.hook_stream import Stream
from routing.hook_words import Answer, Attempt, Choice, HookReply, Identity, Means, Misuse, Refusal, Trouble, written
from routing.limited import limited
from routing.table import Target
from tenants.ledger import Entry

__all__ = [
    "NO_HOOKS", "Answer", "Attempt", "Choice", "HookCall", "HookReply", "HookSettingError", "Hooks", "Identity", "Means",
    "Misuse", "OptionError", "Refusal", "Row", "Stream", "Trouble", "current", "load", "option", "options_schema",
    "read_options", "written",
]  # fmt: skip

log = logging.getLogger(__name__)

SECONDS = 5.0
#: The request whose hook runs now, if any: what the hook asks of the gateway is for that one's tenant.
current: ContextVar[HookCall | None] = ContextVar("current", default=None)
FAILED = "A hook of this gateway failed."


@dataclass(frozen=True, slots=True)
class Row:
    """A hook as the admin has it: ``name`` as in ``load``, ``options`` as JSON. Lower ``order`` comes first. ``tenant_id``
    and ``route_id`` None stand for all; ``on_failure`` "" and ``seconds`` 0 for what the class declares."""

    name: str
    options: str = field(default="{}", repr=False)  # secrets are in it
    order: int = 0
    tenant_id: int | None = None
    route_id: int | None = None
    on_failure: str = ""
    seconds: float = 0.0
    id: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One method of one hook."""

    row: Row
    phase: str
    hook: Any
    run: Callable[..., Any]
    closed: bool
    seconds: float
    blocking: bool

    def applies(self, call: HookCall) -> bool:
        row = self.row
        return row.tenant_id in (None, call.tenant.id) and row.route_id in (None, call.route_id)


class Absent:
    """Stands for a hook that could not be made. What it was to do is not known, so nothing passes."""

    on_failure = "closed"

    def before_request(self, call: HookCall) -> None:
        raise Misuse("this hook could not be loaded")


Report = Callable[[str, str, str, BaseException], None]


def to_log(request_id: str, hook: str, phase: str, error: BaseException) -> None:
    """The kind of a failure, never its text: it may hold what a client sent, or a secret of the options."""
    if phase == "load":
        log.error("hook %s cannot be made: nothing passes where it is to run: %s", hook, type(error).__name__)
    else:
        log.error("hook %s failed in %s of request %s: %s", hook, phase, request_id, type(error).__name__)


class Hooks:
    """All hooks of one snapshot, sorted into the phases once; a phase that nobody uses is an empty tuple.

    ``before`` is the last snapshot's: a hook whose row did not change lives on, with what it remembers.
    """

    def __init__(
        self,
        rows: Iterable[Row] = (),
        classes: Mapping[str, type] | None = None,
        means: Means | None = None,
        report: Report = to_log,
        before: Hooks | None = None,
        made: Iterable[Any] = (),
    ) -> None:
        self.report = report
        self.means = means or Means()
        self._made: dict[Row, Any] = {}
        steps: dict[str, list[Step]] = {phase: [] for phase in PHASES}
        for row in sorted(rows, key=lambda row: (row.order, row.id)):
            kept = before._made.get(replace(row, order=0)) if before is not None else None
            hook = self._made[replace(row, order=0)] = kept or self._make(row, classes or {})
            _sort(steps, row, hook)
        for hook in made:  # by a program and not from rows
            _sort(steps, Row(type(hook).__name__), hook)
        #: Nobody knows yet whose request it is: a hook of one tenant or route is not asked.
        self.authenticate = tuple(
            s for s in steps["authenticate"] if s.row.tenant_id is None and s.row.route_id is None
        )
        self.before_request = tuple(steps["before_request"])
        self.choose = tuple(steps["choose"])
        self.before_attempt = tuple(steps["before_attempt"])
        self.on_event = tuple(steps["on_event"])
        self.after_response = tuple(steps["after_response"])
        self.on_error = tuple(steps["on_error"])
        self._scopes = frozenset((step.row.tenant_id, step.row.route_id) for found in steps.values() for step in found)

    def concern(self, tenant_id: int, route_id: int) -> bool:
        """Whether any of them runs for this tenant and route. One that renames a model may bring others in."""
        scopes = self._scopes
        return (
            (None, None) in scopes
            or (tenant_id, None) in scopes
            or (None, route_id) in scopes
            or (tenant_id, route_id) in scopes
        )

    def _make(self, row: Row, classes: Mapping[str, type]) -> Any:
        try:
            found = classes[row.name]
            return found(read_options(options_class(found), orjson.loads(row.options)), self.means)
        except Exception as error:
            self.report("", row.name, "load", error)
            return Absent()

    async def run(self, step: Step, call: HookCall | None, *given: Any) -> Any:
        """What the method returns. Raises GatewayError if it refuses, and whatever it raises."""
        began = time.perf_counter()
        current.set(call)
        if step.blocking:
            return await limited(asyncio.to_thread(step.run, *given), step.seconds)
        found = step.run(*given)
        if inspect.isawaitable(found):
            return await limited(found, step.seconds)
        if time.perf_counter() - began > step.seconds:
            self.report(call.request_id if call is not None else "", step.row.name, step.phase, TimeoutError())
        return found

    def failed(self, step: Step, request_id: str, error: Exception) -> None:
        """Raises GatewayError where the request may not go on without the hook."""
        if isinstance(error, GatewayError):
            raise error
        self.report(request_id, step.row.name, step.phase, error)
        if step.closed:
            raise GatewayError("server_error", FAILED, status=500, code="hook_failed") from None

    async def _run(self, step: Step, call: HookCall, *given: Any) -> Any:
        """As ``run``; None where it failed and may."""
        try:
            return await self.run(step, call, call, *given)
        except Exception as error:
            self.failed(step, call.request_id, error)

    def names(self, call: Call) -> list[str]:
        """Those that apply to a call, in their order."""
        route_id = call.resolved.route.id if call.resolved is not None else None
        rows = {step.row for steps in self._steps() for step in steps}
        found = [r for r in rows if r.tenant_id in (None, call.tenant.id) and r.route_id in (None, route_id)]
        return [row.name for row in sorted(found, key=lambda row: (row.order, row.id))]

    def _steps(self) -> list[tuple[Step, ...]]:
        return [getattr(self, phase) for phase in PHASES]

    # the phases

    async def identify(self, headers: Sequence[Header], request_id: str) -> Identity | None:
        """Whose request it is, by the first hook that knows."""
        for step in self.authenticate:
            try:
                found = await self.run(step, None, list(headers))
            except Exception as error:
                self.failed(step, request_id, error)
                continue
            if isinstance(found, Identity):
                return found
        return None

    async def begin(self, call: HookCall, resolve: Callable[[], object]) -> Answer | None:
        """Let hooks see and edit the request; ``resolve`` finds its route again where one has renamed its model."""
        for step in self.before_request:
            if not step.applies(call):
                continue
            mark, model, found = call.mark(), call.model, None
            try:
                found = await self.run(step, call, call)
                call.take()
            except Exception as error:
                call.drop(mark)
                self.failed(step, call.request_id, error)
            if isinstance(found, Answer):
                return found
            if call.model != model:
                resolve()
        return None

    async def order(self, call: HookCall, targets: list[Target]) -> list[Target]:
        """The targets that are tried, in their order."""
        choices = Choice.of(targets, call.model)
        for step in self.choose:
            if step.applies(call) and (found := await self._run(step, call, list(choices))) is not None:
                known = set(choices)
                choices = [each for each in dict.fromkeys(found) if each in known]
        return [targets[each.position] for each in choices]

    async def aim(self, call: HookCall, attempt: Attempt) -> None:
        for step in self.before_attempt:
            if step.applies(call):
                await self._run(step, call, attempt)

    def stream(self, call: HookCall, raw: bool) -> Stream | None:
        """What the events of a stream pass through, of SSE (``raw``) or of the vocabulary; None where no hook wants them."""
        steps = [step for step in self.on_event if step.applies(call)]
        return Stream(self, call, steps, raw) if steps else None

    async def end(self, call: HookCall, reply: HookReply, entry: Entry) -> bytes | None:
        """The body of the reply as hooks leave it."""
        for step in self.after_response:
            if step.applies(call):
                try:
                    await self.run(step, call, call, reply, entry)
                    reply.take()
                except Exception as error:
                    reply.drop()
                    self.failed(step, call.request_id, error)
        return reply.body

    async def fail(self, call: HookCall, error: GatewayError) -> GatewayError:
        """Tell hooks of an error. One may raise Refusal, to have the client read something else."""
        for step in self.on_error:
            if step.applies(call):
                try:
                    await self._run(step, call, Trouble(error.kind, error.status, error.message, error.code))
                except Refusal as other:
                    error = other
                except GatewayError:
                    continue  # the hook has failed, which makes the error no other one
        return error


NO_HOOKS = Hooks()


def _sort(steps: dict[str, list[Step]], row: Row, hook: Any) -> None:
    closed = (row.on_failure or getattr(hook, "on_failure", "closed")) != "open"
    seconds = row.seconds or getattr(hook, "seconds", SECONDS)
    for phase, found in steps.items():
        if callable(run := getattr(hook, phase, None)):
            found.append(Step(row, phase, hook, run, closed, seconds, bool(getattr(hook, "blocking", False))))
