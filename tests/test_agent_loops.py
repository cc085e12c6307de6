"""Agents of five turns with parallel tools: every SDK against every upstream API, whole and streamed.

What the upstream thought, signed and called comes back to it byte for byte, whatever API the agent speaks.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from routing.table import Target
from tests.agents import reading
from tests.agents.reading import Item, packed
from tests.agents.script import QUESTION, SCRIPT, SYSTEM, Call, Turn
from tests.agents.sdks import AGENTS, Answer, Asked, Heard
from tests.agents.speech import NAMELESS, Said
from tests.agents.upstreams import PROVIDERS, Player
from tests.inprocess import plane, route, table, upstream
from tests.matrix.answers import DOOR
from tests.matrix.valid import VALID

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

#: What each API lets a tool be called.
LEGAL = {
    "chat": r"[a-zA-Z0-9_-]{1,64}",
    "responses": r"[a-zA-Z0-9_-]{1,128}",
    "messages": r"[a-zA-Z0-9_-]{1,128}",
    "generate": r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}",
    "ollama": r".+",
    "converse": r"[a-zA-Z0-9_-]{1,64}",
    "cohere": r"[a-zA-Z0-9_-]+",
}
#: Who has a flag for a result that is an error.
FLAGGED = ("messages", "generate", "converse")
CELLS = [
    pytest.param(client, name, stream, id=f"{client}-{name}-{'stream' if stream else 'whole'}")
    for client, name, stream in product(AGENTS, PROVIDERS, (False, True))
]


def played(turn: Turn, asked: Asked) -> Call:
    return next(call for call in turn.calls if (call.name, call.arguments) == (asked.name, asked.arguments))


async def talk(client: str, stream: bool, app: Any) -> list[Heard]:
    """The whole conversation. The results of the third turn are told in reverse where calls have ids."""
    DOOR.app = app
    agent, heard = AGENTS[client](stream), []
    for turn in SCRIPT:
        heard.append(await agent.ask())
        calls = [(asked, played(turn, asked)) for asked in heard[-1].calls]
        answers: list[Answer] = [(asked, call.result, call.failed) for asked, call in calls]
        agent.answer(answers[::-1] if turn.number == 3 and client != "generate" else answers)
    return heard


async def run(client: str, name: str, stream: bool) -> tuple[Player, list[Heard], list[Any]]:
    player = Player(name)
    kind, model = PROVIDERS[name]
    provider = replace(upstream(), kind=kind, apis=frozenset({name}))
    async with plane(table(route("m", Target(1, provider, model=model))), player) as running:
        heard = await talk(client, stream, running.app)
        return player, heard, running.rows


def expected(name: str, turn: Turn, calls: list[Said]) -> list[Item]:
    """A turn of the model and its results, as its upstream is to be told of them."""
    found: list[Item] = []
    signs = name in ("messages", "converse", "responses")
    if turn.thinking and name != "generate":
        found.append(("thinking", turn.thinking, turn.signature if signs else ""))
    if turn.text:
        found.append(("text", turn.text))
    for at, call in enumerate(calls):
        signature = turn.signature if name == "generate" and not at else ""
        found.append(("call", call.id, call.name, packed(call.arguments), signature))
    return found


def results(name: str, turn: Turn, calls: list[Said], flags: bool) -> set[Item]:
    named = name in NAMELESS
    return {
        (
            "result",
            said.id,
            said.name if named else "",
            call.result,
            "failed" if call.failed and flags and name in FLAGGED else "",
        )
        for said, call in zip(calls, turn.calls, strict=True)
    }


def plain(item: Item) -> Item:
    """Where there is no flag for an error, the words begin with one."""
    return (*item[:3], item[3].removeprefix("Error:").lstrip(), item[4])


def standard(item: Item) -> Item:
    """Google's SDK writes base64 in the alphabet for URLs."""
    return (*item[:-1], item[-1].replace("-", "+").replace("_", "/")) if item[0] == "call" else item


def joined(items: list[Item]) -> list[Item]:
    """A text that came back in the pieces of its stream is one text."""
    found: list[Item] = []
    for item in items:
        if item[0] == "text" and found and found[-1][0] == "text":
            found[-1] = ("text", found[-1][1] + item[1])
        elif item != ("text", ""):
            found.append(item)
    return found


def without_ids(items: list[Item]) -> list[Item]:
    """Of an API whose calls have none; those of ours have to agree, which reading them has seen to."""
    return [(item[0], "", *item[2:]) if item[0] in ("call", "result") else item for item in items]


@pytest.mark.parametrize(("client", "name", "stream"), CELLS)
def test_a_conversation_of_five_turns(client: str, name: str, stream: bool) -> None:
    player, heard, rows = asyncio.run(run(client, name, stream))
    own = client.partition("-")[0] == name
    for turn, told in zip(SCRIPT, heard, strict=True):
        assert (told.thinking, told.text) == (turn.thinking, turn.text)
        assert [(a.name, a.arguments) for a in told.calls] == [(c.name, c.arguments) for c in turn.calls]
        assert all(a.id for a in told.calls) or client == "generate"
    ids = [a.id for told in heard for a in told.calls if a.id]
    assert len(set(ids)) == len(ids)
    assert len(set(player.names.values())) == len(player.names)
    if not own:
        assert all(re.fullmatch(LEGAL[name], wire) for wire in player.names.values()), player.names
    assert [(row.status, row.error_kind, row.stream) for row in rows] == [(200, "", stream)] * len(SCRIPT)
    for number, doc in enumerate(player.asked):
        assert not (faults := own or VALID[name](doc, stream)) or own, faults
        assert reading.system(name, doc) == SYSTEM
        check(client, name, player, reading.READ[name](doc), number)


def check(client: str, name: str, player: Player, got: list[Item], number: int) -> None:
    """``got`` tells of all turns before ``number``, and of nothing else."""
    items = without_ids(got) if name in NAMELESS else got
    if name == "generate":
        thoughts = {item[1] for item in items if item[0] == "thinking"}
        assert client == name or thoughts <= {turn.thinking for turn in SCRIPT}
        items = [item for item in items if item[0] != "thinking"]  # it may be told of them, and needs not be
        items = [standard(item) for item in items]
    items = joined(items)
    assert items.pop(0) == ("user", QUESTION)
    flags = client in ("messages", "generate")
    for turn, calls in zip(SCRIPT[:number], player.said[:number], strict=True):
        wanted = expected(name, turn, calls)
        assert items[: len(wanted)] == wanted
        del items[: len(wanted)]
        answers, items = items[: len(calls)], items[len(calls) :]
        assert {plain(item) for item in answers} == results(name, turn, calls, flags)
    assert not items
