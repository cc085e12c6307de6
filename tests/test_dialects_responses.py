"""Every Responses object and event that is written fits the OpenResponses document; what that has no word for
(freeform tools, tools that the upstream runs) fits OpenAI's."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from providers.chat import Chat
from providers.dialects import CLIENTS, UPSTREAMS
from providers.events import Event, OpaqueAdded, Started
from tests.dialect_shapes import split
from tests.response_schemas import OPENAI, OPENRESPONSES, event_schemas, faults
from tests.test_recordings import DIALECTS, chat_of, replies, reply_events

OURS = "openai_responses"
#: Types that OpenResponses leaves to its extensions.
EXTENSIONS = ("function", "custom", "namespace", "message", "reasoning", "function_call", "compaction")


def plain(chat: Chat) -> bool:
    """Whether all that the reply echoes has a word in OpenResponses: function tools and choices of them."""
    kinds = {type(tool).__name__ for tool in chat.tools}
    choice = chat.tool_choice
    return kinds <= {"FunctionTool"} and (choice is None or all(kind == "function" for kind, _ in choice.names))


def check(doc: dict[str, Any], schema: str, extended: bool) -> list[str]:
    """Faults by OpenResponses; where extensions are in it, by OpenAI's document."""
    if not extended:
        return faults(OPENRESPONSES, schema, doc)
    return faults(OPENAI, {"ResponseResource": "Response"}.get(schema, schema), doc)


def of_stream(events: list[Event], chat: Chat, extended: bool, kinds: Counter[str]) -> list[str]:
    writer = CLIENTS[OURS].StreamWriter(chat)
    written = b"".join(writer.feed(event) for event in events) + writer.flush()
    docs = [json.loads(event.data) for event in split(written) if event.data != b"[DONE]"]
    assert [doc["sequence_number"] for doc in docs] == list(range(len(docs)))
    found = []
    for doc in docs:
        kinds[doc["type"]] += 1
        known = event_schemas(OPENRESPONSES)
        foreign = doc["type"] not in known
        name, schemas = (OPENAI, event_schemas(OPENAI)) if extended or foreign else (OPENRESPONSES, known)
        found += [f"{doc['type']} {fault}" for fault in faults(name, schemas[doc["type"]], doc)]
    return found


@pytest.mark.parametrize("upstream", DIALECTS)
def test_what_is_written_fits_the_document(upstream: str) -> None:
    wrong: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    count = 0
    for recording in replies(upstream)[::2]:
        asked = chat_of(upstream, recording)
        events = reply_events(upstream, recording, asked)
        chat = asked if upstream == OURS else Chat(OURS, "m", [], tools=asked.tools)
        # OpenAI's own document is far stricter on items of tools that the upstream runs than their replies are.
        if any(isinstance(event, OpaqueAdded) and event.dialect == OURS for event in events):
            continue
        extended = not plain(chat) or any(getattr(event, "kind", "") == "custom" for event in events)
        if extended and not plain(chat):
            continue
        count += 1
        wrong.update(of_stream(events, chat, extended, kinds))
        whole = CLIENTS[OURS].write_response(events, chat)
        if isinstance(events[0], Started):
            wrong.update(check(json.loads(json.dumps(whole)), "ResponseResource", extended))
    print(f"\n{upstream}: {count} replies, {kinds.total()} events of {len(kinds)} types")
    assert not wrong, wrong.most_common(8)


def test_dialects_have_both_sides() -> None:
    assert set(DIALECTS) <= set(UPSTREAMS) & set(CLIENTS)
