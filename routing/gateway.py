"""The data plane. ``Gateway.answer`` tells the story of one request; nothing here knows Django or a database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Unpack

from providers.errors import UpstreamError
from providers.media import Fetcher
from providers.upstream import Connections
from routing import admission, answers, counting, headers, incoming, responses, settlement, warming
from routing import body as bodies
from routing.apis import COUNT, counts
from routing.attempts import Attempts
from routing.background import Background
from routing.body import ClientGone
from routing.call import Call
from routing.choosing import choose
from routing.client import WHOLE, Client, Receive
from routing.decision import Decision
from routing.endpoint import Endpoint
from routing.errors import GatewayError, error_headers, write_error, write_event
from routing.hooked import Hooked
from routing.hooks import Answer, Hooks
from routing.keep_alive import stay_alive
from routing.library import Declared, Library
from routing.log import Log
from routing.metrics import Metrics
from routing.options import Options
from routing.own_headers import own_lines
from routing.seal import Seal
from routing.table import Table
from routing.traffic import Traffic
from routing.warden import Warden
from tenants.ledger import Entry, Ledger
from tenants.objects import MemoryStore, ObjectStore
from tenants.refills import Refills
from tenants.responses import MemoryResponses, ResponseStore
from tenants.uuid7 import uuid7, written

CANCELLED: Final = 499
#: Words of the usage row for replies that have broken off by the provider's doing.
BROKEN: Final = frozenset({"truncated", "timeout", "network"})


class Gateway(Library):
    """State of the data plane in one process. ``table`` is replaced whole, by whoever loads it, or ``declared``."""

    def __init__(
        self,
        connections: Connections | None = None,
        *,
        table: Table | None = None,
        ledger: Ledger | None = None,
        objects: ObjectStore | None = None,
        metrics: Metrics | None = None,
        log: Log | None = None,
        options: Options | None = None,
        fetcher: Fetcher | None = None,
        kept: ResponseStore | None = None,
        seal: Seal | None = None,
        refills: Refills | None = None,
        **declared: Unpack[Declared],
    ) -> None:
        self.kept = kept or MemoryResponses()
        self.seal = seal or Seal()
        self.table = table or Table()
        self.ledger = ledger if ledger is not None else Ledger()
        self.refills = refills
        self.objects = objects or MemoryStore()
        self.metrics = metrics or Metrics()
        self.log = log
        self.options = options or Options()
        self.budget = bodies.Budget(self.options.max_held)
        self.traffic = Traffic()
        self.traffic.breakers.changed = self.metrics.breaker
        self.warden = Warden(self.flush)
        self.draining = False
        self.streams: set[Call] = set()  # under way
        self.background = Background(self)
        self.active = 0
        self.rng = random.Random()
        self.declare(connections, fetcher, declared)

    def install(self, table: Table, workers: int = 1) -> None:
        """From now on requests go by ``table``; ``workers`` processes share the caps of its providers."""
        self.traffic.apply(table, workers)
        self.table = table

    def seen_by(self, table: Table) -> Gateway:
        """The same gateway by another table, for a request of its own."""
        other = Gateway(self.connections, table=table, ledger=self.ledger, log=self.log, options=self.options)
        other.kept, other.objects, other.seal, other.refills = self.kept, self.objects, self.seal, self.refills
        other.metrics, other.fetcher, other.budget = self.metrics, self.fetcher, self.budget
        other.traffic = self.traffic
        other.streams, other.background, other.warden = self.streams, self.background, self.warden
        other.draining, other.rng = self.draining, self.rng
        return other

    def flush(self) -> None:
        """Hand figures to Prometheus."""
        self.metrics.flush()
        self.metrics.upstreams(self.table.upstreams, self.traffic.queues)

    async def serve(
        self,
        endpoint: Endpoint,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Any,
        work: Callable[[Call, Client, Receive], Awaitable[None]] | None = None,
    ) -> None:
        """Answer one request whatever happens, and settle it: the funnel that every client endpoint passes."""
        call, client = self._begin(endpoint, scope, send)
        self.active += 1
        self.warden.add(client)
        try:
            await (work or self.answer)(call, client, receive)
        except GatewayError as error:
            await self._refuse(call, client, error)
        except UpstreamError as error:
            call.fail(error)  # in the middle of a reply that has no room for words: it ends early
        except ClientGone:
            if not client.served:
                call.entry.error_kind = "cancelled"
        except asyncio.CancelledError:
            call.entry.error_kind = "cancelled"
            cause = client.cause()
            if isinstance(cause, UpstreamError):
                call.fail(cause)
            elif not client.gone and cause is None:
                raise  # the server is going down
        except Exception as error:
            await self._refuse(call, client, self._unexpected(call, error))
        finally:
            self.active -= 1
            self.warden.remove(client)
            self._settle(call, client)

    def _begin(self, endpoint: Endpoint, scope: MutableMapping[str, Any], send: Any) -> tuple[Call, Client]:
        entry = Entry(uuid7())
        call = Call(endpoint, entry, written(entry.id), scope, self.objects)
        entry.dialect, entry.endpoint = endpoint.dialect, endpoint.name
        entry.request_id = headers.request_id_of(call.named.get(b"x-request-id"), call.id)
        entry.revision = self.table.revision
        peer = (scope.get("client") or ("",))[0]
        entry.client_ip = headers.client_ip(peer, call.headers, self.options.trusted_proxies)
        request_id = entry.request_id.encode()
        head = [b"x-gateway-revision: %d\r\nx-request-id: " % entry.revision, request_id, b"\r\n"]
        if endpoint.dialect == "anthropic":
            head += [b"request-id: ", request_id, b"\r\n"]
        client = Client(send, self.options.send_timeout, head)
        if "extensions" in scope:
            client.whole = scope["extensions"].get(WHOLE)
        return call, client

    async def answer(self, call: Call, client: Client, receive: Receive) -> None:
        """The story: key, body, model, hooks, targets, try each until one answers, relay."""
        table = self.table
        await admission.admit(call, table, self.options.allow_anonymous)
        with self.budget.hold() as hold:
            await incoming.read(call, client, receive, hold, self.options)
            client.watch(receive)
            route = admission.resolve(call, table).route
            hooks = table.hooks
            concerned = hooks is not None and hooks.concern(call.tenant.id, route.id)
            if concerned and (answer := await self.begin(call, table, hooks)) is not None:
                await answers.send(call, client, answer)
                return
            if call.endpoint.api == "responses":
                await responses.resume(call, call.kept or self.kept, self.seal)
            await admission.check_objects(call)
            decision = self.choose(call, table)
            if call.hooked is not None:
                await call.hooked.order(decision)
            if call.endpoint.name in COUNT and not self._counts(call, decision):
                await counting.estimate(call, client)
            elif call.warm:
                await warming.answer(call, client, call.kept or self.kept)
            else:
                await self.relay(call, client, decision, table)

    async def begin(self, call: Call, table: Table, hooks: Hooks | None) -> Answer | None:
        """Let hooks see the request; the answer of one that needs no provider."""
        assert hooks is not None
        call.hooked = Hooked(hooks, call)
        return await call.hooked.begin(lambda: admission.resolve(call, table))

    def choose(self, call: Call, table: Table) -> Decision:
        """Where the request can go, in the order to try."""
        decision = choose(call, table, self.traffic, self.rng)
        if decision.strategy == "round_robin":
            self.traffic.state.take(decision.targets)
        return decision

    def _counts(self, call: Call, decision: Decision) -> bool:
        """Whether the first target can count tokens; then only those are asked that can."""
        if not counts(call, decision.targets[0]):
            return False
        decision.targets = [target for target in decision.targets if counts(call, target)]
        return True

    async def relay(self, call: Call, client: Client, decision: Decision, table: Table) -> None:
        """Try the targets until one answers, and carry its reply to the client."""
        await settlement.prepare(self, call, decision, table)
        stay_alive(call, client)
        attempts = Attempts(self, call, client, table, decision)
        held = await attempts.first()
        ok = False
        call.tap = held.tap
        if held.stream:
            self.streams.add(call)
        elif held.whole() is not None:
            call.count(held.tap)
            settlement.foretell(call)
        async with held.reply:
            try:
                client.head += own_lines(call)
                if call.hooked is None and not client.beaten:
                    await held.send(client)
                else:
                    await answers.pass_on(call, client, held)
                ok = True
            except (ClientGone, GatewayError):
                ok = True  # none of the provider's doing
                raise
            finally:
                self.streams.discard(call)
                if not call.priced:
                    call.count(held.tap)
                attempts.leave(ok and call.entry.error_kind not in BROKEN)

    async def _refuse(self, call: Call, client: Client, error: GatewayError) -> None:
        """Say what went wrong in the client's dialect; after the first byte only the row can say it."""
        entry = call.entry
        hooks = self.table.hooks
        if hooks is not None and hooks.on_error and not client.gone:
            error = await (call.hooked or Hooked(hooks, call)).fail(error)
        entry.error_kind, entry.status = error.kind, error.status
        if error.limit:
            self.metrics.limited(entry.tenant, error.limit)
        if client.gone or (client.started and not client.beaten):
            return
        try:
            if client.beaten:
                await client.send(write_event(call.endpoint.dialect, call.endpoint.api, error, entry.request_id))
                await client.send(b"", more=False)
                return
            body = write_error(call.endpoint.dialect, error, entry.request_id)
            client.head += own_lines(call)
            await client.reply(error.status, [(b"content-type", b"application/json"), *error_headers(error)], body)
        except ClientGone:
            entry.error_kind = entry.error_kind or "cancelled"

    def _unexpected(self, call: Call, error: Exception) -> GatewayError:
        if self.log is not None:
            self.log.fault(call.entry.request_id, error)
        return GatewayError("server_error", "The gateway failed to answer this request.", status=500)

    def _settle(self, call: Call, client: Client) -> None:
        """Write the entry, once, however the request ended. Never waits and never raises."""
        client.leave()
        entry = call.entry
        if entry.error_kind == "cancelled":
            entry.status = CANCELLED
        entry.status = entry.status or client.status
        entry.duration_us = call.elapsed_us()
        if call.decision is not None:
            entry.decision = call.decision.text()
        if client.started:
            entry.first_byte_us = int((client.started - call.began) * 1_000_000)
        self.metrics.leave(call)
        settlement.settle(self, call)
        self.metrics.request(entry)
        if self.log is not None:
            self.log.request(entry)
