"""Replies that are refusals: whatever a provider sends is read, or is none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.told import FILTERED, told_in_event, told_in_reply
from tests import recordings

NAMES = st.sampled_from(
    "promptFeedback blockReason incomplete_details reason stop_reason choices candidates finish_reason finishReason"
    " message delta content parts output type text".split()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from([*sorted(FILTERED), "stop", "message"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6) | VALUES)
def test_anything_is_read(doc: Any) -> None:
    found = told_in_reply(doc)
    assert found in ("", "content_policy")
    assert told_in_event(orjson.dumps(doc)) == found


@pytest.mark.parametrize(
    "doc",
    [
        {"choices": [{"message": {"content": None}, "finish_reason": "refusal"}]},
        {"choices": [{"message": {"content": None}, "finish_reason": None, "finishReason": "SAFETY"}]},
        {"choices": [{"message": {"content": ""}}], "promptFeedback": {"blockReason": "SAFETY"}},
        {"choices": [{"message": {"content": ""}}], "stop_reason": "refusal"},
        {"choices": None, "candidates": [{"finishReason": "SAFETY"}]},
        {"output": [], "incomplete_details": {"reason": "refusal"}},
        {"content": [], "stop_reason": "refusal"},
    ],
)
def test_refusals_in_all_their_shapes(doc: Any) -> None:
    assert told_in_reply(doc) == told_in_event(orjson.dumps(doc)) == "content_policy"


@pytest.mark.parametrize(
    "doc",
    [
        {"stop_reason": []},
        {"choices": [{"finish_reason": ["content_filter"]}]},
        {"choices": 7, "id": "content_filter"},
        {"candidates": {"finishReason": "SAFETY"}},
        {"output": "RECITATION", "incomplete_details": {"reason": {}}},
    ],
)
def test_garbage_is_no_refusal(doc: Any) -> None:
    assert told_in_reply(doc) == told_in_event(orjson.dumps(doc)) == ""


def test_recorded_replies_are_read_alike_in_whole_and_as_events() -> None:
    count = 0
    for each in recordings.require():
        if each.status == 200 and not each.stream and each.reply.startswith(b"{"):
            assert told_in_event(each.reply) == told_in_reply(orjson.loads(each.reply)), each
            count += 1
    assert count > 500
