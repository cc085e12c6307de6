"""Images, audio, video and documents as the Converse API's blocks."""

from __future__ import annotations

import base64
import mimetypes
import re

from providers.chat import Audio, File, Image, Json, Source, Video

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
VIDEOS = {
    "video/x-matroska": "mkv", "video/quicktime": "mov", "video/mp4": "mp4", "video/webm": "webm",
    "video/x-flv": "flv", "video/mpeg": "mpeg", "video/mpg": "mpg", "video/x-ms-wmv": "wmv", "video/wmv": "wmv",
    "video/3gpp": "three_gp", "video/mov": "mov",
}  # fmt: skip
AUDIOS = {
    "audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav",
    "audio/flac": "flac", "audio/aac": "aac", "audio/ogg": "ogg", "audio/opus": "opus", "audio/mp4": "mp4",
    "audio/m4a": "m4a", "audio/x-m4a": "m4a", "audio/webm": "webm", "audio/pcm": "pcm", "audio/pcm16": "pcm",
}  # fmt: skip
OFFICE = "application/vnd.openxmlformats-officedocument."
DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "application/csv": "csv", "application/msword": "doc",
    f"{OFFICE}wordprocessingml.document": "docx", "application/vnd.ms-excel": "xls",
    f"{OFFICE}spreadsheetml.sheet": "xlsx", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
    "application/json": "txt", "application/xml": "txt",
}  # fmt: skip
FORMATS = {"image": IMAGES, "audio": AUDIOS, "video": VIDEOS, "document": DOCUMENTS}
Medium = Image | Audio | Video | File


def medium(part: Medium, titles: set[str]) -> tuple[str, Json | None]:
    """("", the block for ``part``), or what is wrong with it and None. ``titles`` are those of other documents."""
    media_type = _media_type(part)
    major = media_type.partition("/")[0]
    kind = type(part).__name__.lower()
    if isinstance(part, File):
        kind = major if major in FORMATS else "document"
    form = FORMATS[kind].get(media_type) or ("txt" if kind == "document" and major == "text" else "")
    source = _source(part.source)
    if source is None:
        return {"file": "file_id"}.get(part.source.kind, part.source.kind), None
    if not form:
        return kind, None
    inner: Json = {"format": form, "source": source}
    if isinstance(part, File) and kind == "document":
        inner["name"] = _title(part.name, titles)
        if part.citations is not None:
            inner["citations"] = {"enabled": part.citations}
    return "", {kind: inner}


def _title(name: str, titles: set[str]) -> str:
    """A name of legal characters that no other document of the request has."""
    stem = re.sub(r"\.[A-Za-z0-9]{1,5}\Z", "", name)
    legal = re.sub(r"[^A-Za-z0-9()\[\]-]+", " ", stem).strip()[:180].strip() or "Document"
    number, title = 1, legal
    while title in titles:
        number += 1
        title = f"{legal} {number}"
    titles.add(title)
    return title


def _media_type(part: Medium) -> str:
    source = part.source
    if source.media_type:
        return source.media_type.partition(";")[0].strip().lower()
    if source.kind == "text":
        return "text/plain"
    name = part.name if isinstance(part, File) else ""
    guessed = mimetypes.guess_type(name)[0] or mimetypes.guess_type(source.value[:2048])[0] or ""
    return "application/pdf" if not guessed and source.value.startswith("JVBERi") else guessed


def _source(source: Source) -> Json | None:
    if source.kind == "url" and source.value.startswith("s3://"):
        return {"s3Location": {"uri": source.value}}
    if source.kind == "text":
        return {"bytes": base64.b64encode(source.value.encode()).decode()}
    return {"bytes": source.value} if source.kind == "data" else None
