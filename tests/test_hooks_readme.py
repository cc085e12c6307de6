"""The README's section about hooks: its example as it stands there, and every shipped hook as its file has it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from routing.apply import apply
from routing.apply_read import read
from routing.hook_classes import PHASES, checked, phases
from routing.hook_options import options_class, read_options
from routing.hook_rows import unsealed
from routing.hooks import Hooks, Means
from routing.models import Hook
from routing.shipped import SHIPPED
from tests.hook_upstream import MESSAGE, WHOLE
from tests.inprocess import Plane, plane, route, sse, table, upstream
from tests.readme_hooks import CODE, SECTION, house_rules

assert house_rules  # a fixture
OPTIONS = {"words": ["Rumpelstiltskin"], "hottest": 0.7, "team": "red"}


def answer(request: httpx.Request) -> httpx.Response:
    asked = orjson.loads(request.content)
    if asked["model"] == "busy":
        return httpx.Response(529, json={"error": {"message": "x"}})
    if asked.get("stream"):
        chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "damn it"}, "finish_reason": "stop"}]}
        return sse(orjson.dumps(chunk).decode(), "[DONE]")
    if request.url.host == "claude.test":
        return httpx.Response(200, json={**MESSAGE, "content": [{"type": "text", "text": "damn it"}]})
    return httpx.Response(200, content=orjson.dumps(WHOLE["chat/completions"]).replace(b"said", b"damn it"))


@pytest_asyncio.fixture
async def running(house_rules: Any) -> Any:
    hook = checked(house_rules.HouseRules)
    made = hook(read_options(options_class(hook), OPTIONS), Means())
    routes = [
        route("m", upstream()),
        route("busy", upstream(max_retries=0), id=2),
        route("claude", upstream(2, "claude", kind="anthropic"), id=3),
    ]
    async with plane(replace(table(*routes), hooks=Hooks(made=[made])), answer) as found:
        yield found


async def say(running: Plane, text: str, model: str = "m", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return await running.client.post("/v1/chat/completions", json=body)


@pytest.mark.asyncio
async def test_the_example_does_what_it_says(running: Plane) -> None:
    refused = await say(running, "Who is Rumpelstiltskin?")
    assert refused.status_code == 400 and refused.json()["error"]["code"] == "house_rules"
    assert (await say(running, "ping")).json()["choices"][0]["message"]["content"] == "pong"
    assert running.requests == []
    cooled = await say(running, "Hello", temperature=1.9)
    assert cooled.json()["choices"][0]["message"]["content"] == "**** it"
    sent = running.requests[-1]
    assert orjson.loads(sent.content)["temperature"] == 0.7 and sent.headers["x-team"] == "red"
    for model in ("m", "claude"):
        assert "**** it" in (await say(running, "Hello", model)).text
    streamed = (await say(running, "Hello", stream=True)).text
    assert "**** it" in streamed and "damn" not in streamed
    busy = await say(running, "Hello", "busy")
    assert busy.status_code == 503 and "Too many people are asking." in busy.text


def test_it_tells_of_every_phase(house_rules: Any) -> None:
    assert set(phases(house_rules.HouseRules)) == set(PHASES) - {"authenticate", "choose"}
    for phase in (*PHASES, "on_end"):
        assert f"`{phase}(" in SECTION
    with pytest.raises(ValueError, match="must not be empty"):
        house_rules.HouseRules.Options(words=(" ",))


def test_the_entry_point_is_right(house_rules: Any) -> None:
    (named,) = tomllib.loads(CODE["toml"])["project"]["entry-points"]["llm_gateway.hooks"].values()
    where, _, name = named.partition(":")
    assert where == house_rules.__name__ and hasattr(house_rules, name)


@pytest.mark.django_db
def test_every_shipped_hook_as_the_file_has_it(house_rules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "red")
    monkeypatch.setenv("SSO_TOKEN", "sso")
    report = apply(read(CODE["yaml"]))
    assert len(report.lines) == 8 and all(line.startswith("created") for line in report.lines)
    names = set(Hook.objects.values_list("name", flat=True))
    assert names == {name.rpartition(":")[2] for name in SHIPPED} | {"house_rules:HouseRules"}
    assert unsealed(Hook.objects.get(name="WebhookAuth").sealed) == {"secret": "sso"}
    assert apply(read(CODE["yaml"])).lines == []
    for name in SHIPPED:
        assert f"| `{name.rpartition(':')[2]}` |" in SECTION
