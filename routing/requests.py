"""How one target is asked: the client's own bytes, or a translation; and what holds the reply to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from providers import media
from providers.chat import BadRequest
from providers.media import Fetcher
from providers.upstream import Reply
from routing.apis import COMPACT, COUNT, EMBED, UPSTREAM_DIALECTS, api_of
from routing.call import Call
from routing.compaction import Compacted, Compaction
from routing.completion import Completed, Completion
from routing.counting import Count, Counted
from routing.embedding import Embedding, Embeddings
from routing.held import Held
from routing.outgoing import Outgoing
from routing.refusals import Inexpressible
from routing.relay import Relayed
from routing.table import Table, Target
from routing.translated import Translated
from routing.translation import READABLE, Translation, bad_request, chat_of

if TYPE_CHECKING:
    from routing.gateway import Gateway

#: Endpoints whose translation is of its own kind.
KINDS: Final[dict[str, type[Translation]]] = dict.fromkeys(COUNT, Count) | {COMPACT: Compaction}
Request = Outgoing | Translation | Embedding | Completion


async def write(call: Call, target: Target, table: Table, fetcher: Fetcher) -> Request:
    """The request for ``target``. Raises GatewayError, or Inexpressible where its API cannot say what the client says."""
    with READABLE:
        api = api_of(call, target)
        if api == call.endpoint.api:
            return Outgoing(call, target, table)
        return await _translated(call, target, table, fetcher, api)


async def _translated(call: Call, target: Target, table: Table, fetcher: Fetcher, api: str) -> Request:
    if call.endpoint.name == "completions":
        return Completion(call, target, table)
    if call.endpoint.name in EMBED:
        return Embedding(call, target, table, api)
    chat = chat_of(call)
    if needs := UPSTREAM_DIALECTS[api].NEEDS_DATA:
        try:
            if needs not in call.inlined:
                call.inlined[needs] = await media.inline(chat, needs, fetcher)
            chat = call.inlined[needs]
        except BadRequest as error:
            # Another target may take what is named as it is.
            raise Inexpressible(error.field, UPSTREAM_DIALECTS[api].NAME, bad_request(error)) from None
    return KINDS.get(call.endpoint.name, Translation)(call, target, table, chat, api)


def hold(gateway: Gateway, call: Call, reply: Reply, request: Request) -> Held:
    """What takes in the reply to ``request``."""
    if isinstance(request, Outgoing):
        return Relayed(call, reply, request.edit)
    if isinstance(request, Completion):
        return Completed(call, reply, request)
    if isinstance(request, Embedding):
        return Embeddings(call, reply, request, gateway.connections)
    if isinstance(request, Count):
        return Counted(call, reply, request)
    if isinstance(request, Compaction):
        return Compacted(call, reply, request, gateway.seal)
    return Translated(call, reply, request, call.kept or gateway.kept)
