"""The attempts of one request: at each target as often as its plan allows, until one has a reply that can be relayed.

Time that a request may take until then is bounded by one deadline: waits in queues, pauses and attempts together. Once
the client has seen a byte nothing is tried again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from providers.errors import TimedOut, UpstreamError
from providers.upstream import Credential, Reply
from routing import refusals, requests, settlement
from routing.breaker import FAILED, HALF_OPEN, NEUTRAL, OK, verdict
from routing.call import Call
from routing.choosing import unusable
from routing.client import Client
from routing.decision import Decision
from routing.errors import GatewayError, UpstreamSaid, of_upstream
from routing.held import Held
from routing.queue import Place, Queue, QueueFull
from routing.retries import Outcome, Plan, outcome_of
from routing.table import Table, Target
from routing.visit import Failure, Next, Visit

if TYPE_CHECKING:
    from routing.gateway import Gateway

LATE: Final = TimedOut("no answer from the provider in time")
DEADLINE: Final = 540.0
TOO_MANY: Final = 429


class Attempts:
    __slots__ = (
        *("call", "client", "decision", "gateway", "left", "measured", "plan", "switches", "table", "traffic", "visit"),
    )

    def __init__(self, gateway: Gateway, call: Call, client: Client, table: Table, decision: Decision) -> None:
        self.gateway = gateway
        self.call = call
        self.client = client
        self.table = table
        self.decision = decision
        self.traffic = gateway.traffic
        self.left: list[Target] = []
        self.visit: Visit | None = None
        self.switches = 0  # of credentials, at this target
        route = call.resolved.route if call.resolved is not None else None
        self.measured = route is not None and route.strategy == "lowest_latency"
        deadline = self.traffic.clock() + (route.deadline if route is not None else DEADLINE)
        self.plan = Plan(deadline, 0, self.traffic.retries, gateway.rng, self.traffic.pace)

    @property
    def final(self) -> bool:
        """Whether the target of now is the last that can be tried."""
        return not self.left or bool(self.client.started)

    async def first(self) -> Held:
        """The first reply that can be relayed. Raises the last error, in words for the client."""
        self.traffic.retries.request()
        self.left = list(self.decision.targets)
        error: GatewayError | None = None
        while self.left:
            target = self.left.pop(0)
            try:
                return await self._at(target)
            except Next as moved:
                # What an upstream has said tells more than that another could not be asked.
                error = moved.error if error is None or self.call.entry.attempts else error
                if moved.refused:
                    self.left = [*self.decision.standing_in(moved.refused), *self.left]
            if self.client.started:
                break
            if not self.plan.remaining(self.traffic.clock()):
                error = GatewayError("timeout", "No provider answered in time.")
                break
        assert error is not None  # there was a target, and it has come to nothing
        if self.call.entry.attempts > 1 and error.status != TOO_MANY:
            error.headers.setdefault("x-should-retry", "false")  # that was done here
        raise error

    def leave(self, ok: bool) -> None:
        """The reply has been relayed, or has broken off."""
        if self.visit is not None:
            self.visit.verdict = (OK if self.visit.verdict == OK else NEUTRAL) if ok else FAILED
            self.visit.leave()

    async def _at(self, target: Target) -> Held:
        """Try one target. Raises Next, or GatewayError where no other could do better."""
        gateway, call, traffic = self.gateway, self.call, self.traffic
        gateway.metrics.leave(call)
        call.aim(target)
        gateway.metrics.enter(call)
        ticket = traffic.allow(target.upstream, call.entry.upstream_model)
        if ticket is None:
            self._note("breaker open", traffic.clock())
            raise Next(unusable(traffic, target.upstream, call.entry.upstream_model))
        visit = Visit(traffic, target, ticket)
        try:
            if target.upstream.max_concurrent:
                queue = traffic.queues[target.upstream.id]
                visit.place = queue.take(call.tenant.id, call.tenant.queue_weight) or await self._wait(target, queue)
            if len(self.decision.targets) > 1:
                visit.counted = True
                traffic.state.enter(target.id)
            held = await self._until(visit)
        except BaseException:
            visit.leave()
            raise
        if ticket.breaker is not None and ticket.breaker.state == HALF_OPEN:
            ticket.record(visit.verdict, traffic.clock())  # others wait for this answer, and the reply may take minutes
        self.visit = visit
        return held

    async def _wait(self, target: Target, queue: Queue) -> Place:
        """Wait for a place at the provider. Raises Next where there is none in time."""
        upstream, traffic, tenant = target.upstream, self.traffic, self.call.tenant
        began = traffic.clock()
        patience = min(upstream.queue_wait, self.plan.remaining(began))
        try:
            return await queue.enter(tenant.id, tenant.queue_weight, patience)
        except QueueFull as full:
            self._note("queue full", began)
            raise Next(_full(upstream.name, full)) from None

    async def _until(self, visit: Visit) -> Held:
        upstream = visit.target.upstream
        self.switches = 0
        if self.call.entry.attempts:
            self.plan.aim(upstream.max_retries, self.traffic.clock())
        else:
            self.plan.left = upstream.max_retries
        while True:
            credential = self._credential(visit.target)
            began = self.traffic.clock()
            try:
                held = await self._once(visit.target, credential)
            except Failure as failure:
                self._failed(visit, failure, began)
                if failure.pause is None:
                    raise Next(failure.error, failure.refused) from None
                await self.traffic.sleep(failure.pause)
                continue
            answered = held.reply.status < 300
            self._note("ok" if answered else held.reply.status, began)
            visit.verdict = OK if answered else NEUTRAL
            self.call.outcome = "" if answered else held.reply.status
            if self.measured and answered:
                self.traffic.state.measure(visit.target.id, self.traffic.clock() - began)
            return held

    def _failed(self, visit: Visit, failure: Failure, began: float) -> None:
        self._note(failure.outcome, began)
        settlement.fail(self.call, failure.outcome)
        visit.verdict = verdict(failure.outcome)
        if self.measured and visit.verdict == FAILED:
            self.traffic.state.measure(visit.target.id, self.traffic.clock() - began, ok=False)

    def _credential(self, target: Target) -> Credential:
        """The credential for the next attempt. Raises Next where all rest."""
        upstream, call, traffic = target.upstream, self.call, self.traffic
        if len(upstream.credentials) == 1 and not traffic.rotation:
            call.credential = upstream.credentials[0]
            return call.credential
        if call.credential_id:  # an object that the request names is known to this account only
            for credential in upstream.credentials:
                if credential.id == call.credential_id:
                    call.credential = credential
                    return credential
        found = traffic.rotation.choose(upstream, traffic.wall(), self.gateway.rng, call.entry.upstream_model)
        if found is None:
            self._note("credentials rest", traffic.clock())
            raise Next(unusable(traffic, upstream, call.entry.upstream_model))
        call.credential = found
        return found

    async def _once(self, target: Target, credential: Credential) -> Held:
        """One attempt. Raises Failure, or GatewayError where the request itself is at fault."""
        gateway, call, client = self.gateway, self.call, self.client
        upstream = target.upstream
        try:
            request = await requests.write(call, target, self.table, gateway.fetcher)
        except refusals.Inexpressible as loss:
            raise Failure(f"cannot express {loss.field}", None, refusals.inexpressible(call, loss)) from None
        if call.setback is not None:
            await settlement.renew(gateway, call)
        call.begin_attempt()
        if call.hooked is not None:
            await call.hooked.aim(target, request)
        client.within(max(0.001, self.plan.remaining(self.traffic.clock())))  # no bound at all would be 0
        client.limit(upstream.first_byte_timeout, LATE)
        try:
            reply = await gateway.connections.open(
                upstream, call.method, request.path, request.headers, request.body, request.query, credential
            )
            return await self._take(reply, request, target, credential)
        except UpstreamError as error:
            raise self._broken(error, target) from error
        except asyncio.CancelledError:
            cause = client.cause()
            if not isinstance(cause, UpstreamError):
                raise cause or asyncio.CancelledError from None
            raise self._broken(cause, target) from None
        finally:
            client.deadline = client.bound = 0.0

    async def _take(self, reply: Reply, request: requests.Request, target: Target, credential: Credential) -> Held:
        """Take in as much of a reply as it takes to be sure of it; a refusal is judged."""
        gateway, call = self.gateway, self.call
        held: Held | None = None
        try:
            if request.dropped:
                gateway.metrics.dropped(call)
            held = requests.hold(gateway, call, reply, request)
            call.entry.upstream_request_id = refusals.upstream_request_id(reply)
            if not 200 <= reply.status < 300:
                await self._judge(reply, held, target, credential)
            else:
                await held.wait(self.client, call.idle)
                self._refused(held)
        except BaseException:
            if held is not None:
                call.spend(held.tap)
            await reply.close()
            raise
        if self.traffic.rotation and reply.status != TOO_MANY:
            self.traffic.rotation.succeed(target.upstream, credential, call.entry.upstream_model)
        gateway.metrics.attempt(call.entry.provider, "ok")
        return held

    def _refused(self, held: Held, status: int = 200) -> None:
        """Raises Failure where the provider has refused the request itself and another target stands in for that."""
        refused = held.refusal() if self.decision.spare and not self.client.started else ""
        if refused and any(each.fallback_for in (refused, "both") for each in self.decision.spare):
            error = GatewayError("invalid_request", "The provider refused the request.", status=max(400, status))
            self.call.entry.status, self.call.entry.error_kind = 0, ""  # another may do better
            raise Failure(f"refused: {refused}", None, error, refused)

    async def _judge(self, reply: Reply, held: Held, target: Target, credential: Credential) -> None:
        """A status that is no success: again, the next target, or what the client is told. Raises Failure, GatewayError."""
        status = reply.status
        pause = None
        if refusals.moves(status):
            pause = self._again(status, reply.headers, target, credential)
            if pause is not None or not self.final:
                self.gateway.metrics.attempt(self.call.entry.provider, str(status))
                raise Failure(status, pause, refusals.error_of(reply))
        try:
            await refusals.judge(self.call, reply, held)
        except GatewayError as error:
            self.gateway.metrics.attempt(self.call.entry.provider, str(status))
            raise Failure(status, None, error) from None
        if held.ours:
            pause = self._again(401, reply.headers, target, credential)
            raise Failure(401, pause, GatewayError("server_error", refusals.REFUSED, headers=refusals.NO_RETRY))
        self._refused(held, status)

    def _broken(self, error: UpstreamError, target: Target) -> Failure:
        """An attempt without a reply that could be relayed."""
        self.gateway.metrics.attempt(self.call.entry.provider, error.kind)
        said = isinstance(error, UpstreamSaid)
        outcome: Outcome = error.status if said else outcome_of(error)
        pause = None if self.client.started else self.plan.next(outcome, 0, self.traffic.clock())
        return Failure(outcome, pause, of_upstream(error))

    def _again(self, status: int, headers: dict[bytes, bytes], target: Target, credential: Credential) -> float | None:
        """Seconds until the same target is tried again after this status, at once where another credential is there."""
        traffic, upstream, model = self.traffic, target.upstream, self.call.entry.upstream_model
        traffic.rotation.punish(upstream, credential, status, headers, traffic.wall(), model)
        if self.client.started:
            return None
        others = status in refusals.ABOUT_CREDENTIALS and self.switches < len(upstream.credentials) - 1
        if others and not self.call.credential_id and traffic.rotation.fresh(upstream, traffic.wall(), model):
            self.switches += 1
            traffic.retries.debit(traffic.clock())
            return 0.0
        return self.plan.next(status, refusals.retry_after(status, headers, traffic.wall()), traffic.clock())

    def _note(self, outcome: Outcome, began: float) -> None:
        """Write down in the decision what an attempt has come to."""
        call, now = self.call, self.traffic.clock()
        took = int((now - began) * 1_000_000)
        target = call.target.id if call.target is not None else 0
        credential = call.credential.id if call.credential is not None else 0
        self.decision.attempts.append((target, outcome, max(0, call.elapsed_us() - took), took, credential))


def _full(provider: str, full: QueueFull) -> GatewayError:
    return GatewayError(
        "overloaded",
        f"The provider {provider} has no place free: position {full.position} in its queue, about {full.eta:.0f} seconds.",
        retry_after=max(1.0, full.eta),
    )
