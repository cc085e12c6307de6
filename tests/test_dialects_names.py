"""Names of tools that an upstream refuses: made legal there, and the client's own again in what it answers."""

from __future__ import annotations

import copy
import json

import pytest

from providers.dialects import CLIENTS, UPSTREAMS
from providers.events import ToolStarted
from tests.dialect_requests import Doc, called, tooled
from tests.test_dialects_bad_input import PATH, sent
from tests.test_recordings import DIALECTS
from tests.upstream_written import streamed, whole

ODD = "my tool/№1 " + "x" * 130


def wire_name(upstream: str, doc: Doc) -> str:
    if upstream == "bedrock":
        return str(doc["toolConfig"]["tools"][0]["toolSpec"]["name"])
    tools = doc["tools"][0]["functionDeclarations"] if upstream == "gemini" else doc["tools"]
    return str((tools[0].get("function") or tools[0])["name"])


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", DIALECTS)
def test_illegal_names_come_back(client: str, upstream: str) -> None:
    """In the request, in a whole reply, in a stream, and in later turns."""
    if client == upstream:
        pytest.skip("the bytes go through")
    doc = tooled(client, {"type": "object", "properties": {"a": {"type": "string"}}}, ODD)
    chat = CLIENTS[client].read_request(copy.deepcopy(doc), PATH)
    dialect = UPSTREAMS[upstream]
    name = wire_name(upstream, dialect.write_request(chat)[0])
    assert name != ODD and name.isascii() and len(name) <= 128 and " " not in name and "/" not in name
    reader = dialect.StreamReader(chat)
    pieces = [event for each in streamed(upstream, [], name) for event in reader.feed(each)] + reader.flush()
    for found in (dialect.read_response(whole(upstream, [], name), chat), pieces):
        assert [event.name for event in found if isinstance(event, ToolStarted)] == [ODD]
    later = called(client, "{}", name=ODD) | {"tools": doc["tools"]}
    body = json.dumps(sent(client, upstream, later)[0], ensure_ascii=False)
    assert body.count(name) >= 2 and ODD not in body
