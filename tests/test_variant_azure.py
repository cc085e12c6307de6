"""Azure's deployments: the model moves into the path, the version into the query."""

from __future__ import annotations

import pytest

from providers.upstream import Upstream
from providers.urls import join
from providers.variants import Wire
from providers.variants.azure import DEPLOYMENTS

HOST = "https://res.openai.azure.com"
BODY = b'{ "model":"gpt-4o" , "messages":[]}'


def upstream(version: str, base_url: str = HOST) -> Upstream:
    return Upstream(1, "azure", "azure-openai", base_url, frozenset({"chat"}), api_version=version)


def asked(
    path: str, model: str = "gpt-4o", version: str = "2024-10-21", base_url: str = HOST, query: bytes = b""
) -> str:
    """The whole address that a plain request is sent to."""
    wire = Wire(path, query, [(b"accept", b"*/*")], BODY)
    found = DEPLOYMENTS.request(upstream(version, base_url), wire, model, False)
    assert (found.headers, found.body) == (wire.headers, BODY)
    address = join(base_url, found.path)
    return f"{address}?{found.query.decode()}" if found.query else address


@pytest.mark.parametrize(
    "path",
    [
        "chat/completions",
        "completions",
        "embeddings",
        "images/generations",
        "images/edits",
        "audio/speech",
        "audio/transcriptions",
        "audio/translations",
    ],
)
def test_a_deployment_is_in_the_path(path: str) -> None:
    expected = f"{HOST}/openai/deployments/gpt-4o/{path}?api-version=2024-10-21"
    assert asked(f"v1/{path}") == asked(f"/v1/{path}") == expected


@pytest.mark.parametrize("path", ["responses", "responses/resp_1", "responses/resp_1/cancel", "models", "moderations"])
def test_what_no_deployment_serves_is_one_for_all(path: str) -> None:
    assert asked(f"v1/{path}") == f"{HOST}/openai/{path}?api-version=2024-10-21"


@pytest.mark.parametrize("base_url", [HOST, f"{HOST}/", f"{HOST}/openai", f"{HOST}/openai/"])
def test_the_address_may_name_openai_or_not(base_url: str) -> None:
    found = asked("v1/chat/completions", base_url=base_url)
    assert found == f"{HOST}/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"


def test_a_path_before_it_stays() -> None:
    base_url = "https://apim.example.com/team/openai"
    found = asked("v1/embeddings", base_url=base_url)
    assert found == f"{base_url}/deployments/gpt-4o/embeddings?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("model", "quoted"), [("my gpt", "my%20gpt"), ("../x", "..%2Fx"), ("a?b#c", "a%3Fb%23c"), ("ü", "%C3%BC")]
)
def test_a_model_is_one_segment(model: str, quoted: str) -> None:
    assert f"/deployments/{quoted}/chat/" in asked("v1/chat/completions", model)


def test_a_request_without_a_model_has_no_deployment() -> None:
    assert asked("v1/audio/speech", "") == f"{HOST}/openai/audio/speech?api-version=2024-10-21"


def test_a_query_is_kept_but_for_the_clients_own_version() -> None:
    found = asked("v1/responses/r", query=b"include=a&api-version=1999-01-01&include=b")
    assert found == f"{HOST}/openai/responses/r?include=a&include=b&api-version=2024-10-21"


def test_without_a_version_nothing_changes() -> None:
    wire = Wire("v1/chat/completions", b"a=b", [], BODY)
    assert DEPLOYMENTS.request(upstream(""), wire, "gpt-4o", True) is wire
    assert join(f"{HOST}/openai/v1", wire.path) == f"{HOST}/openai/v1/chat/completions"


@pytest.mark.parametrize("version", ["preview", "latest"])
def test_a_version_of_the_v1_api_keeps_its_paths(version: str) -> None:
    found = asked("v1/responses", version=version, base_url=f"{HOST}/openai/v1")
    assert found == f"{HOST}/openai/v1/responses?api-version={version}"
