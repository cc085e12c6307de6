"""How single values of the environment are read."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway_project.environment import Environment, Refused, env_file, networks, seconds, size, url
from gateway_project.vendors import default_vendor, vendors


@pytest.mark.parametrize(
    ("text", "value"),
    [("30", 30), ("0", 0), ("2.5", 2.5), ("30s", 30), ("5m", 300), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25)],
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["soon", "5 m", "m", "-5", "5d", "1m30", "1e3", "inf", "nan", "5s5"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"), [("1024", 1024), ("64M", 2**26), ("64MiB", 2**26), ("1 gb", 2**30), ("3kb", 3072)]
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["many", "-1", "1.5M", "5T", ""])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size(text)


def test_networks() -> None:
    assert networks("10.0.0.0/8, ::1 192.0.2.7") == [
        ip_network("10.0.0.0/8"),
        ip_network("::1"),
        ip_network("192.0.2.7"),
    ]
    assert networks("10.1.2.3/8") == [ip_network("10.0.0.0/8")]
    with pytest.raises(ValueError, match="is not a list of addresses"):
        networks("10.0.0.0/8, proxy.example")


@pytest.mark.parametrize(
    "text",
    ["gateway.example", "ftp://gateway.example", "https://", "https://u:p@host", "https://h?x=1", "http://h:port"],
)
def test_no_urls(text: str) -> None:
    with pytest.raises(ValueError, match=r"URL|port"):
        url(text)


def test_first_name_that_is_set_wins_and_empty_is_not_set() -> None:
    env = Environment({"SERVER_PORT": " ", "LLM_GATEWAY_SERVER_PORT": "9000"})
    assert env.whole("SERVER_PORT", "LLM_GATEWAY_SERVER_PORT", default=8080, least=0, most=65535) == 9000


def test_addresses_that_kubernetes_sets_are_not_ours() -> None:
    env = Environment(
        {
            "GATEWAY_SERVICE_HOST": "10.0.0.1",
            "GATEWAY_SERVICE_PORT_HTTP": "80",
            "GATEWAY_PORT": "tcp://10.0.0.1:80",
            "GATEWAY_PORT_80_TCP_ADDR": "10.0.0.1",
            "LLM_GATEWAY_SERVICE_PORT": "80",
            "SERVER_PORT": "tcp://10.0.0.2:80",
        }
    )
    assert env.unknown() == []
    assert env.whole("SERVER_PORT", default=8080, least=0, most=65535) == 8080


def test_which_env_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, other = tmp_path / "named.env", tmp_path / "other.env"
    named.touch()
    other.touch()
    monkeypatch.delenv("GATEWAY_ENV_FILE", raising=False)
    assert env_file(tmp_path) is None
    (tmp_path / ".env").touch()
    assert env_file(tmp_path) == tmp_path / ".env"
    assert env_file(tmp_path, ["manage.py", "serve", "--env-file", str(named)]) == named
    assert env_file(tmp_path, ["manage.py", "serve", f"--env-file={named}"]) == named
    monkeypatch.setenv("GATEWAY_ENV_FILE", str(other))
    assert env_file(tmp_path) == other
    monkeypatch.setenv("GATEWAY_ENV_FILE", "")
    assert env_file(tmp_path) is None
    with pytest.raises(Refused, match="no file"):
        env_file(tmp_path, ["--env-file", str(tmp_path / "absent")])


def test_vendors_of_the_environment() -> None:
    env = Environment(
        {
            "OPENAI_API_KEY": "sk-1",
            "OPENAI_TIMEOUT": "2m",
            "LLM_GATEWAY_PROVIDERS_ANTHROPIC_API_KEY": "sk-2",
            "ANTHROPIC_BASE_URL": "https://proxy.example/anthropic/",
            "ANTHROPIC_MAX_RETRIES": "5",
            "OLLAMA_BASE_URL": "http://10.0.0.5:11434",
            "GEMINI_BASE_URL": "https://no-key.example",
            "AZURE_OPENAI_API_KEY": "no-address",
        }
    )
    found = {vendor.kind: vendor for vendor in vendors(env)}
    assert set(found) == {"openai", "anthropic", "ollama"}
    assert (found["openai"].api_key, found["openai"].timeout, found["openai"].max_retries) == ("sk-1", 120, 2)
    assert (found["anthropic"].base_url, found["anthropic"].max_retries, found["anthropic"].timeout) == (
        "https://proxy.example/anthropic",
        5,
        600,
    )
    assert "sk-1" not in repr(found["openai"])
    assert default_vendor(env, list(found.values())) == "ollama"
    assert (
        default_vendor(Environment({"LLM_GATEWAY_PROVIDERS_DEFAULT": "Anthropic"}), list(found.values())) == "anthropic"
    )
    assert default_vendor(Environment({}), [found["openai"], found["anthropic"]]) == "openai"
    assert default_vendor(Environment({}), []) == ""
