"""What tests of ``manage.py apply`` share: running it, and all that it could change."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import strategies as st
from pytest_django.fixtures import Settings as SettingsWrapper

from providers.models import Credential, Provider, UpstreamModel
from routing.apply import apply
from routing.apply_read import read
from routing.models import Alias, Defaults, Hook, Revision, RevisionCounter, Rewrite, Route, Target, Tombstone
from tenants.models import ApiKey, Project, Tenant

GOLDEN = Path(__file__).parent / "golden" / "apply"
SECRETS = {"GOLDEN_API_KEY": "sk-golden-0123456789", "GOLDEN_KEY_TOKEN": "gw-golden-token-0123456789"}
MODELS = (
    Provider,
    Credential,
    UpstreamModel,
    Tenant,
    Project,
    ApiKey,
    Route,
    Target,
    Alias,
    Rewrite,
    Hook,
    Defaults,
    Revision,
    RevisionCounter,
    Tombstone,
)


def everything() -> list[Any]:
    return [list(model._base_manager.order_by("pk").values()) for model in MODELS]


def run(file: Path | str, *options: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("apply", str(file), *options, stdout=out, stderr=out)
    return out.getvalue()


def do(text: str, **options: Any) -> list[str]:
    """Apply a document without the command; the lines of its report."""
    return apply(read("version: 1\n" + text), **options).lines


@pytest.fixture(autouse=True)
def apply_environment(monkeypatch: pytest.MonkeyPatch, settings: SettingsWrapper, tmp_path: Path) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings.GATEWAY_DATA_DIR = tmp_path


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
