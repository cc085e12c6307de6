"""Each of the six packages that this project stands on has a job; a test fails when it loses it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from daphne.server import Server as DaphneServer
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.management import get_commands
from django.urls import resolve
from django_prometheus.models import ExportModelOperationsMixin
from prometheus_client import REGISTRY
from rest_framework.viewsets import ViewSetMixin

from providers.upstream import Connections, Credential, Upstream
from tests.recordings import REPOSITORY

PACKAGES = ("django", "djangorestframework", "channels", "daphne", "httpx", "django-prometheus")
MODULES = {"djangorestframework": "rest_framework", "django-prometheus": "django_prometheus"}
OURS = ("providers", "routing", "tenants")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("package", PACKAGES)
def test_it_is_required_exactly(package: str) -> None:
    pins = dict(line.split("==") for line in (REPOSITORY / "requirements.txt").read_text().splitlines() if "==" in line)
    assert package in {normal(name) for name in pins}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_readme_names_its_job_and_a_file_that_does_it(package: str) -> None:
    rows = [
        [cell.strip(" `") for cell in line.strip("| \n").split("|")]
        for line in (REPOSITORY / "README.md").read_text().splitlines()
        if line.startswith("|")
    ]
    row = next((row for row in rows if normal(row[0]) == package), None)
    assert row is not None, f"no row of README's table is about {package}"
    files = [Path(REPOSITORY, name) for name in re.findall(r"[\w/.-]+\.py", row[2])]
    module = MODULES.get(package, package)
    assert files
    assert all(file.is_file() for file in files)
    assert any(re.search(rf"\b{module}\b", file.read_text()) for file in files)


def test_django_carries_models_admin_checks_commands() -> None:
    models = [model for app in OURS for model in apps.get_app_config(app).get_models()]
    assert len([model for model in models if admin.site.is_registered(model)]) >= 8
    assert {"apply", "bootstrap", "serve"} <= {
        name for name, app in get_commands().items() if app in (*OURS, "gateway_project")
    }


def test_rest_framework_answers_the_api() -> None:
    view = resolve("/api/v1/providers/").func
    assert issubclass(view.cls, ViewSetMixin)  # type: ignore[attr-defined]


def test_channels_routes_every_client_path() -> None:
    from gateway_project.asgi import application
    from routing.urls import urlpatterns

    assert isinstance(application.routers, ProtocolTypeRouter)
    assert isinstance(application.data_plane, URLRouter)
    assert application.data_plane.routes == urlpatterns


def test_daphne_runs_development_and_is_a_server() -> None:
    from gateway_project.daphne_runner import DrainingServer

    assert get_commands()["runserver"] == "daphne"
    assert issubclass(DrainingServer, DaphneServer)


def test_httpx_is_the_interface_to_upstreams() -> None:
    """Whatever engine: a call is an httpx.Request handed to one httpx.AsyncBaseTransport."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    async def call() -> None:
        connections = Connections(transports={"*": httpx.MockTransport(answer)})
        upstream = Upstream(1, "one", "openai", "https://api.example/v1", frozenset({"chat"}), (Credential(0, None),))
        reply = await connections.open(upstream, "POST", "/v1/chat/completions", (), b"{}")
        await reply.close()
        await connections.close()

    asyncio.run(call())
    assert [str(request.url) for request in seen] == ["https://api.example/v1/chat/completions"]


def test_prometheus_counts_the_control_plane(django_db_blocker: Any) -> None:
    assert settings.MIDDLEWARE[0].startswith("django_prometheus")
    assert settings.MIDDLEWARE[-1].startswith("django_prometheus")
    assert settings.DATABASES["default"]["ENGINE"].startswith("django_prometheus.")
    mixin = ExportModelOperationsMixin("any").__mro__[1].__module__
    counted = {
        model.__name__
        for app in OURS
        for model in apps.get_app_config(app).get_models()
        if "django_prometheus" in {base.__module__.split(".")[0] for base in model.__mro__}
    }
    assert {"Provider", "Route", "Target", "Tenant", "ApiKey"} <= counted, mixin
    assert {"django_model_inserts", "proxy_requests"} <= {metric.name for metric in REGISTRY.collect()}
