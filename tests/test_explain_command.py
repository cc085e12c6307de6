"""``manage.py explain``: the decision in words, and what it does not understand."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from routing.explain_text import NOT_LIVE
from routing.gateway import Gateway
from routing.models import Hook
from tests.explain_site import Rows, add_key, gateway, made, open_breaker

pytestmark = pytest.mark.django_db
assert made and gateway  # fixtures

SECOND = "takes requests without tools only"
THIRD = "stands in for requests that are too long for another target"


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("explain", *words, stdout=out)
    return out.getvalue()


def test_the_decision_in_words(made: Rows, tmp_path: Path) -> None:
    ids = [target.pk for target in made["targets"]]
    Hook.objects.create(name="Inject", options={"system": "Be brief."})
    assert run("--key", "prod", "--model", "fast").splitlines() == [
        "Key prod of tenant acme",
        "Model fast → route fast (by name), strategy priority",
        f"  1.  first/m (target {ids[0]})",
        f"  2.  second/m (target {ids[1]})",
        f"  -   third/m (target {ids[2]}): {THIRD}",
        "Hooks that would run, and may decide otherwise: Inject",
        NOT_LIVE,
    ]
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"model": "fast", "tools": [{"type": "function"}]}))
    assert f"  -   second/m (target {ids[1]}): {SECOND}" in run("--key", "prod", "--file", str(file))


def test_in_a_process_that_serves(made: Rows, gateway: Gateway) -> None:
    open_breaker(gateway, made["providers"][0])
    printed = run("--key", "prod", "--model", "fast")
    assert "first/m" in printed and "circuit breaker is open" in printed and NOT_LIVE not in printed


def test_a_refusal_in_words(made: Rows) -> None:
    printed = run("--key", "prod", "--model", "slow")
    assert "Model slow\nRefused with 404 unknown_model: The model 'slow' does not exist." in printed
    assert "Without a key" in run("--model", "fast") and "401 auth" in run("--model", "fast")


def test_json_and_the_other_options(made: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = add_key("rival", "prod")
    second = made["targets"][1]
    second.conditions = {"stream": True, "headers": {"x-region": "eu"}}
    second.save()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"max_tokens": 5}')))
    words = "--key prod --tenant rival --model fast --path /v1/messages --file - --stream --json".split()
    found = json.loads(run(*words, "--header", "x-region: eu", "--header", "x-provider: second"))
    assert found["key"] == {"id": twin.pk, "name": "prod", "tenant": "rival"}
    assert [each["provider"] for each in found["candidates"] if "order" in each] == ["second"]
    assert found["live"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--key", "none", "--model", "fast"], "--key: There is no such key."),
        (["--key", "prod"], "--model: Say which model"),
        (["--model", "fast", "--path", "/v1/nothing"], "--path: Requests to '/v1/nothing'"),
        (["--model", "fast", "--path", "/chat/completions"], "Did you mean /v1/chat/completions?"),
        (["--model", "fast", "--header", "x-region"], "--header: write it as name: value"),
        (["--model", "fast", "--header", "x region: y"], "--headers: 'x region' is not a header"),
        (["--model", "fast", "--file", "/no/such/file"], "cannot be read"),
        (["--model", "fast", "--file", __file__], "is not JSON"),
    ],
)
def test_what_is_not_understood(made: Rows, words: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(*words)
    assert said in str(refused.value)


@pytest.mark.parametrize("content", [b"[]", b"[" * 100_000, b"\xff", b"1" * 5000])
def test_a_file_that_is_no_object(made: Rows, tmp_path: Path, content: Any) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(content)
    with pytest.raises(CommandError, match="is not "):
        run("--model", "fast", "--file", str(file))
