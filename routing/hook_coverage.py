"""Where hooks run: for every endpoint, whole and streamed, at each phase. A test runs a hook at every one and compares.

What holds everywhere: errors that come before the route is found (a wrong key, a body that cannot be read, an unknown
model) are told to no hook, and a whole reply of more than 8 MiB passes with no body to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from routing import paths
from routing.endpoint import UNIFIED
from routing.hook_classes import PHASES

WEBSOCKET = "responses (WebSocket)"


class Cell(NamedTuple):
    """Whether hooks of a phase run, and what is to be said of it."""

    runs: bool
    note: str = ""


Row = Mapping[str, Cell]
YES = Cell(True)


def _no(why: str) -> Cell:
    return Cell(False, why)


def _row(**others: Cell) -> Row:
    """Everything, save what is said."""
    return {phase: others.get(phase, YES) for phase in PHASES}


NEVER = dict.fromkeys(PHASES, _no("never streamed"))
WHOLE = _row(on_event=_no("a whole reply has no events"))
TOLD = Cell(True, "told at the end: nothing is left to edit")
STREAM = _row(after_response=TOLD)
FORM = Cell(True, "its fields can be read, not edited")
BY_ITSELF = Cell(True, "unless the gateway answers by itself")
ELSEWHERE = _no("it goes to where it was made")
COUNTED = {**WHOLE, "before_attempt": BY_ITSELF, "after_response": BY_ITSELF}
NO_BODY = Cell(True, "there is no body")
STORED = {**WHOLE, "before_request": NO_BODY, "choose": ELSEWHERE, "before_attempt": BY_ITSELF}
LISTED = {**dict.fromkeys(PHASES, _no("the gateway answers by itself")), "authenticate": YES}

#: Endpoint -> what runs for a whole reply, and for a stream.
ENDPOINTS: dict[str, tuple[Row, Row]] = {
    "chat": (WHOLE, STREAM),
    "unified": (WHOLE, STREAM),
    "responses": (WHOLE, STREAM),
    WEBSOCKET: (dict.fromkeys(PHASES, _no("every turn is streamed")), STREAM),
    "messages": (WHOLE, STREAM),
    "generate": (WHOLE, STREAM),
    "completions": (WHOLE, STREAM),
    "responses.compact": (WHOLE, NEVER),
    "embeddings": (WHOLE, NEVER),
    "generate.embed": (WHOLE, NEVER),
    "moderations": (WHOLE, NEVER),
    "rerank": (WHOLE, NEVER),
    "responses.input_tokens": (COUNTED, NEVER),
    "messages.count_tokens": (COUNTED, NEVER),
    "generate.count_tokens": (COUNTED, NEVER),
    "images.generations": (WHOLE, STREAM),
    "images.edits": ({**WHOLE, "before_request": FORM}, {**STREAM, "before_request": FORM}),
    "images.variations": ({**WHOLE, "before_request": FORM}, NEVER),
    "audio.speech": ({**WHOLE, "after_response": Cell(True, "told: sound passes as it comes")}, STREAM),
    "audio.transcriptions": ({**WHOLE, "before_request": FORM}, {**STREAM, "before_request": FORM}),
    "audio.translations": ({**WHOLE, "before_request": FORM}, NEVER),
    "responses.get": (STORED, {**STREAM, "before_request": NO_BODY, "choose": ELSEWHERE}),
    "responses.delete": (STORED, NEVER),
    "responses.cancel": (STORED, NEVER),
    "responses.input_items": (STORED, NEVER),
    "models": (LISTED, NEVER),
}


def endpoints() -> list[str]:
    """All that there are, by the table of paths."""
    named = [
        endpoint.name
        for resources in paths.TABLE.values()
        for resource in resources.values()
        for _, endpoint in resource.methods.values()
    ]
    return list(dict.fromkeys([*named, UNIFIED.name, WEBSOCKET]))
