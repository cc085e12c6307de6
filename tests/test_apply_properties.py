"""``manage.py apply``: twice is once, what is refused changes nothing, many keys cost no query each."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from routing.apply import apply
from routing.apply_read import Refused, read
from tenants.models import ApiKey
from tests.apply_site import JSON, apply_environment, do, everything

pytestmark = pytest.mark.django_db
assert apply_environment  # the fixture


def test_many_keys_cost_no_query_each_unless_they_change() -> None:
    def file(title: str, count: int) -> str:
        return f"tenants:\n- name: t\n  title: {title}\n  keys:\n" + "".join(
            f"  - {{name: k{n}, key: gw-{n:020d}}}\n" for n in range(count)
        )

    with CaptureQueriesContext(
        connection,
    ) as creating:
        do(file("a", 300))
    assert ApiKey.objects.count() == 300
    assert len(creating) < 300 * 6
    with CaptureQueriesContext(connection) as again:
        do(file("a", 300))
    assert len(again) < 12, [query["sql"] for query in again]


NAMES = st.sampled_from(["a", "b", "c"])
FLAG = st.booleans()


def entry(
    required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def unique(one: st.SearchStrategy[dict[str, Any]], *names: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(one, max_size=3, unique_by=lambda found: tuple(str(found.get(name)) for name in names))


TITLE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)
PROVIDERS = entry(
    {"name": NAMES, "kind": st.sampled_from(["openai", "groq"])},
    {
        "title": TITLE,
        "enabled": FLAG,
        "api_key": st.sampled_from(["", "sk-1", "sk-2"]),
        "idle_timeout": st.floats(0.001, 1000),
        "base_url": st.sampled_from(["", "https://x.example/v1"]),
    },
)
KEYS = entry(
    {"name": NAMES},
    {
        "enabled": FLAG,
        "expires_at": st.datetimes().map(str),
        "allowed_models": st.lists(st.sampled_from(["gpt-*", "x"]), max_size=2),
    },
)
TENANTS = entry({"name": NAMES}, {"title": TITLE, "keys": unique(KEYS, "name")})
TARGETS = entry(
    {"provider": NAMES}, {"model": NAMES, "weight": st.integers(0, 9), "priority": st.integers(-9, 9), "enabled": FLAG}
)
ROUTES = entry(
    {"model": st.sampled_from(["a", "b*"])}, {"title": TITLE, "targets": unique(TARGETS, "provider", "model")}
)
REWRITES = entry(
    {"place": st.just("body"), "action": st.sampled_from(["set", "default"]), "name": NAMES},
    {"value": JSON, "position": st.integers(-9, 9), "provider": NAMES},
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "providers": unique(PROVIDERS, "name"),
        "tenants": unique(TENANTS, "name"),
        "routes": unique(ROUTES, "model"),
        "rewrites": unique(REWRITES, "provider", "name", "action"),
    }
)


class Properties(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(first=DOCUMENTS, second=DOCUMENTS, prune=FLAG)
    def test_twice_is_once_and_what_is_refused_changes_nothing(
        self, first: dict[str, Any], second: dict[str, Any], prune: bool
    ) -> None:
        for document in (first, second):
            before = everything()
            text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
            try:
                apply(read(text), prune=prune)
            except Refused as refused:
                lines = text.splitlines()
                assert refused.problems
                assert all(1 <= line <= len(lines) for line, _ in refused.problems)
                assert everything() == before
                continue
            after = everything()
            again = apply(read(text), prune=prune)
            assert (again.lines, again.issued) == ([], [])
            assert everything() == after

    @settings(max_examples=100, deadline=None)
    @given(document=DOCUMENTS, data=st.data())
    def test_a_spoiled_document_is_refused_or_applied_whole(
        self, document: dict[str, Any], data: st.DataObject
    ) -> None:
        text = json.dumps(document)
        start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        text = text[:start] + data.draw(st.text(max_size=5)) + text[min(end, start + 20) :]
        before = everything()
        try:
            apply(read(text))
        except Refused:
            assert everything() == before
