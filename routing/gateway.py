"""The data plane. ``Gateway.answer`` tells the story of one request; nothing here knows Django or a database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from providers.errors import TimedOut, UpstreamError
from providers.media import Fetcher
from providers.upstream import Connections, Reply
from routing import admission, counting, headers, incoming, refusals, requests, responses, warming
from routing import body as bodies
from routing.apis import COUNT, counts
from routing.body import ClientGone
from routing.call import Call
from routing.client import Client, Receive
from routing.endpoint import Endpoint
from routing.errors import GatewayError, error_headers, of_upstream, write_error
from routing.log import Log
from routing.metrics import Metrics
from routing.options import Options
from routing.relay import Held
from routing.seal import Seal
from routing.table import Table, Target
from routing.warden import Warden
from tenants.ledger import Entry, Ledger
from tenants.objects import MemoryStore, ObjectStore
from tenants.responses import MemoryResponses, ResponseStore
from tenants.uuid7 import uuid7

CANCELLED = 499
#: What a legacy completion is whose body has messages.
UNIFIED = Endpoint("unified", "openai", "unified", "v1/completions")
LATE = TimedOut("no answer from the provider in time")


class Gateway:
    """State of the data plane in one process. ``table`` is replaced whole, by whoever loads it."""

    def __init__(
        self,
        connections: Connections,
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
    ) -> None:
        self.connections = connections
        self.fetcher = fetcher or Fetcher()
        self.kept = kept or MemoryResponses()
        self.seal = seal or Seal()
        self.table = table or Table()
        self.ledger = ledger if ledger is not None else Ledger()
        self.objects = objects or MemoryStore()
        self.metrics = metrics or Metrics()
        self.log = log
        self.options = options or Options()
        self.budget = bodies.Budget(self.options.max_held)
        self.warden = Warden(self.metrics.flush)
        self.draining = False
        self.active = 0
        self.rng = random.Random()

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
        call = Call(endpoint, entry, str(entry.id), scope, self.objects)
        entry.dialect, entry.endpoint = endpoint.dialect, endpoint.name
        entry.request_id = headers.request_id_of(call.named.get(b"x-request-id"), call.id)
        entry.revision = self.table.revision
        peer = (scope.get("client") or ("",))[0]
        entry.client_ip = headers.client_ip(peer, call.headers, self.options.trusted_proxies)
        request_id = entry.request_id.encode()
        out = [(b"x-request-id", request_id), (b"x-gateway-revision", b"%d" % entry.revision)]
        if endpoint.dialect == "anthropic":
            out.append((b"request-id", request_id))
        return call, Client(send, self.options.send_timeout, out)

    async def answer(self, call: Call, client: Client, receive: Receive) -> None:
        """The story: key, body, model, targets, try each until one answers, relay."""
        table = self.table
        admission.admit(call, table, self.options.allow_anonymous)
        with self.budget.hold() as hold:
            await self.read(call, receive, hold)
            client.watch(receive)
            resolved = admission.resolve(call, table)
            if call.endpoint.api == "responses":
                await responses.resume(call, call.kept or self.kept, self.seal)
            await admission.check_objects(call)
            targets = refusals.targets(call, resolved, self.rng)
            is_count = call.endpoint.name in COUNT
            if is_count and not counts(call, targets[0]):
                await counting.estimate(call, client)
            elif call.warm:
                await warming.answer(call, client, call.kept or self.kept)
            else:
                served = [t for t in targets if counts(call, t)] if is_count else targets
                await self.relay(call, client, served, table)

    async def relay(self, call: Call, client: Client, targets: list[Target], table: Table) -> None:
        """Try each target until one answers, and carry its reply to the client."""
        held = await self.try_each(call, client, targets, table)
        try:
            client.headers += _route_headers(call)
            await held.send(client)
        finally:
            call.count(held.tap)
            await held.reply.close()

    async def read(self, call: Call, receive: Receive, hold: bodies.Hold) -> None:
        """Take in the body and what it says. Raises GatewayError; ClientGone if it never came."""
        endpoint, options = call.endpoint, self.options
        if endpoint.body == "none":
            return
        content_type = call.header(b"content-type")
        kind = content_type.partition(";")[0].strip().lower()
        is_form = kind == "multipart/form-data" and endpoint.body == "multipart"
        if not is_form and kind not in ("", "application/json") and not kind.endswith("+json"):
            raise GatewayError(
                "invalid_request",
                f"The content type must be {'multipart/form-data' if endpoint.body == 'multipart' else 'application/json'}.",
                status=415,
            )
        call.body = await bodies.read(
            call.headers, receive, limit=options.max_body, timeout=options.read_timeout, budget=hold
        )
        if endpoint.dialect == "gemini":
            call.model = call.path.get("model", "")
        incoming.read_multipart(call, content_type) if is_form else incoming.read_json(call)
        if endpoint.name == "completions" and "messages" in call.doc:
            call.become(UNIFIED)
        call.entry.stream = call.stream
        call.entry.model = call.model
        incoming.read_head(call)

    async def try_each(self, call: Call, client: Client, targets: list[Target], table: Table) -> Held:
        """The first target whose reply can be relayed. Raises the last one's error, in words for the client."""
        for n, target in enumerate(targets, 1):
            last = n == len(targets)
            self.metrics.leave(call)
            call.aim(target)
            self.metrics.enter(call)
            try:
                return await self._attempt(call, client, target, table, last)
            except UpstreamError as error:
                self.metrics.attempt(call.entry.provider, error.kind)
                if last:
                    raise of_upstream(error) from error
            except refusals.Inexpressible as loss:
                if last:
                    raise _inexpressible(call, loss) from None
            except refusals.TryNext as refusal:
                self.metrics.attempt(call.entry.provider, str(refusal.status))
        raise GatewayError("overloaded", "No provider of this model can be used now.", retry_after=5)

    async def _attempt(self, call: Call, client: Client, target: Target, table: Table, last: bool) -> Held:
        upstream = target.upstream
        request = await requests.write(call, target, table, self.fetcher)
        call.entry.attempts += 1
        client.limit(upstream.first_byte_timeout, LATE)
        try:
            reply = await self.connections.open(
                upstream, call.method, request.path, request.headers, request.body, request.query
            )
            return await self._hold(call, client, reply, request, last)
        except asyncio.CancelledError:
            cause = client.cause()
            if cause is None:
                raise
            raise cause from None
        finally:
            client.deadline = 0.0

    async def _hold(self, call: Call, client: Client, reply: Reply, request: requests.Request, last: bool) -> Held:
        """Take in as much of a reply as it takes to be sure of it; a refusal is judged."""
        held: Held | None = None
        try:
            if request.dropped:
                self.metrics.dropped(call)
            held = requests.hold(self, call, reply, request)
            call.entry.upstream_request_id = refusals.upstream_request_id(reply)
            if not 200 <= reply.status < 300:
                await refusals.judge(call, reply, held, last)
            else:
                await held.wait(client, call.idle)
        except BaseException:
            if held is not None:
                call.spend(held.tap)
            await reply.close()
            raise
        self.metrics.attempt(call.entry.provider, "ok")
        return held

    async def _refuse(self, call: Call, client: Client, error: GatewayError) -> None:
        """Say what went wrong in the client's dialect; after the first byte only the row can say it."""
        entry = call.entry
        entry.error_kind, entry.status = error.kind, error.status
        if client.started or client.gone:
            return
        body = write_error(call.endpoint.dialect, error, entry.request_id)
        client.headers += _route_headers(call)
        try:
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
        if client.started:
            entry.first_byte_us = int((client.started - call.began) * 1_000_000)
        self.metrics.leave(call)
        self.ledger.record(entry)
        self.metrics.request(entry)
        if self.log is not None:
            self.log.request(entry)


def _inexpressible(call: Call, loss: refusals.Inexpressible) -> GatewayError:
    return loss.said or GatewayError(
        "invalid_request",
        f"The field {loss.field} cannot be expressed in the {loss.dialect.replace('_', ' ')} API of the provider {call.entry.provider}.",
        param=loss.field,
        code="unsupported_by_upstream",
    )


def _route_headers(call: Call) -> list[tuple[bytes, bytes]]:
    entry = call.entry
    found = [(b"x-gateway-attempts", str(entry.attempts).encode())]
    if call.target is not None:
        found += [
            (b"x-gateway-provider", entry.provider.encode()),
            (b"x-gateway-model", headers.safe(entry.upstream_model)),
            (b"x-gateway-target", str(entry.target_id).encode()),
        ]
        if entry.upstream_request_id:
            found.append((b"x-gateway-upstream-request-id", headers.safe(entry.upstream_request_id)))
    return found
