"""How ``manage.py apply`` reads YAML: with lines, and nothing that YAML could do to it."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing import apply_read
from routing.apply_read import Refused, read
from tests.apply_site import JSON, apply_environment, run

pytestmark = pytest.mark.django_db
assert apply_environment  # the fixture


LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join([f'*{b}'] * 10)}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "empty"),
        ("# nothing", 0, "empty"),
        ("- 1", 1, "must be a mapping"),
        ("a: 1\n\na: 2", 3, "a stands here twice; the first is on line 1"),
        ("x: {b: 1,\n b: 2}", 2, "b stands here twice"),
        ("a: &x\n  - *x", 2, "names nothing that ends before it"),
        ("a: 1\nb: *no", 2, "*no names nothing"),
        ("a: !ruby/object 1", 1, "the tag !ruby/object is not understood"),
        ("a: !!python/name:os.system x", 1, "is not understood"),
        ("a: 1\nb: \x00", 2, "a control character"),
        ("a: .inf", 1, "not a number that JSON knows"),
        ("a: !!int x", 1, "not of the type"),
        ("a: " + "1" * 5000, 1, "not of the type"),
        ("a: " + "[" * 90_000, 1, "nested too deeply"),
        ("- " * 90_000, 1, "must be a mapping"),
        (LAUGHS, 7, "too large"),
        ("a: 1\n---\nb: 1", 2, "a second document"),
        ("? [a]\n: b", 1, "a name must be text"),
        ("x: [1]\n<<: *x", 2, "names nothing"),
        ("x: &x [1]\n<<: *x", 2, "merges mappings only"),
        ("a: b\n\tc: d", 2, ""),
    ],
)
def test_what_cannot_be_read_names_its_line(
    monkeypatch: pytest.MonkeyPatch, loader: Any, text: str, line: int, words: str
) -> None:
    monkeypatch.setattr(apply_read, "LOADER", loader)
    with pytest.raises(Refused) as refused:
        read(text)
    ((found, said),) = refused.value.problems
    assert found == line
    assert words in said


@pytest.mark.parametrize("loader", LOADERS)
def test_what_is_read(monkeypatch: pytest.MonkeyPatch, loader: Any) -> None:
    monkeypatch.setattr(apply_read, "LOADER", loader)
    found = read(
        "a: &a {b: 010, c: yes}\nd:\n  <<: [*a]\n  b: 2\n  e: 2030-01-01\nf: [1.5, ~, 'no', *a]\n'<<': {g: 1}\n7: |\n  x\n"
    )
    inner = {"b": 8, "c": True}
    assert found == {
        "a": inner,
        "d": {"b": 2, "e": "2030-01-01", "c": True},
        "f": [1.5, None, "no", inner],
        "<<": {"g": 1},
        "7": "x\n",
    }
    assert found.lines == {"a": 1, "d": 2, "f": 6, "<<": 7, "7": 8}
    assert found["d"].lines == {"b": 4, "e": 5, "c": 1}
    assert (found["a"].text("b"), found["d"].text("b"), found["d"].text("c")) == ("010", "2", "yes")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), JSON))
def test_whatever_pyyaml_writes_is_read_as_it_was(document: dict[str, Any]) -> None:
    assert read(yaml.safe_dump(document)) == document


def test_files_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.yaml"
    with pytest.raises(CommandError, match="No such file"):
        run(file)
    file.write_bytes(b"version: 1\ntenants: [{name: t, title: \xff}]")
    with pytest.raises(CommandError, match=r"file.yaml:2: this is not UTF-8"):
        run(file)
    file.write_bytes(b"\xef\xbb\xbfversion: 1\r\ntenants: [{name: t}]\r\n")
    assert "created tenant t" in run(file)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"version: 1\ntenants: [{name: u}]")))
    assert "created tenant u" in run("-")
