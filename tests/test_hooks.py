"""Hooks: what they may do, and what their failures do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema  # type: ignore[import-untyped]
import orjson
import pytest

from providers.chat import Text
from providers.events import Event, Finished, TextDelta
from providers.sse import Event as SseEvent
from providers.sse import Parser, write
from routing import hooks as hooks_module
from routing.call import Call
from routing.errors import GatewayError
from routing.hook_classes import GROUP, PHASES
from routing.hooks import (
    NO_HOOKS,
    Answer,
    Attempt,
    Choice,
    HookCall,
    HookReply,
    Hooks,
    HookSettingError,
    Means,
    OptionError,
    Refusal,
    Row,
    load,
    option,
    options_schema,
    read_options,
    written,
)
from routing.shipped import SHIPPED
from tenants.ledger import Entry
from tests.hook_calls import BODY, ENDPOINTS, SECRET, begin, raw_call, target

# ---------------------------------------------------------------- options


@dataclass(frozen=True)
class Options:
    name: str
    kind: Literal["a", "b"] = option("a", "Which one.")
    count: int = option(3, minimum=1, maximum=9)
    share: float = 0.5
    on: bool = True
    words: tuple[str, ...] = option(("x",))
    map: dict[str, int] = option({"y": 1})

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise ValueError("this name is taken")


def test_options_are_read() -> None:
    assert read_options(Options, {"name": "n", "words": ["a", "b"], "share": 1}) == Options(
        "n", words=("a", "b"), share=1
    )
    schema = options_schema(Options)
    assert schema["required"] == ["name"] and schema["properties"]["kind"]["description"] == "Which one."
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("doc", "field"),
    [
        ({}, "name"),
        ([], ""),
        ({"name": 1}, "name"),
        ({"name": "bad"}, ""),
        ({"name": "n", "kind": "c"}, "kind"),
        ({"name": "n", "count": 0}, "count"),
        ({"name": "n", "count": 10}, "count"),
        ({"name": "n", "count": True}, "count"),
        ({"name": "n", "count": 1.5}, "count"),
        ({"name": "n", "on": 1}, "on"),
        ({"name": "n", "words": ["a", 1]}, "words[1]"),
        ({"name": "n", "words": "ab"}, "words"),
        ({"name": "n", "map": {"k": "v"}}, "map.k"),
        ({"name": "n", "other": 1}, "other"),
    ],
)
def test_wrong_options_are_named(doc: Any, field: str) -> None:
    with pytest.raises(OptionError) as error:
        read_options(Options, doc)
    assert error.value.field == field
    if doc != {"name": "bad"}:
        assert list(jsonschema.Draft202012Validator(options_schema(Options)).iter_errors(doc)), "the schema says so too"


# ---------------------------------------------------------------- loading


class Plain:
    def __init__(self, options: Any, means: Means) -> None:
        self.means = means

    def before_request(self, call: HookCall) -> None:
        call.tags.append("plain")


class Typo(Plain):
    def before_reqest(self, call: HookCall) -> None: ...


class Short:
    def on_event(self, call: HookCall) -> None: ...


class Careless(Plain):
    on_failure = "sometimes"


class Loose(Plain):
    @dataclass
    class Options:
        a: int = 1


class Nothing:
    pass


HERE = "tests.test_hooks"


def test_what_is_shipped_can_be_loaded() -> None:
    found = load(SHIPPED)
    assert len(found) == len(SHIPPED) == 6
    for hook in found.values():
        options_schema(hook.Options)  # type: ignore[attr-defined]
    assert load([], "no.such.group") == {}


@pytest.mark.parametrize("name", ["Typo", "Short", "Careless", "Loose", "Nothing", "HERE", "Missing"])
def test_what_is_no_hook_is_named(name: str) -> None:
    with pytest.raises(HookSettingError, match=f"{HERE}:{name}: "):
        load([f"{HERE}:{name}", f"{HERE}:Plain"])


def test_a_setting_without_sense_is_named() -> None:
    with pytest.raises(HookSettingError) as error:
        load(["no.such.module:Hook", "os.path", f"{HERE}:Plain", f"{HERE}:Plain"])
    assert all(part in str(error.value) for part in ("no.such.module:Hook: ", "os.path: ", "two classes"))


def test_entry_points_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    given = EntryPoint("plain", f"{HERE}:Plain", GROUP)
    monkeypatch.setattr("routing.hook_classes.entry_points", lambda group: [given] if group == GROUP else [])
    assert list(load([])) == ["plain"]


# ---------------------------------------------------------------- phases


def test_a_hook_is_registered_for_what_it_implements() -> None:
    class Two:
        def on_event(self, call: Any, event: Any) -> Any: ...

        async def on_error(self, call: Any, trouble: Any) -> None: ...

    hooks = Hooks(made=[Two()])
    used = {phase for phase in PHASES if getattr(hooks, phase)}
    assert used == {"on_event", "on_error"}
    assert not any(getattr(NO_HOOKS, phase) for phase in PHASES)


CLASSES: Mapping[str, type] = {"plain": Plain, "typo": Plain}


def test_order_and_scope() -> None:
    class Says(Plain):
        @dataclass(frozen=True)
        class Options:
            word: str = ""

        def __init__(self, options: Any, means: Means) -> None:
            self.word = options.word

        def before_request(self, call: HookCall) -> None:
            call.tags.append(self.word)

    rows = [
        Row("says", '{"word":"last"}', order=9),
        Row("says", '{"word":"tenant"}', order=1, tenant_id=1),
        Row("says", '{"word":"other tenant"}', order=2, tenant_id=2),
        Row("says", '{"word":"route"}', order=3, route_id=1),
        Row("says", '{"word":"other route"}', order=4, route_id=2),
    ]
    call = raw_call()
    asyncio.run(Hooks(rows, {"says": Says}).begin(HookCall(call), lambda: None))
    assert call.entry.tags == ["tenant", "route", "last"]


def test_a_hook_whose_row_is_the_same_lives_on() -> None:
    first = Hooks([Row("plain", id=1), Row("plain", id=2)], CLASSES)
    second = Hooks([Row("plain", id=1, order=5), Row("plain", id=2, seconds=3)], CLASSES, before=first)
    old, new = ({step.row.id: step.hook for step in each.before_request} for each in (first, second))
    assert new[1] is old[1] and new[2] is not old[2]


@pytest.mark.parametrize("row", [Row("gone"), Row("plain", '{"x":1}'), Row("plain", "{")])
def test_a_hook_that_cannot_be_made_lets_nothing_pass(row: Row) -> None:
    hooks = Hooks([row], CLASSES, report=lambda *facts: None)
    with pytest.raises(GatewayError) as error:
        asyncio.run(hooks.begin(HookCall(raw_call()), lambda: None))
    assert (error.value.status, error.value.code) == (500, "hook_failed")


# ---------------------------------------------------------------- seeing and editing


def test_no_secret_can_be_seen() -> None:
    call = raw_call()
    seen = HookCall(call)
    attempt = Attempt(target(), type("Request", (), {"headers": [], "body": b""})(), "m", 1)
    choices = Choice.of([target()], "m")
    told = repr([seen.headers, seen.query, attempt.headers, vars(attempt), choices, seen.tenant, seen.key])
    assert SECRET not in told and b"user-agent" in dict(seen.headers)
    assert [name for name in dir(seen) if not name.startswith("_") and SECRET in repr(getattr(seen, name))] == []


def edit(change: Callable[[HookCall], Any], call: Call) -> Call:
    class Edits:
        def before_request(self, given: HookCall) -> None:
            change(given)

    begin(Edits(), call)
    return call


def test_looking_changes_nothing() -> None:
    call = raw_call()
    edit(lambda seen: (seen.doc, seen.chat, seen.body, seen.chat.messages), call)
    assert call.body is BODY


def test_an_edit_of_the_document_changes_its_field_only() -> None:
    call = edit(lambda seen: seen.doc.update(temperature=0.5, top_p=0.1), raw_call())
    assert call.body == BODY.replace(b"1.0", b"0.5").replace(b"{ ", b'{"top_p":0.1, ', 1)
    assert call.doc == orjson.loads(call.body)
    call = edit(lambda seen: seen.doc.pop("odd"), raw_call())
    assert b"odd" not in call.body and call.doc == orjson.loads(call.body)


def test_an_edit_of_the_vocabulary_changes_its_field_only() -> None:
    def louder(seen: HookCall) -> None:
        seen.chat.messages[0].parts[0] = Text("HI")
        seen.chat.sampling.temperature = 0.25

    call = edit(louder, raw_call())
    assert call.body == BODY.replace(b"1.0", b"0.25").replace(
        b'[ {"role":"user","content":"hi"} ]', b'[{"role":"user","content":"HI"}]'
    )
    assert call.doc == orjson.loads(call.body) and call.chat is not None and call.chat.sampling.temperature == 0.25


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("messages", {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "unknown": 1}),
        ("responses", {"model": "m", "input": "hi", "unknown": 1}),
        ("generate", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "unknown": 1}),
        ("unified", {"model": "m", "messages": [{"role": "user", "content": "hi"}], "unknown": 1}),
    ],
)
def test_the_vocabulary_can_be_edited_in_every_dialect(api: str, body: dict[str, Any]) -> None:
    def louder(seen: HookCall) -> None:
        for message in seen.chat.messages:
            message.parts = [Text("HI")]

    call = edit(louder, raw_call(orjson.dumps(body), api))
    assert b"HI" in call.body and b'"hi"' not in call.body and call.doc["unknown"] == 1


def test_the_whole_body_can_be_set() -> None:
    new = b'{"model":"m","messages":[]}'
    call = edit(lambda seen: setattr(seen, "body", new), raw_call())
    assert (call.body, call.doc, call.model) == (new, orjson.loads(new), "m")


@pytest.mark.parametrize("how", ["model", "doc", "chat", "body"])
def test_the_model_can_be_changed_and_its_route_is_found_anew(how: str) -> None:
    class Renames:
        def before_request(self, seen: HookCall) -> None:
            if how == "model":
                seen.model = "other"
            elif how == "doc":
                seen.doc["model"] = "other"
            elif how == "chat":
                seen.chat.model = "other"
            else:
                seen.body = BODY.replace(b'"m"', b'"other"')

    call, resolved = raw_call(), list[str]()
    asyncio.run(Hooks(made=[Renames()]).begin(HookCall(call), lambda: resolved.append(call.model)))
    # The body names what was asked for: the attempt replaces it by its target's.
    assert (call.model, resolved, call.doc["model"], call.body) == ("other", ["other"], "m", BODY)


@pytest.mark.parametrize(
    "change",
    [
        lambda seen: seen.doc.update(stream=True),
        lambda seen: seen.doc.update(odd=object()),
        lambda seen: seen.doc.update(model=3),
        lambda seen: seen.doc.pop("model"),
        lambda seen: setattr(seen, "body", b"{"),
        lambda seen: setattr(seen, "body", b'{"model":"m","model":"n"}'),
        lambda seen: seen.set_header("Authorization", "x"),
        lambda seen: seen.set_header("x-a", "x\r\ny: z"),
    ],
)
def test_what_hooks_may_not_do_is_a_failure_that_changes_nothing(change: Callable[[HookCall], Any]) -> None:
    class Wrong:
        on_failure = "open"

        def before_request(self, seen: HookCall) -> None:
            seen.model = "other"
            seen.set_header("x-a", "b")
            change(seen)

    faults: list[Any] = []
    call = raw_call()
    headers = list(call.headers)
    begin(Wrong(), call, report=lambda *facts: faults.append(facts))
    assert len(faults) == 1 and (call.body, call.model, call.headers) == (BODY, "m", headers)


@pytest.mark.parametrize(
    ("api", "stream"), [(api, stream) for api in ENDPOINTS if api != "images" for stream in (False, True)]
)
def test_a_hook_can_answer_by_itself(api: str, stream: bool) -> None:
    class Answers:
        def before_request(self, call: HookCall) -> Answer:
            return Answer("Closed today.")

    bodies = {"responses": b'{"model":"m","input":"hi"}', "generate": b'{"contents":[{"parts":[{"text":"hi"}]}]}'}
    call = raw_call(
        bodies.get(api, b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'), api, stream
    )
    answer = begin(Answers(), call)
    assert answer is not None
    kind, data = written(call, answer)
    assert b"Closed today." in data
    assert kind == (b"text/event-stream" if stream else b"application/json")
    assert orjson.loads(data) if not stream else Parser().feed(data)


def test_targets_are_chosen() -> None:
    class Chooses:
        async def choose(self, call: HookCall, choices: list[Choice]) -> list[Choice]:
            return [*reversed(choices[1:]), choices[1], "nonsense"]  # type: ignore[list-item]

    targets = [target(name) for name in "abc"]
    found = asyncio.run(Hooks(made=[Chooses()]).order(HookCall(raw_call()), targets))
    assert found == [targets[2], targets[1]]


def test_an_attempt_is_edited() -> None:
    class Signs:
        def before_attempt(self, call: HookCall, attempt: Attempt) -> None:
            attempt.set_header("X-Team", "red")
            attempt.body = attempt.body + b" "

    request = type("Request", (), {"headers": [(b"x-team", b"blue"), (b"a", b"b")], "body": b"{}"})()
    asyncio.run(Hooks(made=[Signs()]).aim(HookCall(raw_call()), Attempt(target(), request, "m", 1)))
    assert request.headers == [(b"a", b"b"), (b"x-team", b"red")] and request.body == b"{} "


def test_a_whole_reply_is_edited() -> None:
    class Marks:
        def after_response(self, call: HookCall, reply: HookReply, entry: Entry) -> None:
            reply.doc["seen"] = True
            entry.tags.append("seen")

    hooks, entry = Hooks(made=[Marks()]), Entry()
    body = asyncio.run(hooks.end(HookCall(raw_call()), HookReply(200, False, b'{ "a" : 1.0 }'), entry))
    assert body == b'{"seen":true, "a" : 1.0 }' and entry.tags == ["seen"]


# ---------------------------------------------------------------- failures

TEXT = "text that nobody may read"


class Raises:
    def _fail(self, *given: Any) -> Any:
        raise RuntimeError(TEXT)

    authenticate = before_request = choose = before_attempt = on_event = after_response = on_error = on_end = _fail


class Hangs:
    seconds = 0.01

    async def _hang(self, *given: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:  # it will not be told
            await asyncio.sleep(0)

    authenticate = before_request = choose = before_attempt = on_event = after_response = on_error = _hang


class Cancels:
    async def _cancel(self, *given: Any) -> Any:
        raise asyncio.CancelledError

    authenticate = before_request = choose = before_attempt = on_event = after_response = on_error = _cancel


async def call_phase(hooks: Hooks, phase: str) -> Any:
    seen = HookCall(raw_call())
    if phase == "authenticate":
        return await hooks.identify([], "r")
    if phase == "before_request":
        return await hooks.begin(seen, lambda: None)
    if phase == "choose":
        return await hooks.order(seen, [target()])
    if phase == "before_attempt":
        return await hooks.aim(seen, Attempt(target(), None, "m", 1))
    if phase == "on_event":
        stream = hooks.stream(seen, raw=True)
        assert stream is not None
        return await stream.feed(Parser().feed(b"data: 1\n\ndata: 2\n\n"))
    if phase == "after_response":
        return await hooks.end(seen, HookReply(200, False, b"{}"), Entry())
    return await hooks.fail(seen, GatewayError("timeout", "It took too long."))


PASSES: dict[str, Any] = {"choose": 1, "on_event": 2, "after_response": b"{}"}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", [Raises, Hangs, Cancels])
def test_a_hook_that_fails_is_left_out_or_ends_the_request(kind: type, phase: str) -> None:
    faults: list[Any] = []
    for policy in ("open", "closed"):
        hooks = Hooks([Row("k", on_failure=policy)], {"k": type("Kind", (kind,), {"__init__": lambda *_: None})},
                      report=lambda *facts: faults.append(facts))  # fmt: skip
        if policy == "open" or phase == "on_error":
            found = asyncio.run(call_phase(hooks, phase))
            if phase == "on_error":
                assert found.message == "It took too long."
            else:
                assert (len(found) if isinstance(found, list) else found) == PASSES.get(phase)
            continue
        with pytest.raises(GatewayError) as error:
            asyncio.run(call_phase(hooks, phase))
        assert (error.value.status, error.value.message) == (500, "A hook of this gateway failed.")
        assert TEXT not in repr(error.value) and error.value.__cause__ is None
    assert {fact[2] for fact in faults} == {phase} and len(faults) == 2


def test_the_log_tells_no_text(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(GatewayError):
        begin(Raises(), raw_call())
    assert "RuntimeError" in caplog.text and TEXT not in caplog.text


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "on_error"])
def test_a_refusal_is_told_in_its_own_words(phase: str) -> None:
    class Refuses:
        on_failure = "open"

    def refuse(self: Any, *given: Any) -> None:
        raise Refusal("Not on Sundays.", "permission", code="sunday")

    setattr(Refuses, phase, refuse)
    with pytest.raises(Refusal) as error:
        asyncio.run(call_phase(Hooks(made=[Refuses()]), phase))
    assert (error.value.status, error.value.message, error.value.code) == (403, "Not on Sundays.", "sunday")


def test_an_error_can_be_told_otherwise() -> None:
    class Kinder:
        def on_error(self, call: HookCall, trouble: Any) -> None:
            raise Refusal(f"Sorry: {trouble.message}", trouble.kind)

    found = asyncio.run(call_phase(Hooks(made=[Kinder()]), "on_error"))
    assert (found.kind, found.message) == ("timeout", "Sorry: It took too long.")


def test_a_client_that_leaves_ends_its_hooks() -> None:
    ended: list[bool] = []

    class Waits:
        async def before_request(self, call: HookCall) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

    async def story() -> None:
        task = asyncio.ensure_future(Hooks(made=[Waits()]).begin(HookCall(raw_call()), lambda: None))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(story())
    assert ended == [True]


def test_a_blocking_hook_has_a_thread() -> None:
    threads: list[int] = []

    class Blocks:
        blocking = True

        def before_request(self, call: HookCall) -> None:
            threads.append(threading.get_ident())

    begin(Blocks(), raw_call())
    assert threads and threads[0] != threading.get_ident()


# ---------------------------------------------------------------- streams


def feed(hook: Any, events: list[Any], raw: bool = True, **facts: Any) -> list[Any]:
    async def story() -> list[Any]:
        stream = Hooks(made=hook if isinstance(hook, list) else [hook], **facts).stream(HookCall(raw_call()), raw)
        assert stream is not None
        found = [each for event in events for each in await stream.feed([event])]
        return [*found, *await stream.end()]

    return asyncio.run(story())


RAW = b': comment\n\nid: 7\ndata: {"a": 1}\n\ndata: two\ndata: lines\n\nevent: x\ndata: end\n\n'


class Each:
    def __init__(self, tell: Callable[[Any], Any]) -> None:
        self.tell = tell

    def on_event(self, call: HookCall, event: Any) -> Any:
        return self.tell(event)


def test_only_a_changed_event_is_written_anew() -> None:
    events = Parser().feed(RAW)
    assert b"".join(event.raw for event in feed(Each(lambda event: event), events)) == RAW

    def change(event: SseEvent) -> SseEvent:
        return event._replace(data=b'{"a":2}') if b"a" in event.data else event

    told = b"".join(event.raw for event in feed(Each(change), events))
    assert told == RAW.replace(b'id: 7\ndata: {"a": 1}', b'data: {"a":2}')


def test_an_event_becomes_none_or_several() -> None:
    events: list[Event] = [TextDelta("a"), TextDelta("b"), Finished("stop")]
    assert feed(Each(lambda event: None), list(events), raw=False) == []
    twice = feed([Each(lambda event: [event, event]), Each(lambda event: (event, event))], list(events), raw=False)
    assert twice == [event for event in events for _ in range(4)]


def test_what_is_kept_back_comes_at_the_end_and_through_later_hooks() -> None:
    class Keeps:
        def __init__(self) -> None:
            self.kept: list[Any] = []

        def on_event(self, call: HookCall, event: Any) -> None:
            self.kept.append(event)

        async def on_end(self, call: HookCall) -> list[Any]:
            return self.kept

    def louder(event: Any) -> Any:
        return TextDelta(event.text.upper())

    found = feed([Keeps(), Each(louder), Keeps()], [TextDelta("a"), TextDelta("b")], raw=False)
    assert found == [TextDelta("A"), TextDelta("B")]


@pytest.mark.parametrize("wrong", ["text", {"a": 1}, write(b"1"), TextDelta("x")])
def test_nonsense_does_not_get_into_a_stream(wrong: Any) -> None:
    faults: list[Any] = []
    hook = Each(lambda event: wrong)
    hook.on_failure = "open"  # type: ignore[attr-defined]
    events = Parser().feed(RAW)
    found = feed(hook, list(events), report=lambda *facts: faults.append(facts))
    assert found == events and len(faults) == 1, "it is left out of the rest"


def test_a_stream_that_no_hook_wants_is_not_touched() -> None:
    hooks = Hooks([Row("each", tenant_id=2)], {"each": type("E", (Each,), {"__init__": lambda *_: None})})
    assert hooks.stream(HookCall(raw_call()), raw=True) is None
    assert hooks.stream(HookCall(raw_call(tenant=2)), raw=True) is not None


def test_the_names_for_authors_are_there() -> None:
    assert all(hasattr(hooks_module, name) for name in hooks_module.__all__)
