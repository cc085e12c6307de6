"""Every fault of an upstream, over real sockets: what a second target hides, what a client is told, what the row says.

before   nothing of the reply has been seen: another target answers, or the error has its true status
late     of a stream something has been seen: it ends with an error event in the client's dialect
huge     larger than what is held, or endless: memory stays bounded
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from routing.held import MAX_WHOLE
from tests.faulty import BIG, BURST, MIB, faulty_upstream
from tests.faulty_site import APIS, CONNECTING, PAIRS, Case, Outcome, Seen, ask, asked, config, said
from tests.faulty_words import WHY
from tests.live import Gateway, Row, Upstream, get, prepare, serve, wait_until
from tests.recordings import Json

#: Faults before the first byte, and the status and kind of whoever has no other target.
NETWORK, SERVER, LATE, BUSY = (502, "network"), (502, "server_error"), (504, "timeout"), (503, "overloaded")
BEFORE = {
    **dict.fromkeys(CONNECTING, NETWORK),
    "tls-silent": LATE,
    **dict.fromkeys(("401", "403", "500", "502"), SERVER),
    **dict.fromkeys(("503", "529"), BUSY),
    **dict.fromkeys(("429", "429-soon", "429-late"), (429, "rate_limit")),
    **dict.fromkeys(("reset-head", "reset-body", "cut-head", "cut-length", "cut-chunked", "cut"), NETWORK),
    **dict.fromkeys(("hang-head", "hang-body"), LATE),
    **dict.fromkeys(("empty", "void", "junk", "junk-data", "html", "big-head"), NETWORK),
    **dict.fromkeys(("error-first", "error-json"), SERVER),
}
#: Faults in the middle of a stream, and the kind that the row gets. In a whole reply they come before the first byte.
LATER = {"reset-late": "truncated", "cut-late": "truncated", "stall": "timeout", "error-late": "server_error"}
#: Of each status the type of error, or Gemini's status.
TYPES = {
    429: ("rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    502: ("server_error", "api_error", "INTERNAL"),
    503: ("overloaded_error", "overloaded_error", "UNAVAILABLE"),
    504: ("timeout", "timeout_error", "DEADLINE_EXCEEDED"),
}
#: Faults whose words are the client's to read where it speaks the upstream's dialect.
TOLD = ("429", "429-soon", "429-late", "error-first", "error-json")
GROWTH = 150 * MIB
BURSTS = ("burst-429", "burst-500", "burst-502", "burst-503", "burst-529")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Upstream]]:
    with faulty_upstream() as (upstream, ports):
        data = tmp_path_factory.mktemp("faults")
        prepare(data, config(upstream, ports))
        with serve("uvicorn", data) as gateway:
            yield gateway, upstream


@pytest.fixture(scope="module")
def seen(site: tuple[Gateway, Upstream]) -> Seen:
    """What comes of each fault that is not huge."""
    faults, modes = [*BEFORE, *LATER, "healthy", "drip"], ("alone", "pair")
    cases = [
        Case(mode, fault, client, api, stream)
        for mode in modes
        for fault in faults
        for client, api in PAIRS
        for stream in (False, True)
        if (mode, fault) != ("pair", "healthy")
    ]
    return asked(site[0], cases)


def test_a_burst_is_waited_out(site: tuple[Gateway, Upstream]) -> None:
    """Without another target, by trying again. It is the first test, while all the saved retries are there."""
    gateway, upstream = site
    cases = [Case("alone", fault, "chat", "chat", False) for fault in BURSTS]
    for case, (outcome, row) in asked(gateway, cases).items():
        check_good(case, outcome, row, case.fault, {BURST + 1})
    counts = json.loads(get(upstream.port, "/_seen")[1])
    assert all(counts[case.fault][case.name] == BURST + 1 for case in cases)


def check_good(case: Case, outcome: Outcome, row: Row, provider: str, attempts: set[int]) -> None:
    assert (outcome.status, outcome.whole) == (200, True), outcome
    assert outcome.headers["x-gateway-provider"] == provider
    places = [outcome.body.find(word) for word in (b"one", b"two", b"three")]
    assert -1 < places[0] < places[1] < places[2] and b'"error":{' not in outcome.body, outcome.body
    assert (row["status"], row["error_kind"], row["provider"]) == (200, "", provider)
    assert row["attempts"] in attempts and row["output_tokens"] == 3


def check_error(case: Case, doc: Json, status: int) -> None:
    """An error in the words of the client's dialect."""
    openai, anthropic, gemini = TYPES[status]
    error = doc["error"]
    assert error["message"]
    if case.client == "generate":
        # The upstream's own words pass.
        told = 500 if case.fault == "error-late" and case.stream and case.api == case.client else status
        assert (error["code"], error["status"]) == (told, gemini)
    elif case.client == "messages":
        assert (doc["type"], error["type"]) == ("error", anthropic)
    else:
        assert error["type"] == openai and {"param", "code"} <= set(error)


def check_event(case: Case, outcome: Outcome, status: int) -> None:
    """A stream that has begun ends with an error event, and with no word of success."""
    assert (outcome.status, outcome.whole) == (200, True), outcome
    (name, doc), begun = outcome.events()[-1], outcome.events()[:-1]
    assert begun and "one" in outcome.body.decode() and doc != "[DONE]"
    if case.client == "responses":
        assert name == doc["type"] == "error" and doc["message"]
        assert doc["sequence_number"] == begun[-1][1]["sequence_number"] + 1
    else:
        assert name == ("error" if case.client == "messages" else "")
        check_error(case, doc, status)


def of_fault(seen: Seen, mode: str, fault: str, stream: bool) -> Seen:
    found = {c: s for c, s in seen.items() if (c.mode, c.fault, c.stream) == (mode, fault, stream)}
    assert len(found) == len(PAIRS)
    return found


HIDDEN = [(fault, stream) for fault in [*BEFORE, *LATER] for stream in (False, True) if not (stream and fault in LATER)]


@pytest.mark.parametrize(("fault", "stream"), HIDDEN)
def test_a_second_target_hides_what_comes_before_the_first_byte(seen: Seen, fault: str, stream: bool) -> None:
    for case, (outcome, row) in of_fault(seen, "pair", fault, stream).items():
        # After a 401 the account stands back: then the healthy one is the first.
        check_good(case, outcome, row, "healthy", {1, 2} if fault == "401" else {2})


@pytest.mark.parametrize(("fault", "stream"), HIDDEN)
def test_without_another_target_it_has_its_true_status(seen: Seen, fault: str, stream: bool) -> None:
    status, kind = BEFORE.get(fault) or (LATE if fault == "stall" else NETWORK)
    for case, (outcome, row) in of_fault(seen, "alone", fault, stream).items():
        assert (outcome.status, outcome.whole) == (status, True), (case, outcome)
        # Whoever reads what is to be translated may find more of a fault in it.
        assert row["error_kind"] == kind or (case.client != case.api and row["error_kind"] == "server_error")
        assert outcome.headers["x-gateway-error"] == row["error_kind"] and outcome.headers["x-request-id"] == case.name
        assert outcome.headers["content-type"] == "application/json"
        assert ("retry-after" in outcome.headers) is (status in (429, 503))
        assert 1 <= int(outcome.headers.get("retry-after", 1)) <= 60
        assert WHY not in outcome.body.decode() or fault in TOLD
        check_error(case, json.loads(outcome.body), status)
        assert (row["status"], row["attempts"], row["provider"]) == (status, 1, fault)


@pytest.mark.parametrize("mode", ["alone", "pair"])
@pytest.mark.parametrize("fault", LATER)
def test_a_stream_that_breaks_ends_with_an_error_event(seen: Seen, mode: str, fault: str) -> None:
    kind = LATER[fault]
    status = 504 if kind == "timeout" else 502
    for case, (outcome, row) in of_fault(seen, mode, fault, True).items():
        check_event(case, outcome, status)
        assert (row["error_kind"], row["attempts"], row["provider"]) == (kind, 1, fault)
        assert row["output_tokens"] > 0 and row["stream"]


@pytest.mark.parametrize("mode", ["alone", "pair"])
def test_who_is_slow_is_no_fault(seen: Seen, mode: str) -> None:
    """A drip takes longer than any limit, and keeps each of them."""
    for stream in (False, True):
        for case, (outcome, row) in of_fault(seen, mode, "drip", stream).items():
            check_good(case, outcome, row, "drip", {1})


def test_one_number_bounds_all_attempts(site: tuple[Gateway, Upstream]) -> None:
    case = Case("deadline", "hang-head", "chat", "chat", False)
    [(outcome, row)] = asked(site[0], [case]).values()
    check_error(case, json.loads(outcome.body), 504)
    assert (outcome.status, row["error_kind"], row["provider"]) == (504, "timeout", "patient")


# ---------------------------------------------------------------- huge

HUGE: dict[Case, tuple[Outcome, Row, int]] = {}


def huge(site: tuple[Gateway, Upstream], fault: str, client: str, api: str, stream: bool) -> tuple[Case, Outcome, Row]:
    """The client leaves when it has as much as it can bear; the memory that its request took is bounded."""
    gateway, upstream = site
    case = Case("pair", fault, client, api, stream)
    Path(f"/proc/{gateway.pid}/clear_refs").write_text("5")  # the peak begins anew
    before = gateway.rss()
    outcome = asyncio.run(ask(gateway, case, enough=2 * BIG))
    row = gateway.wait_rows(case.name, 1)[case.name]
    grown = gateway.peak() - before
    HUGE[case] = outcome, row, grown
    assert grown < GROWTH, f"{case.name}: {grown / MIB:.0f} MiB"
    if row["provider"] == "endless-events":
        wait_until(lambda: case.name in upstream.closed(), f"{case.name} is closed")
    return case, outcome, row


@pytest.mark.parametrize("fault", ["bomb", "endless-comments", "endless-pings", "endless-line"])
def test_a_stream_that_never_comes_to_an_event_is_left(site: tuple[Gateway, Upstream], fault: str) -> None:
    for client, api in PAIRS:
        case, outcome, row = huge(site, fault, client, api, True)
        check_good(case, outcome, row, "healthy", {2})


@pytest.mark.parametrize("fault", ["bomb", "endless-events", "cut-big"])
def test_a_whole_reply_that_is_too_large_to_be_translated_is_left(site: tuple[Gateway, Upstream], fault: str) -> None:
    for client, api in PAIRS[len(APIS) :]:
        case, outcome, row = huge(site, fault, client, api, False)
        check_good(case, outcome, row, "healthy", {2})


def test_a_bomb_in_the_midst_of_a_stream_is_told(site: tuple[Gateway, Upstream]) -> None:
    for client, api in PAIRS:
        case, outcome, row = huge(site, "bomb-late", client, api, True)
        if row["provider"] == "healthy":  # it went off together with its beginning
            check_good(case, outcome, row, "healthy", {2})
            continue
        check_event(case, outcome, 502)
        assert (row["error_kind"], row["provider"]) == ("truncated", "bomb-late")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_has_no_end_ends_when_the_client_leaves(site: tuple[Gateway, Upstream], stream: bool) -> None:
    for client, api in PAIRS if stream else PAIRS[: len(APIS)]:
        _, outcome, row = huge(site, "endless-events", client, api, stream)
        assert outcome.status == 200 and len(outcome.body) > 2 * BIG
        assert (row["error_kind"], row["provider"], row["attempts"]) == ("cancelled", "endless-events", 1)


def test_a_whole_reply_that_is_not_held_ends_early(site: tuple[Gateway, Upstream]) -> None:
    for api in APIS:
        _, outcome, row = huge(site, "cut-big", api, api, False)
        check_early_end(outcome, row)


def test_so_it_does_on_the_other_server(site: tuple[Gateway, Upstream]) -> None:
    case = Case("alone", "cut-big", "chat", "chat", False)
    with serve("daphne", site[0].data) as gateway:
        outcome = asyncio.run(ask(gateway, case))
        check_early_end(outcome, gateway.wait_rows(case.name, 1)[case.name])


def check_early_end(outcome: Outcome, row: Row) -> None:
    assert outcome.status == 200 and not outcome.whole and len(outcome.body) >= BIG
    assert (row["error_kind"], row["provider"]) == ("truncated", "cut-big")


def test_a_bomb_that_is_passed_on_goes_off_piece_by_piece(site: tuple[Gateway, Upstream]) -> None:
    """One that goes off all at once is left as nothing that can be read."""
    for api in APIS:
        case, outcome, row = huge(site, "bomb", api, api, False)
        if row["provider"] == "healthy":
            check_good(case, outcome, row, "healthy", {2})
            continue
        assert outcome.status == 200 and not outcome.whole and len(outcome.body) >= MAX_WHOLE
        assert row["error_kind"] in ("cancelled", "truncated") and row["provider"] == "bomb"


# ---------------------------------------------------------------- the table


def test_print_the_table(seen: Seen) -> None:
    told: dict[str, dict[tuple[str, bool], set[str]]] = defaultdict(lambda: defaultdict(set))
    for case, (outcome, row) in seen.items():
        told[case.fault][case.mode, case.stream].add(said(outcome, row))
    columns = [("pair", False), ("alone", False), ("pair", True), ("alone", True)]
    heads = ["whole, with another target", "whole, alone", "stream, with another target", "stream, alone"]
    print("\n" + " ".join([f"{'fault':14}", *(f"{head:28}" for head in heads)]))
    for fault, outcomes in told.items():
        print(" ".join([f"{fault:14}", *(f"{', '.join(sorted(outcomes[column])):28}" for column in columns)]))
    most: dict[tuple[str, bool], tuple[int, set[str]]] = {}
    for case, (outcome, row, grown) in HUGE.items():
        before, words = most.get((case.fault, case.stream), (0, set()))
        most[case.fault, case.stream] = max(before, grown), words | {said(outcome, row)}
    for (fault, stream), (grown, words) in most.items():
        print(
            f"{fault:18} {'stream' if stream else 'whole':7} at most {grown / MIB:+5.0f} MiB  {', '.join(sorted(words))}"
        )
    assert len(told) == len(BEFORE) + len(LATER) + 2
