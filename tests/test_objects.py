"""Which objects a body names: the shortcut for plain bodies never misses one."""

from __future__ import annotations

from typing import Any
from unittest import mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import objects
from tests.recordings import require

NAMES = [*sorted(objects.NAMING), *"role content messages input model type metadata id tools".split()]
VALUES = st.recursive(
    st.none() | st.sampled_from(["obj-1", "custom", "files/a", ""]) | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
TURNS = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": VALUES}), max_size=2)


def found(api: str, doc: dict[str, Any], body: bytes) -> list[objects.Found]:
    """Without the shortcut."""
    with mock.patch.object(objects, "_plain", return_value=False):
        return objects.named(api, doc, body)


@given(
    st.sampled_from(["chat", "responses", "messages", "generate"]),
    st.dictionaries(st.sampled_from(NAMES), VALUES | TURNS, max_size=4),
)
def test_the_shortcut_misses_nothing(api: str, doc: dict[str, Any]) -> None:
    body = orjson.dumps(doc)
    assert objects.named(api, doc, body) == found(api, doc, body)


@pytest.mark.parametrize("name", sorted(objects.NAMING))
def test_a_name_at_the_top_is_looked_at(name: str) -> None:
    assert not objects._plain({"model": "m", name: "obj-1"})
    assert objects._plain({"model": "m", name: None})


def test_most_recorded_bodies_are_plain_and_none_of_those_names_an_object() -> None:
    asked = [each.request_body for each in require() if each.api == "openai.chat"]
    plain = [doc for doc in asked if objects._plain(doc)]
    assert len(plain) > len(asked) / 4
    assert [named for doc in plain if (named := found("chat", doc, orjson.dumps(doc)))] == []
