"""Edits of a JSON object in place: what changes is the value, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import jsonbytes
from providers.jsonbytes import JSONBodyError
from tests import recordings

Place = tuple[int, int, int]
Made = tuple[bytes, list[tuple[str, Any]], list[Place]]
GUARDED = ("model", "stream", "max_tokens", "max_completion_tokens", "max_output_tokens", "n")
TRICKY = '{}[]":,\\/ \n\u0000\u007f\u0100\u017f\u212a\U0001f600model'

texts = st.text(st.sampled_from(TRICKY) | st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.sampled_from(["model", "Model", "stream", "n", "mode", 'x"model', "x\\", "é", ""]) | texts
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
members = st.lists(st.tuples(keys, values), max_size=6)
spaces = st.text(" \t\r\n", max_size=2)
new_values = values.map(lambda value: json.dumps(value).encode())


@st.composite
def strings(draw: st.DrawFn, text: str) -> str:
    """``text`` as JSON, each character plain or escaped in one of the ways there are."""
    out = []
    for character in text:
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        units = character.encode("utf-16-be").hex()
        escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        forms = [plain, plain, plain, escaped, escaped.upper().replace("\\U", "\\u")]
        out.append(draw(st.sampled_from(forms if character != "/" else [*forms, "\\/"])))
    return f'"{"".join(out)}"'


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> str:
    """``value`` as JSON, with white space and escapes wherever they may stand."""
    space = draw(spaces)
    if isinstance(value, str):
        return draw(strings(value))
    if isinstance(value, list):
        return "[" + space + ",".join(space + draw(spelled(item)) + space for item in value) + "]"
    if isinstance(value, dict):
        return draw(spelled_members(list(value.items())))[0]
    return json.dumps(value)


@st.composite
def spelled_members(draw: st.DrawFn, pairs: list[tuple[str, Any]]) -> tuple[str, list[Place]]:
    """The text of an object, and where each key begins and each value begins and ends in it."""
    text, where = "{" + draw(spaces), []
    for index, (key, value) in enumerate(pairs):
        text += ("," if index else "") + draw(spaces)
        key_start = len(text.encode())
        text += draw(strings(key)) + draw(spaces) + ":" + draw(spaces)
        start = len(text.encode())
        text += draw(spelled(value))
        where.append((key_start, start, len(text.encode())))
        text += draw(spaces)
    return text + "}", where


@st.composite
def objects(draw: st.DrawFn) -> Made:
    pairs = draw(members)
    text, where = draw(spelled_members(pairs))
    before = draw(spaces)
    shift = len(before)
    body = (before + text + draw(spaces)).encode()
    return body, pairs, [(a + shift, b + shift, c + shift) for a, b, c in where]


@given(objects())
def test_spans_are_where_the_members_were_written(
    made: Made,
) -> None:
    body, pairs, where = made
    assert json.loads(body) == dict(pairs)
    assert jsonbytes.spans(body) == [(key, *place) for (key, _), place in zip(pairs, where, strict=True)]


@given(objects(), keys, new_values)
def test_replace_changes_the_values_of_that_key_and_no_other_byte(made: Made, key: str, value: bytes) -> None:
    body, pairs, where = made
    expected, at = b"", 0
    for (name, _), (_, start, end) in zip(pairs, where, strict=True):
        if name == key:
            expected, at = expected + body[at:start] + value, end
    expected += body[at:]
    if key not in dict(pairs):
        with pytest.raises(KeyError):
            jsonbytes.replace(body, key, value)
        assert jsonbytes.replace_nested(body, (key,), value) is body
        return
    assert jsonbytes.replace(body, key, value) == expected
    assert json.loads(expected) == {**dict(pairs), key: json.loads(value)}
    assert json.loads(jsonbytes.replace_nested(body, (key,), value)) == json.loads(expected)


@given(objects(), keys)
def test_remove_drops_every_member_of_that_name(made: Made, key: str) -> None:
    body, pairs, where = made
    kept = [pair for pair in pairs if pair[0] != key]
    if len(kept) == len(pairs):
        with pytest.raises(KeyError):
            jsonbytes.remove(body, key)
        return
    result = jsonbytes.remove(body, key)
    assert json.loads(result) == dict(kept)
    left = [
        (member.key, json.loads(result[member.value_start : member.value_end])) for member in jsonbytes.spans(result)
    ]
    assert left == kept
    texts_kept = [body[start:end] for (name, _), (start, _, end) in zip(pairs, where, strict=True) if name != key]
    at = 0
    for text in texts_kept:  # each kept member stands in the result as it was written
        at = result.index(text, at) + len(text)


@given(objects(), texts, new_values)
def test_insert_adds_one_member_and_keeps_every_byte(made: Made, key: str, value: bytes) -> None:
    body, pairs, _ = made
    result = jsonbytes.insert(body, key, value)
    brace = body.index(b"{") + 1
    assert result.startswith(body[:brace]) and result.endswith(body[brace:])
    assert json.loads(result) == {key: json.loads(value), **dict(pairs)}


@given(objects(), keys, objects(), new_values)
def test_replace_nested_changes_only_the_inner_value(
    outer: Made,
    key: str,
    inner: Made,
    value: bytes,
) -> None:
    body = outer[0]
    if key in dict(outer[1]):
        body = jsonbytes.remove(body, key)
    body = jsonbytes.insert(body, key, inner[0].strip())
    doc = json.loads(body)
    result = jsonbytes.replace_nested(body, (key, "model"), value)
    if "model" not in doc[key]:
        assert result == body
        return
    doc[key]["model"] = json.loads(value)
    assert json.loads(result) == doc
    assert result == body.replace(inner[0].strip(), jsonbytes.replace_nested(inner[0].strip(), ("model",), value), 1)


@pytest.mark.parametrize("doc", [{"response": 1}, {"response": None, "model": "m"}, {"response": ["model"]}, {}])
def test_replace_nested_leaves_what_has_no_such_path(doc: dict[str, Any]) -> None:
    body = json.dumps(doc).encode()
    assert jsonbytes.replace_nested(body, ("response", "model"), b"1") is body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"messages":[{"model":"a"}],"model":"b"}', b'{"messages":[{"model":"a"}],"model":9}'),
        (b'{"a":{"model":"x"}}', None),
        (b'{"x\\"model":1}', None),
        (b'{"a":"model","model":1}', b'{"a":"model","model":9}'),
        (b'{"a":"\\"model\\": 1","model" :\n"gpt \\" 4" }', b'{"a":"\\"model\\": 1","model" :\n9 }'),
        (b'{"mod\\u0065l":"x","a":{"model":1}}', b'{"mod\\u0065l":9,"a":{"model":1}}'),
        (b'{"model":{"a":[{}]},"b":"}"}', b'{"model":9,"b":"}"}'),
        (b'{"a":"}{","model":true,"b":"{"}', b'{"a":"}{","model":9,"b":"{"}'),
        (b'{"model":-1.5e+9}', b'{"model":9}'),
    ],
)
def test_replace_by_hand(body: bytes, expected: bytes | None) -> None:
    if expected is None:
        with pytest.raises(KeyError):
            jsonbytes.replace(body, "model", b"9")
    else:
        assert jsonbytes.replace(body, "model", b"9") == expected


@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 1, 3 << 18])
@pytest.mark.parametrize("filler", ["\\\\", '\\"', "A", "é", '{\\"model\\":', "[\\\\"])
def test_large_bodies_are_read_across_windows(filler: str, size: int) -> None:
    # Both sides of the key are long, and a second one stands inside: nothing but the exact count of brackets helps.
    fill = filler * (size // len(filler.encode()))
    for shift in range(4):
        body = f'{{"a":[{{"model":"{"x" * shift}{fill}"}}],"model":"m","b":["{fill}",{{"model":1}}]}}'.encode()
        result = jsonbytes.replace(body, "model", b'"new"')
        assert result == body.replace(b'"model":"m"', b'"model":"new"')
        jsonbytes.check_unique(body, jsonbytes.parse(body), GUARDED)
        twice = body.replace(b'"b":', b'"model":')
        with pytest.raises(JSONBodyError, match="twice"):
            jsonbytes.check_unique(twice, jsonbytes.parse(twice), GUARDED)


def refused(body: bytes) -> str | None:
    try:
        jsonbytes.check_unique(body, jsonbytes.parse(body), GUARDED)
    except JSONBodyError as error:
        return error.field
    return None


@given(objects())
def test_check_unique_agrees_with_a_plain_reading_of_the_pairs(
    made: Made,
) -> None:
    body, pairs, _ = made
    names = [key.replace("\u0130", "i").replace("\u0131", "i").casefold() for key, _ in pairs]
    bad = {
        name
        for (key, _), name in zip(pairs, names, strict=True)
        if name in GUARDED and (key != name or names.count(name) > 1)
    }
    assert (refused(body) in bad) if bad else (refused(body) is None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"model":"a","model":"b"}', "model"),
        (b'{"model":"a","\\u006dodel":"b"}', "model"),
        (b'{"\\u006dodel":"a","mode\\u006C":"b"}', "model"),
        (b'{"max_tokens":1,"max\\u005ftokens":2}', "max_tokens"),
        (b'{"Model":"a"}', "model"),
        (b'{"model":"a","MODEL":"b"}', "model"),
        ('{"\u017ftream":true}'.encode(), "stream"),
        (b'{"\\u017ftream":true,"stream":false}', "stream"),
        ('{"max_to\u212aens":1}'.encode(), "max_tokens"),
        ('{"max_complet\u0130on_tokens":1}'.encode(), "max_completion_tokens"),
        ('{"max_complet\u0131on_tokens":1}'.encode(), "max_completion_tokens"),
        (b'{"tools":[{"model":1,"model":2}],"model":"a"}', None),
        (b'{"tools":[{"model":1}],"model":"a","x":"\\u0041"}', None),
        (b'{"a":"\\"model\\": 1, \\"model\\": 2","model":"a"}', None),
        (b'{"temperature":1,"temperature":2,"model":"a"}', None),
        (b'{"\\u006dodel":"a"}', None),
    ],
)
def test_check_unique_by_hand(body: bytes, field: str | None) -> None:
    assert refused(body) == field
    if field:
        with pytest.raises(JSONBodyError) as caught:
            jsonbytes.check_unique(body, jsonbytes.parse(body), frozenset(GUARDED))
        assert field in str(caught.value)


def test_check_unique_remembers_only_harmless_keys() -> None:
    for body, field in [
        (b'{"Model":1}', "model"),
        (b'{"mode":1,"extra":2}', None),
        (b'{"Model":1,"mode":1}', "model"),
        (b'{"mode":1,"N":2}', "n"),
    ] * 2:
        assert refused(body) == field
    for number in range(3000):
        assert refused(f'{{"key_{number}":1}}'.encode()) is None
    assert refused(b'{"STREAM":1}') == "stream"


def test_check_unique_refuses_names_that_it_cannot_look_for() -> None:
    with pytest.raises(ValueError, match="letters"):
        jsonbytes.check_unique(b"{}", {}, ("top-k",))


SECRET = b"sk-secret"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"key":"sk-secret', "line 1, column 18"),
        (b'{"key":"sk-secret"} x', "line 1, column 21"),
        (b'{\n\n "a":"sk-secret" "b"}', "line 3"),
        (b'["sk-secret"]', "an array"),
        (b'"sk-secret"', "a string"),
        (b"null", "null"),
        (b"true", "a boolean"),
        (b"12", "a number"),
        (b'{"a":\n"\xc3\xa9sk-secret\xff"}', "not UTF-8 at line 2, byte 13"),
        (b'{"key":"sk-secret\x00"}', "line 1"),
        (b'{"key":"sk-secret\n"}', "line 1"),
        (b"\x00{}", "line 1, column 1"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a":NaN}', "line 1"),
        (b'{"a":"\\ud800"}', "line 1"),
        (b"[" * 100_000, "depth"),
        (b'{"a":sk-secret}', "line 1, column 6"),
    ],
)
def test_parse_says_where_it_is_wrong_and_never_what_it_holds(body: bytes, says: str) -> None:
    with pytest.raises(JSONBodyError) as caught:
        jsonbytes.parse(body)
    assert says in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in str(vars(error)) + repr(error)
        error = error.__context__


@given(objects())
def test_parse_reads_what_json_reads(made: Made) -> None:
    assert jsonbytes.parse(made[0]) == json.loads(made[0], parse_int=whole)


def whole(digits: str) -> int | float:
    return int(digits) if -(2**63) <= int(digits) < 2**64 else float(digits)


@given(st.binary(max_size=40) | texts.map(str.encode))
def test_parse_raises_nothing_but_its_own_error(body: bytes) -> None:
    try:
        doc = json.loads(body)
    except ValueError:
        with pytest.raises(JSONBodyError):
            jsonbytes.parse(body)
    else:
        if not isinstance(doc, dict):
            with pytest.raises(JSONBodyError):
                jsonbytes.parse(body)


def test_recorded_requests_and_events() -> None:
    """The model of every recorded exchange, replaced; expected is a look-up of the value's own text."""
    changed = 0
    for recording in recordings.require():
        for body in (
            recording.request_bytes("old-model-name"),
            *(json.dumps(event).encode() for event in recording.events()[:20]),
        ):
            doc = json.loads(body)
            if not isinstance(doc, dict):
                continue
            jsonbytes.check_unique(body, jsonbytes.parse(body), GUARDED)
            for path in (("model",), ("response", "model"), ("message", "model")):
                node: Any = doc
                for name in path[:-1]:
                    node = node.get(name)
                    if not isinstance(node, dict):
                        break
                result = jsonbytes.replace_nested(body, path, b'"new"')
                if not isinstance(node, dict) or "model" not in node:
                    assert result is body
                    continue
                old, node["model"] = node["model"], "new"
                assert json.loads(result) == doc
                assert len(result) == len(body) - len(json.dumps(old)) + len(b'"new"') or not json.dumps(old).isascii()
                node["model"] = old
                changed += 1
    assert changed > 1000
