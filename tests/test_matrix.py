"""The matrix: every client dialect × every upstream dialect × every case, whole and streamed.

The client is the official SDK; the upstream checks what it is asked, and answers with a recorded reply (R) or, where
none shows the case, with a fixture of the documented shape (F). A cell is empty (–) only where a dialect cannot express
its case; where that is the request, the gateway must say so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from inspect import signature
from itertools import product

import pytest
from openai.resources.responses import AsyncResponses

from tests.matrix import fixtures
from tests.matrix.cases import CASES, CLIENT_LACKS, CLIENTS, FIRST, MIDST, REPLIES, UPSTREAM_LACKS, UPSTREAMS
from tests.matrix.cells import Cell, Ran, run, wanted
from tests.matrix.expected import plain, right_class, row_tokens, shown, status_of
from tests.matrix.replies import LOOKUPS
from tests.matrix.valid import names
from tests.recordings import require

# google-genai's own use of aiohttp.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

CELLS = [Cell(*place) for place in product(CLIENTS, UPSTREAMS, CASES, (False, True))]


def cells(*named: str) -> pytest.MarkDecorator:
    chosen = [cell for cell in CELLS if cell.case in named and not cell.empty and not cell.refused]
    return pytest.mark.parametrize("cell", [pytest.param(each, id=each.name, marks=marks(each)) for each in chosen])


def marks(cell: Cell) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xfail(reason=cell.wrong, strict=True)] if cell.wrong else []


def well_asked(cell: Cell) -> Ran:
    """The cell, run; the request that its upstream got was valid, and said what the client said."""
    ran = asyncio.run(run(cell))
    assert ran.requests == 1, ran.heard.error
    assert not ran.faults, ran.faults
    assert ran.got == wanted(ran.asked)
    return ran


@cells(*REPLIES)
def test_reply(cell: Cell) -> None:
    ran = well_asked(cell)
    assert ran.heard.error is None
    assert ran.heard.told is not None
    assert ran.told is not None
    said = shown(cell.client, cell.upstream, ran.told)
    assert plain(ran.heard.told) == said
    assert ran.heard.pieces == (said.text if cell.stream else "")
    assert all(ran.heard.ids)
    assert len(set(ran.heard.ids)) == len(ran.heard.ids)
    assert (ran.row.status, ran.row.error_kind, ran.row.stream) == (200, "", cell.stream)
    assert (row_tokens(ran.row), ran.row.estimated) == (ran.told.tokens, False)


@cells(FIRST)
def test_error_before_the_first_byte(cell: Cell) -> None:
    ran = well_asked(cell)
    error = ran.heard.error
    assert error is not None
    assert status_of(error) == ran.reply.status
    assert right_class(cell.client, error, ran.reply.status)
    assert message(ran.reply.docs[0]) in str(error)
    assert (ran.row.status, bool(ran.row.error_kind)) == (ran.reply.status, True)
    assert not ran.row.output_tokens


def message(doc: dict[str, object]) -> str:
    """What an error reply says, wherever its API has it."""
    error = doc.get("error", doc)
    return str(error["message"] if isinstance(error, dict) else error)


@cells(MIDST)
def test_error_mid_stream(cell: Cell) -> None:
    ran = well_asked(cell)
    assert ran.heard.error is not None
    assert ran.told is not None
    assert ran.row.error_kind
    if not cell.stream:  # the connection broke, and nothing had been sent
        assert right_class(cell.client, ran.heard.error, 502)
        assert ran.row.status == 502
        return
    assert ran.heard.pieces
    assert ran.told.text.startswith(ran.heard.pieces)
    assert (ran.heard.pieces == ran.told.text) is not ran.reply.fixture  # a recorded one tells what came before
    assert ran.heard.told is None
    assert ran.row.output_tokens > 0
    assert ran.row.input_tokens > 0


@pytest.mark.parametrize(
    "cell", [cell for cell in CELLS if cell.refused and not cell.empty], ids=lambda cell: cell.name
)
def test_what_an_upstream_cannot_be_asked_is_refused(cell: Cell) -> None:
    ran = asyncio.run(run(cell))
    assert ran.requests == 0
    assert ran.heard.error is not None
    assert right_class(cell.client, ran.heard.error, 400)
    assert cell.refused in str(ran.heard.error)
    assert (ran.row.status, ran.row.error_kind) == (400, "invalid_request")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("upstream", "case"), [p for p in product(UPSTREAMS, REPLIES) if p not in UPSTREAM_LACKS])
def test_fixtures_say_what_they_are_said_to(upstream: str, case: str, stream: bool) -> None:
    told, reply = fixtures.told(upstream, case), fixtures.reply(upstream, case, stream)
    assert LOOKUPS[upstream](list(reply.docs), stream) == told


def test_clients_lack_what_they_are_said_to() -> None:
    assert list(CLIENT_LACKS) == [("responses", "stop sequence")]
    assert not {"stop", "stop_sequences"} & (names("CreateResponse") | {*signature(AsyncResponses.create).parameters})


def letters(client: str, upstream: str, case: str) -> str:
    return "".join(Cell(client, upstream, case, stream).letter for stream in (False, True))


def rendered() -> str:
    """The table in Markdown: a row for each case, in each place the whole reply and the stream."""
    width = max(map(len, CASES))
    lines = ["R recorded, F fixture, – cannot be expressed; whole and streamed"]
    for client in CLIENTS:
        heads = [f"{upstream:9}" for upstream in UPSTREAMS]
        lines += ["", " | ".join(["", f"{client + ' client':{width}}", *heads, ""]).strip()]
        lines.append("|".join(["", "-" * (width + 2), *["-" * 11] * len(heads), ""]))
        for case in CASES:
            found = [f"{letters(client, upstream, case):9}" for upstream in UPSTREAMS]
            lines.append(" | ".join(["", f"{case:{width}}", *found, ""]).strip())
    return "\n".join(lines)


def test_no_cell_is_empty_without_a_reason() -> None:
    require()
    print("\n" + rendered())
    counts = Counter(cell.letter for cell in CELLS)
    print(f"\n{len(CELLS)} cells: {counts['R']} recorded, {counts['F']} fixtures, {counts['–']} cannot be expressed")
    for cell in CELLS:
        if reason := cell.empty or cell.refused:
            assert cell.letter == "–", cell.name
        else:
            assert cell.letter in ("R", "F"), cell.name
        assert not cell.empty or len(reason.split()) > 3, cell.name
