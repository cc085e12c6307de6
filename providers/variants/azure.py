"""OpenAI's API at Azure where an api-version is set: the model is a deployment, and a part of the path.

Without one it is Azure's v1 API, whose paths are OpenAI's own below ``/openai/v1``. The body keeps its model, which
Azure does not read where the path names it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from providers.variants import Variant, Wire

if TYPE_CHECKING:
    from providers.upstream import Upstream

#: What a deployment serves. The rest (responses, files) is one for all, and takes the deployment from the body.
DEPLOYED = frozenset(
    {
        "audio/speech",
        "audio/transcriptions",
        "audio/translations",
        "chat/completions",
        "completions",
        "embeddings",
        "images/edits",
        "images/generations",
    }
)
#: ``preview`` and ``latest`` are versions of the v1 API.
DATED = re.compile(r"\d{4}-\d{2}-\d{2}")


def _request(upstream: Upstream, wire: Wire, model: str, stream: bool) -> Wire:
    version = upstream.api_version
    if not version:
        return wire
    kept = [pair for pair in wire.query.split(b"&") if pair and not pair.startswith(b"api-version=")]
    query = b"&".join([*kept, b"api-version=" + quote(version, safe="").encode()])
    path = wire.path.strip("/")
    if DATED.match(version):
        path = path.removeprefix("v1/")
        place = f"deployments/{quote(model, safe='')}/" if model and path in DEPLOYED else ""
        path = f"openai/{place}{path}"
    return wire._replace(path=path, query=query)


DEPLOYMENTS = Variant(_request)
