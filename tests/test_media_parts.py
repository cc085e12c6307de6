"""Media inside a request: URLs that become data, data that is not what it is said to be."""

from __future__ import annotations

import asyncio
import copy
import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import Audio, BadRequest, Cache, Chat, File, Image, Message, Part, Source, Text, ToolResult, Video
from providers.dialects import CLIENTS
from providers.media import check_sources, inline
from providers.media_parts import MAX_URLS, TOGETHER
from tests.test_media_types import JPEG, MP4, PDF, PNG, WAV
from tests.test_recordings import APIS, of_dialect

ALL = frozenset({Image, Audio, Video, File})
WEB: dict[str, tuple[str, bytes]] = {
    "https://a.test/i.png": ("image/png", PNG),
    "http://a.test/p%C3%BC.pdf?x=/y#z": ("application/pdf", PDF),
    "https://a.test/w": ("audio/wav", WAV),
    "https://a.test/m.mp4": ("video/mp4", MP4),
}
PICTURE, PAPER, SOUND, FILM = WEB


class Web:
    """A fetcher that answers from WEB; ``most`` is how many fetches there were at once."""

    def __init__(self, max_total: int = 10_000) -> None:
        self.max_total = max_total
        self.asked: list[tuple[str, str]] = []
        self.now = self.most = self.ended = 0

    async def fetch(self, url: str, field: str) -> tuple[str, bytes]:
        self.asked.append((url, field))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            if url.startswith("https://n.test/"):
                return "image/png", PNG
            if url not in WEB:
                raise BadRequest(field, "its URL was answered with status 404")
            return WEB[url]
        finally:
            self.now -= 1
            self.ended += 1


def data(url: str, media_type: str = "") -> Source:
    return Source("data", b64encode(WEB[url][1]).decode(), media_type or WEB[url][0])


def url(value: str) -> Source:
    return Source("url", value)


def chat(*parts: Part, dialect: str = "openai_chat", system: list[Part] | None = None) -> Chat:
    return Chat(dialect, "m", [Message("user", [Text("look")]), Message("user", list(parts))], system or [])


def inlined(given: Chat, needs: frozenset[type] = ALL, web: Web | None = None) -> Chat:
    before = copy.deepcopy(given)
    try:
        return asyncio.run(inline(given, needs, web or Web()))
    finally:
        assert given == before


def refusal(given: Chat, needs: frozenset[type] = ALL, web: Web | None = None) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        inlined(given, needs, web)
    return caught.value


# ---------------------------------------------------------------- URLs


def test_urls_become_data_and_all_else_stays() -> None:
    mark = Cache("5m")
    given = chat(
        Image(url(PICTURE), detail="high", cache=mark, extra={"a": 1}),
        Text("between"),
        File(url(PAPER)),
        File(url(PAPER), name="kept.pdf"),
        Audio(url(SOUND)),
        Video(url(FILM)),
        ToolResult("c", [Text("t"), Image(url(PICTURE))], name="tool"),
        system=[Text("s"), File(url(PAPER))],
    )
    found = inlined(given)
    assert found.messages[1].parts == [
        Image(data(PICTURE), detail="high", cache=mark, extra={"a": 1}),
        Text("between"),
        File(data(PAPER), name="pü.pdf"),
        File(data(PAPER), name="kept.pdf"),
        Audio(data(SOUND)),
        Video(data(FILM)),
        ToolResult("c", [Text("t"), Image(data(PICTURE))], name="tool"),
    ]
    assert found.system == [Text("s"), File(data(PAPER), name="pü.pdf")]
    assert found.messages[0] is given.messages[0]


def test_only_the_types_that_are_needed_are_fetched() -> None:
    given, web = chat(Image(url(PICTURE)), File(url(PAPER))), Web()
    assert inlined(given, frozenset({File}), web).messages[1].parts == [
        Image(url(PICTURE)),
        File(data(PAPER), name="pü.pdf"),
    ]
    assert [asked for asked, _ in web.asked] == [PAPER]


@pytest.mark.parametrize(
    "source",
    [
        url("gs://bucket/x.png"),
        url("data:text/plain,x"),
        url("s3://b/x"),
        url("file:///etc/passwd"),
        url(""),
        Source("file", "https://a.test/i.png"),
        data(PICTURE),
    ],
)
def test_nothing_to_do_is_the_same_object(source: Source) -> None:
    given = chat(Image(source), Text(PICTURE))
    assert inlined(given) is given
    assert inlined(chat(Image(url(PICTURE))), frozenset()).messages[1].parts == [Image(url(PICTURE))]


def test_a_url_is_fetched_once_and_counted_as_often_as_it_is_sent() -> None:
    given, web = chat(*[Image(url(PICTURE)) for _ in range(5)]), Web(5 * len(PNG))
    assert inlined(given, web=web).messages[1].parts == [Image(data(PICTURE))] * 5
    assert web.asked == [(PICTURE, "messages[1].content[0]")]
    error = refusal(given, web=Web(5 * len(PNG) - 1))
    assert "together" in error.message and error.field == "messages[1].content[0]"


def test_fetches_go_together_under_a_bound() -> None:
    web = Web(1_000_000)
    inlined(chat(*[Image(url(f"https://n.test/{at}")) for at in range(MAX_URLS)]), web=web)
    assert (len(web.asked), web.most) == (MAX_URLS, TOGETHER)


def test_too_many_urls_are_refused_before_any_is_fetched() -> None:
    web = Web(1_000_000)
    error = refusal(chat(*[Image(url(f"https://n.test/{at}")) for at in range(MAX_URLS + 1)]), web=web)
    assert str(MAX_URLS) in error.message and web.asked == []


def test_the_first_failure_ends_the_others() -> None:
    web = Web()
    error = refusal(chat(*[Image(url(f"https://bad.test/{at}")) for at in range(20)]), web=web)
    assert (error.field, error.message) == ("messages[1].content[0]", "its URL was answered with status 404")
    assert len(web.asked) < 20 and web.ended == len(web.asked)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Image(url(PAPER)), "leads to application/pdf, not to image"),
        (Audio(url(PICTURE)), "leads to image/png, not to audio"),
        (Video(url(SOUND)), "leads to audio/wav, not to video"),
    ],
)
def test_what_a_url_leads_to_must_fit_its_part(part: Part, words: str) -> None:
    assert words in refusal(chat(part)).message


def test_a_container_is_what_its_part_says() -> None:
    assert inlined(chat(Audio(url(FILM)))).messages[1].parts == [Audio(data(FILM, "audio/mp4"))]


# ---------------------------------------------------------------- where a part stands

NESTED: dict[str, tuple[dict[str, Any], str]] = {
    "openai_chat": (
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "t"}, {
            "type": "image_url", "image_url": {"url": "data:image/png;base64,????"}}]}]},
        "messages[0].content[1]",
    ),
    "anthropic": (
        {"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{
            "type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "????"}}]}]}]},
        "messages[0].content[0].content[0]",
    ),
    "gemini": (
        {"contents": [{"role": "user", "parts": [{"text": "t"}, {"inlineData": {"mimeType": "image/png", "data": "????"}}]}]},
        "contents[0].parts[1]",
    ),
    "openai_responses": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,????"}]}]},
        "input",
    ),
}  # fmt: skip


@pytest.mark.parametrize("dialect", NESTED)
def test_a_refusal_says_where_the_client_wrote_it(dialect: str) -> None:
    doc, field = NESTED[dialect]
    read = CLIENTS[dialect].read_request
    with pytest.raises(BadRequest) as caught:
        check_sources(read({"model": "m", **doc}, "/v1beta/models/m:generateContent"))
    assert (caught.value.field, caught.value.message) == (field, "its data is not base64")
    text = json.dumps({"model": "m", **doc}).replace("????", b64encode(PNG).decode())
    check_sources(read(json.loads(text), "/v1beta/models/m:generateContent"))


# ---------------------------------------------------------------- data


def checked(value: str, media_type: str = "image/png") -> str:
    """What is said against data, "" if nothing is."""
    try:
        check_sources(chat(Image(Source("data", value, media_type))))
    except BadRequest as error:
        assert error.field == "messages[1].content[0]"
        return error.message
    return ""


@pytest.mark.parametrize("size", [1, 2, 3, 40, 70, 71, 72, 73, 300])
def test_data_in_every_spelling_of_base64_passes(size: int) -> None:
    body = (PNG + bytes(range(256)) * 2)[:size]
    plain, safe = b64encode(body).decode(), urlsafe_b64encode(body).decode()
    lines = "\r\n".join(plain[at : at + 20] for at in range(0, len(plain), 20))
    assert [checked(text) for text in (plain, safe, lines, plain.rstrip("="))] == [""] * 4


@pytest.mark.parametrize(
    "value", ["data:image/png;base64,AAAA", "https://a.test/i.png", "é" * 200, "\ud800" * 8, "A", "A" * 50 + "%" * 100]
)
def test_what_is_no_base64_is_refused(value: str) -> None:
    assert checked(value) == "its data is not base64"


def test_a_type_that_the_bytes_belie_is_refused() -> None:
    assert checked(b64encode(PDF).decode()) == "its data is not image/png, as it is said to be"
    assert checked(b64encode(PNG).decode(), "application/pdf")
    assert checked(b64encode(JPEG).decode()) == ""
    assert checked(b64encode(bytes(80)).decode()) == ""


def test_only_the_beginning_is_looked_at() -> None:
    assert checked(b64encode(PNG).decode()[:64] * 2 + "!" * 100) == ""


@given(st.text(), st.text())
def test_any_data_is_judged(value: str, media_type: str) -> None:
    checked(value, media_type)


@pytest.mark.parametrize("dialect", APIS)
def test_recorded_data_passes(dialect: str) -> None:
    """What providers took is never refused here."""
    refused = []
    for recording in of_dialect(dialect):
        try:
            read = CLIENTS[dialect].read_request(recording.request_body, recording.path)
        except BadRequest:
            continue
        try:
            check_sources(read)
        except BadRequest as error:
            refused.append((recording.id, recording.status, str(error)))
    assert [one for one in refused if one[1] < 400] == []
