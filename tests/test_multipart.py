"""Fields of a form among files of random bytes, and all the ways to say a field's name twice."""

from __future__ import annotations

import io
import logging.config
import tracemalloc
from typing import Any

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from providers import multipart
from providers.multipart import MultipartError

NAMES = ("model", "stream")
BOUNDARY = "----FormBoundary7MA4YWxk"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
KEY = 'form-data; name="{}"'.format

contents = st.lists(
    st.binary(max_size=20)
    | st.sampled_from(
        [b"\r\n", b"\r\n--", b"--", b"\r\n--" + BOUNDARY[:-1].encode(), b"\n", b"model", b'name="model"\r\n\r\n']
    ),
    max_size=6,
).map(b"".join)
plain = st.text(st.characters(exclude_characters='\r\n"\\', exclude_categories=["Cs"]), max_size=12)


def part(name: str, content: bytes, *headers: str) -> bytes:
    lines = [
        f"Content-Disposition: {KEY(name)}" if "form-data" not in name else f"Content-Disposition: {name}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def form(*parts: bytes, boundary: str = BOUNDARY, end: bytes = b"\r\n") -> bytes:
    delimiter = b"--" + boundary.encode()
    return b"".join(delimiter + b"\r\n" + one + b"\r\n" for one in parts) + delimiter + b"--" + end


def file(content: bytes, name: str = "file") -> bytes:
    return part(f'form-data; name="{name}"; filename="a.wav"', content, "Content-Type: audio/wav")


def found(body: bytes, content_type: str = TYPE) -> dict[str, bytes]:
    fields = multipart.fields(body, content_type, NAMES)
    assert all(body[field.start : field.end] == field.value for field in fields.values())
    return {name: field.value for name, field in fields.items()}


def refused(body: bytes, content_type: str = TYPE) -> MultipartError:
    with pytest.raises(MultipartError) as caught:
        multipart.fields(body, content_type, NAMES)
    return caught.value


@given(st.lists(contents, max_size=4), plain, plain.map(str.encode), st.data())
def test_a_field_is_found_and_replaced_among_files(
    files: list[bytes], model: str, new: bytes, data: st.DataObject
) -> None:
    assume(not any(b"--" + BOUNDARY.encode() in content for content in files))
    parts = [file(content) for content in files]
    place = data.draw(st.integers(0, len(parts)))
    body = form(*parts[:place], part("model", model.encode()), *parts[place:])
    fields = multipart.fields(body, TYPE, NAMES)
    assert {name: field.value for name, field in fields.items()} == {"model": model.encode()}
    assert multipart.replace(body, fields["model"], new) == form(*parts[:place], part("model", new), *parts[place:])


@given(plain, st.binary(max_size=200), st.booleans())
def test_forms_that_httpx_writes(model: str, content: bytes, stream: bool) -> None:
    request = httpx.Request(
        "POST",
        "http://x",
        data={"model": model, "stream": stream, "n": "1"},
        files={"file": ('é " \\.wav', io.BytesIO(content), "audio/wav")},
    )
    body = request.read()
    assume(body.count(request.headers["content-type"].partition("boundary=")[2].encode()) == 5)
    assert found(body, request.headers["content-type"]) == {
        "model": model.encode(),
        "stream": str(stream).lower().encode(),
    }


@given(st.binary(max_size=300))
def test_anything_else_is_an_error_of_ours(body: bytes) -> None:
    for text in (body, b"--" + BOUNDARY.encode() + body, form(body), form(part("a", body), body)):
        try:
            fields = multipart.fields(text, TYPE, NAMES)
        except MultipartError:
            continue
        assert all(text[field.start : field.end] == field.value for field in fields.values())


def test_empty_fields_have_their_place() -> None:
    body = form(part("model", b""), part("a", b"", "X-Empty:"), part("stream", b"", "X-Empty:"), file(b""))
    fields = multipart.fields(body, TYPE, NAMES)
    assert {name: field.value for name, field in fields.items()} == {"model": b"", "stream": b""}
    for name in NAMES:
        assert multipart.fields(multipart.replace(body, fields[name], b"new"), TYPE, NAMES)[name].value == b"new"


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n"])
def test_the_last_line_may_lack_its_end(end: bytes) -> None:
    assert found(form(part("model", b"m"), end=end)) == {"model": b"m"}
    assert found(form(end=end)) == {}


@pytest.mark.parametrize(
    "content_type",
    [
        f'multipart/form-data; boundary="{BOUNDARY}"',
        f"Multipart/Form-Data;Boundary={BOUNDARY}",
        f"multipart/form-data ; charset=utf-8; boundary={BOUNDARY} ;",
    ],
)
def test_content_types(content_type: str) -> None:
    assert found(form(part("model", b"m")), content_type) == {"model": b"m"}


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/mixed; boundary={BOUNDARY}",
        f"multipart/form-data; boundary={BOUNDARY}; boundary=x",
        f"multipart/form-data; boundary*={BOUNDARY}",
        f"multipart/form-data; boundary*0={BOUNDARY}",
        f"multipart/form-data; boundary={BOUNDARY}; boundary*=utf-8''x",
        f"multipart/form-data; boundary={'x' * 71}",
        'multipart/form-data; boundary="a b "',
        "multipart/form-data; boundary=é",
        f"multipart/form-data; boundary={BOUNDARY} x",
        f"multipart/form-data boundary={BOUNDARY}",
        f'multipart/form-data; boundary="{BOUNDARY}',
    ],
)
def test_boundaries_that_are_refused(content_type: str) -> None:
    assert refused(form(part("model", b"m")), content_type).field is None


MODEL = part("model", b"cheap")
OTHER = b"expensive"
TWICE = [
    part("model", OTHER),
    part("Model", OTHER),
    part(" model ", OTHER),
    part("mod%65l", OTHER),
    part("=?utf-8?Q?mod=65l?=", OTHER),
    part("=?utf-8?B?bW9kZWw=?=", OTHER),
    part("model[]", OTHER),
    part("model[0]", OTHER),
    part("model\0x", OTHER),
    part("form-data; name=model", OTHER),
    part("form-data; NAME=model", OTHER),
    part('form-data; name="m\\odel"', OTHER),
    part('form-data;name = "model"', OTHER),
    part('form-data; name="model"; filename="x"', OTHER),
    part('form-data; filename=""; name="model"', OTHER),
    part("model", OTHER, "Content-Transfer-Encoding: base64"),
    part("model", OTHER, "content-type: text/plain; charset=utf-16"),
]


@pytest.mark.parametrize("other", TWICE)
def test_a_name_that_stands_twice_is_refused_however_it_is_written(other: bytes) -> None:
    for body in (form(MODEL, other), form(other, MODEL), form(other, file(b"x"), MODEL)):
        error = refused(body)
        assert error.field == "model" and "model" in str(error) and "expensive" not in str(error)


ALONE = [
    part("Model", OTHER),
    part("\u017ftream", OTHER),
    part("%73tream", OTHER),
    part("stream[]", OTHER),
    part('form-data; name="model"; filename="x"', OTHER),
    part("form-data; name=\"model\"; filename*=utf-8''x", OTHER),
    part("model", OTHER, "Content-Transfer-Encoding: quoted-printable"),
    part("model", OTHER, "Content-Type: text/plain; charset=utf-7"),
    part("model", OTHER, "Content-Type: text/plain; charset*0=utf-7"),
    part("model", b"\xff"),
]


@pytest.mark.parametrize("one", ALONE)
def test_a_name_or_value_that_others_may_read_otherwise_is_refused(one: bytes) -> None:
    assert refused(form(one)).field in NAMES


MALFORMED = [
    part("form-data", b"x"),
    part("form-data; name*=utf-8''model", b"x"),
    part("form-data; name*0=mo; name*1=del", b"x"),
    part("form-data; name=\"a\"; name*=utf-8''model", b"x"),
    part('form-data; name="a"; name="model"', b"x"),
    part('form-data; name="a" ; Name=model', b"x"),
    part('form-data; name="a"b"', b"x"),
    part('form-data; name="a', b"x"),
    part('attachment; name="form-data"', b"x"),
    part("a", b"x", 'Content-Disposition: form-data; name="model"'),
    part("a", b"x", ' ; name="model"'),
    part("a", b"x", "X : y"),
    part("a", b"x", "no colon"),
    part("a", b"x", "X: " + "y" * 5000),
    part("a", b"x", *["X: y"] * 20),
    b"\r\nx",
    b"x",
    b"",
    part("a", b"x\r\n--" + BOUNDARY.encode() + b"x"),
    part("a", b"x\n--" + BOUNDARY.encode() + b'\nContent-Disposition: form-data; name="model"\n\nexpensive'),
    part("a", b"x--" + BOUNDARY.encode()),
]


@pytest.mark.parametrize("one", MALFORMED)
def test_malformed_parts_are_refused(one: bytes) -> None:
    for body in (form(MODEL, one), form(one, MODEL)):
        assert refused(body).field is None


WHOLE = form(MODEL, file(b"x"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"preamble" + WHOLE,
        WHOLE[:-4],
        WHOLE[:-6],
        WHOLE[:50],
        WHOLE.replace(b"\r\n", b"\n"),
        WHOLE + WHOLE,
        WHOLE + b"--" + BOUNDARY.encode() + b"\r\n" + part("model", OTHER),
        form(MODEL, boundary="other"),
        form(*[part("a", b"")] * 1001),
    ],
)
def test_malformed_forms_are_refused(body: bytes) -> None:
    assert refused(body).field is None
    assert found(form(*[part("a", b"")] * 1000)) == {}


def test_no_error_is_logged_and_none_repeats_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    with caplog.at_level(0):
        for one in [*MALFORMED, *TWICE, *ALONE, b"secret"]:
            assert "expensive" not in str(refused(form(MODEL, one)))
    assert caplog.records == []


def test_a_form_in_another_charset_is_refused() -> None:
    assert refused(form(part("_charset_", b"utf-16"), MODEL)).field is None
    assert refused(form(part("_CHARSET_", b"utf-8"), MODEL)).field == "_charset_"
    assert found(form(part("_charset_", b"UTF-8"), MODEL)) == {"model": b"cheap"}
    assert found(
        form(part("model", b"cheap", "Content-Type: text/plain; charset=UTF-8", "Content-Transfer-Encoding: 8bit"))
    ) == {"model": b"cheap"}


@pytest.mark.parametrize("value", [b"a\r\n--x", b"a\nb", b"\r"])
def test_a_value_of_several_lines_is_not_written(value: bytes) -> None:
    field = multipart.fields(WHOLE, TYPE, NAMES)["model"]
    with pytest.raises(ValueError, match="one line"):
        multipart.replace(WHOLE, field, value)


def test_large_files_are_not_copied() -> None:
    """Many times the file's size would be needed otherwise; only the splice makes one copy."""
    content = bytes(8 << 20)
    body: Any = form(file(content), MODEL)
    tracemalloc.start()
    fields = multipart.fields(body, TYPE, NAMES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    result = multipart.replace(body, fields["model"], b"new")
    _, spliced = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert len(result) <= spliced < len(result) + (2 << 20)
