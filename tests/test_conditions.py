"""Conditions and abilities: what a target takes, why it does not, and what the admin's form refuses."""

from __future__ import annotations

import calendar
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.abilities import FLAGS, Ability, read_ability
from providers.chat import BadRequest
from routing.conditions import DAYS, KNOWN, read_conditions, reject
from routing.facts import Facts
from tests import recordings

MONDAY = float(calendar.timegm((2026, 6, 1, 0, 0, 0)))  # a Monday
HOUR = 3600
IMAGE = {
    "role": "user",
    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}],
}
#: The words that recordings have for what requests use.
FEATURES = {"tools": "tools", "structured": "json_schema", "images": "image", "audio": "audio", "documents": "document"}


def why(conditions: Any, facts: Facts) -> str:
    return reject(read_conditions(conditions), None, facts)


@pytest.mark.parametrize(
    ("doc", "flag"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"messages": [IMAGE]}, "images"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]}]}, "images"),
        ({"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]}, "images"),
        ({"messages": [{"content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]}, "images"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}]}, "images"),
        (
            {"contents": [{"parts": [{"functionResponse": {"parts": [{"inline_data": {"mime_type": "image/a"}}]}}]}]},
            "images",
        ),
        ({"messages": [{"content": [{"type": "input_audio", "input_audio": {"data": "AA"}}]}]}, "audio"),
        ({"contents": [{"parts": [{"fileData": {"mimeType": "video/mp4"}}]}]}, "video"),
        ({"messages": [{"content": [{"type": "document", "source": {}}]}]}, "documents"),
        ({"contents": [{"parts": [{"file_data": {"mime_type": "application/pdf"}}]}]}, "documents"),
        ({"response_format": {"type": "json_schema"}}, "structured"),
        ({"text": {"format": {"type": "json_schema"}}}, "structured"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "structured"),
        ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, "structured"),
    ],
)
def test_flags_are_seen_in_every_dialect(doc: dict[str, Any], flag: str) -> None:
    facts = Facts(doc)
    assert [name for name in FLAGS if facts.has(name)] == [flag]
    assert why({flag: True}, facts) == ""
    assert why({flag: False}, facts) == f"takes requests without {FLAGS[flag]} only"
    assert why({flag: True}, Facts({})) == f"takes requests with {FLAGS[flag]} only"
    assert Ability(((flag, False),)).reject(facts) == f"its model has no {FLAGS[flag]}"
    assert Ability(((flag, True),)).reject(facts) == Ability(((flag, False),)).reject(Facts({})) == ""


def test_recorded_requests_use_what_they_are_said_to() -> None:
    """The recordings name documents that are only meant, and do not name files given by address: one in a hundred."""
    every = recordings.require()
    wrong: Counter[str] = Counter()
    for recording in every:
        facts = Facts(recording.request_body)
        wrong.update(flag for flag, word in FEATURES.items() if facts.has(flag) != (word in recording.features))
    print(f"of {len(every)} requests: {dict(wrong)} are seen otherwise")
    assert all(count <= len(every) / 100 for count in wrong.values())
    assert not wrong["tools"]
    assert not wrong["structured"]


def test_streams() -> None:
    assert why({"stream": True}, Facts({}, stream=True)) == ""
    assert why({"stream": True}, Facts({})) == "takes requests with streaming only"
    assert read_ability({"stream": False}) == Ability((("stream", False),))


def test_sizes() -> None:
    facts = Facts({}, size=4000)
    assert why({"max_input_bytes": 4000, "min_input_bytes": 4000, "max_input_tokens": 1000}, facts) == ""
    assert why({"max_input_bytes": 3999}, facts) == "takes input of at most 3999 bytes, not 4000"
    assert why({"min_input_tokens": 1001}, facts) == "takes input of at least 1001 tokens, not about 1000"


def test_an_image_is_not_counted_as_text() -> None:
    facts = Facts({"messages": [IMAGE]}, size=4100)
    assert facts.input_tokens < 1100
    assert facts.least_tokens < 20


def test_only_what_is_surely_too_long_is_too_long() -> None:
    ability = read_ability({"context_length": 1000, "tools": True})
    assert reject(None, ability, Facts({}, size=6000)) == ""
    reason = reject(None, ability, Facts({}, size=6006))
    assert reason == "its model has room for 1000 tokens, and the input has at least 1001"


def test_tags_tenants_and_headers() -> None:
    facts = Facts({}, tags=["batch", "eval-7"], tenant="acme", headers={b"x-region": b"eu-west"})
    assert why({"tags": ["eval-*"], "tenants": ["acme"], "headers": {"X-Region": ["us", "eu-*"]}}, facts) == ""
    assert why({"tags": ["vip"]}, facts) == "takes requests with one of the tags vip only"
    assert why({"not_tags": ["batch"]}, facts) == "does not take requests with one of the tags batch"
    assert why({"tenants": ["b", "a"]}, facts) == "takes the tenants a or b only"
    assert why({"not_tenants": ["ac*"]}, facts) == "does not take the tenants ac*"
    assert why({"headers": {"x-region": "us"}}, facts) == "takes requests whose header x-region is us only"
    assert why({"headers": {"x-other": "*"}}, facts) == "takes requests whose header x-other is * only"
    assert why({"headers": {"x-region": "*"}}, facts) == ""
    assert why({"tags": ["*"]}, Facts({})) != ""


@pytest.mark.parametrize(
    ("times", "open_hours"),
    [
        ([{"days": ["mon"], "from": "08:00", "to": "10:00"}], [8, 9]),
        ([{"days": ["mon"], "from": "22:00", "to": "02:00"}], [22, 23, 24, 25]),
        ([{"days": ["sun"], "from": "23:00", "to": "01:00"}], [0, 167]),
        ([{"days": ["tue"]}], list(range(24, 48))),
        ([{"from": "00:00", "to": "24:00"}], list(range(168))),
        ([{"days": ["mon"], "to": "01:00"}, {"days": ["sat"], "from": "23:30"}], [0, 143]),
    ],
)
def test_times_of_the_week(times: list[dict[str, Any]], open_hours: list[int]) -> None:
    """The hours of a week, from its Monday on, in which the last minute is open."""
    found = [hour for hour in range(168) if not why({"times": times}, Facts({}, now=MONDAY + hour * HOUR + 3599))]
    assert found == open_hours


def test_a_window_ends_on_the_minute() -> None:
    times = {"times": [{"from": "08:00", "to": "08:30"}]}
    assert why(times, Facts({}, now=MONDAY + 8.5 * HOUR - 0.001)) == ""
    assert why(times, Facts({}, now=MONDAY + 8.5 * HOUR)) == "takes no requests at this time"


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"strem": True}, f"conditions.strem: is not known; known are {', '.join(KNOWN)}"),
        ({"stream": "yes"}, "conditions.stream: must be true or false"),
        ({"max_input_bytes": -1}, "conditions.max_input_bytes: must be a number from 0 up"),
        ({"max_input_tokens": 1.5}, "conditions.max_input_tokens: must be an integer"),
        (
            {"min_input_bytes": 9, "max_input_bytes": 8},
            "conditions.max_input_bytes: must not be less than min_input_bytes",
        ),
        ({"tags": []}, "conditions.tags: must name something, or be left out"),
        ({"tags": "a"}, "conditions.tags: must be a list"),
        ({"tags": ["a*b"]}, "conditions.tags: must be names, of which * may be the last character only"),
        ({"tenants": [" "]}, "conditions.tenants: must be names, of which * may be the last character only"),
        ({"tenants": [str(n) for n in range(101)]}, "conditions.tenants: must have at most 100 names"),
        ({"headers": {"authorization": "x"}}, "conditions.headers.authorization: holds a secret, on which no"),
        ({"headers": {"a b": "x"}}, "conditions.headers.a b: is not a legal header name"),
        ({"headers": {"x-a": 1}}, "conditions.headers.x-a: must be a string or a list of strings"),
        ({"times": [{"days": ["monday"]}]}, f"conditions.times[0].days: must be of {', '.join(DAYS)}, not 'monday'"),
        ({"times": [{}, {"from": "8:00"}]}, "conditions.times[1].from: must be a time such as 08:30"),
        (
            {"times": [{"from": "08:00", "to": "08:00"}]},
            "conditions.times[0]: must have a beginning before another end",
        ),
        ({"times": [{"until": "08:00"}]}, "conditions.times[0].until: is not known; known are days, from, to"),
        ([], "conditions: must be an object"),
    ],
)
def test_what_is_wrong_is_said(conditions: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_conditions(conditions)
    assert str(caught.value).startswith(message)


def test_nothing_is_no_condition() -> None:
    assert read_conditions({}) is read_conditions(None) is read_conditions({"times": []}) is None
    assert read_ability({}) is read_ability(None) is None
    assert reject(None, None, Facts({})) == ""
    with pytest.raises(BadRequest, match=r"abilities\.colour"):
        read_ability({"colour": True})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(KNOWN), VALUES) | VALUES)
def test_any_json_is_read_or_refused(doc: Any) -> None:
    try:
        conditions = read_conditions(doc)
    except BadRequest as refusal:
        assert refusal.field.startswith("conditions")
    else:
        assert isinstance(reject(conditions, None, Facts({}, tags=["a"], tenant="t")), str)
