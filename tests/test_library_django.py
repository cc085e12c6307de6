"""The Django apps in a project of somebody else's: made by startproject, completed as the README says, with its own users."""

from __future__ import annotations

import ast
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured
from websockets.sync.client import connect

from routing import checks, defaults
from tests.live import LIMIT, wait_until
from tests.readme_blocks import blocks, project, run, served
from tests.recordings import REPOSITORY
from tests.test_library_readme import ask
from tests.test_make_run import admin_page

BLOCKS = blocks("As a library")
KEY = "a-key-of-the-shop-0123456789"
AUTH = {"authorization": f"Bearer {KEY}"}
ASKED = {"model": "demo", "messages": [{"role": "user", "content": "Hello there"}]}
CONFIG = {
    "version": 1,
    "providers": [{"name": "demo", "kind": "demo"}],
    "routes": [{"model": "demo", "targets": [{"provider": "demo"}]}],
    "tenants": [{"name": "shop", "keys": [{"name": "site", "key": KEY}]}],
}
#: Users that have neither a user name nor the columns of Django's own.
ACCOUNTS = """
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models

class Users(BaseUserManager):
    def create_superuser(self, email, password):
        user = self.model(email=email, is_superuser=True)
        user.set_password(password)
        user.save()

class User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    is_staff = True
    objects = Users()
"""
MAKE_OPERATOR = {
    "own": "create_superuser(email='boss@shop.test', password='long enough')",
    "django": "create_superuser(username='boss@shop.test', email='', password='long enough')",
}


@dataclass(frozen=True, slots=True)
class Shop:
    folder: Path
    port: int


@pytest.fixture(scope="module", params=["own", "django"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The project, checked, migrated, configured and served."""
    folder = tmp_path_factory.mktemp("shop")
    inner = project(folder)
    for name in ("urls.py", "asgi.py"):
        (inner / name).write_text(BLOCKS[name])
    with (inner / "settings.py").open("a") as file:
        file.write(BLOCKS["settings.py"])
        if request.param == "own":
            file.write('INSTALLED_APPS += ["accounts"]\nAUTH_USER_MODEL = "accounts.User"\n')
    if request.param == "own":
        (folder / "accounts").mkdir()
        (folder / "accounts/__init__.py").touch()
        (folder / "accounts/models.py").write_text(ACCOUNTS)
        run(folder, "manage.py", "makemigrations", "accounts")
    run(folder, "-W", "error", "manage.py", "migrate", "-v0")
    run(folder, "manage.py", "makemigrations", "--check", "--dry-run")
    run(folder, "manage.py", "prices", "--compile")
    run(folder, "manage.py", "check", "--fail-level", "WARNING", "--database", "default")
    (folder / "gateway.yaml").write_text(json.dumps(CONFIG))
    run(folder, "manage.py", "apply", "gateway.yaml")
    make = f"from django.contrib.auth import get_user_model as u; u().objects.{MAKE_OPERATOR[request.param]}"
    run(folder, "manage.py", "shell", "-c", make)
    with served(folder, "shop.asgi:application") as port:
        yield Shop(folder, port)


def rows(shop: Shop) -> list[tuple[str, str, int]]:
    with contextlib.closing(sqlite3.connect(shop.folder / "db.sqlite3", timeout=LIMIT)) as connection:
        return connection.execute("SELECT tenant, model, status FROM tenants_usage WHERE status = 200").fetchall()


def test_requests_are_answered_beside_the_projects_own_pages(shop: Shop) -> None:
    status, body = ask(shop.port, "/llm/v1/chat/completions", ASKED, **AUTH)
    assert status == 200 and "Hello there" in body
    assert ask(shop.port, "/llm/v1/chat/completions", ASKED)[0] == 401
    assert ask(shop.port, "/llm/nowhere", ASKED)[0] == 404
    assert json.loads(ask(shop.port, "/llm/ready")[1])["providers"] == ["demo"]
    status, body = ask(shop.port, "/v1/chat/completions")
    assert status == 404 and "shop.urls" in body
    assert ("shop", "demo", 200) in wait_until(lambda: rows(shop), "the usage row")


def test_a_websocket_is_under_the_mount(shop: Shop) -> None:
    url = f"ws://127.0.0.1:{shop.port}/llm/v1/responses"
    with connect(url, additional_headers=AUTH, open_timeout=LIMIT) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "demo", "input": "Hello there"}))
        kinds = [json.loads(socket.recv(LIMIT))["type"]]
        while kinds[-1] != "response.completed":
            kinds.append(json.loads(socket.recv(LIMIT))["type"])
    assert "response.output_text.delta" in kinds


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/admin/", "Providers"),
        ("/admin/providers/provider/", "demo"),
        ("/admin/providers/provider/add/", "gateway/admin.css"),
        ("/admin/routing/route/", "demo"),
        ("/admin/tenants/usage/", "/admin/tenants/usage/"),
        ("/admin/tenants/operatortoken/?q=boss", "API token"),
        ("/admin/tenants/operatortoken/add/", "boss@shop.test"),
        ("/admin/usage-report/", "Usage report"),
        ("/gateway/api/v1/providers", '"name":"demo"'),
    ],
)
def test_the_projects_users_have_the_pages(shop: Shop, path: str, told: str) -> None:
    assert told in admin_page(shop.port, "boss@shop.test", "long enough", path)


def test_the_api_is_for_its_users_only(shop: Shop) -> None:
    assert ask(shop.port, "/gateway/api/v1/providers")[0] == 401
    assert ask(shop.port, "/gateway/api/v1/providers", {"name": "x", "kind": "demo"}, **AUTH)[0] == 401


def test_what_is_changed_is_in_force_at_once(shop: Shop) -> None:
    more = {**CONFIG, "routes": [{"model": "more", "targets": [{"provider": "demo", "model": "demo"}]}]}
    (shop.folder / "more.yaml").write_text(json.dumps(more))
    assert ask(shop.port, "/llm/v1/chat/completions", {**ASKED, "model": "more"}, **AUTH)[0] == 404
    run(shop.folder, "manage.py", "apply", "more.yaml")
    wait_until(
        lambda: ask(shop.port, "/llm/v1/chat/completions", {**ASKED, "model": "more"}, **AUTH)[0] == 200,
        "the new route answers",
    )


def test_a_first_start_makes_no_users_of_a_kind_that_is_not_its_own(shop: Shop) -> None:
    run(shop.folder, "manage.py", "bootstrap")


# settings


def test_every_setting_that_the_apps_read_has_a_default() -> None:
    read = {
        node.attr
        for app in ("providers", "tenants", "routing")
        for path in (REPOSITORY / app).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings"
    }
    ours = {name for name in read if name.startswith("GATEWAY_")}
    assert ours and ours <= set(defaults.DEFAULTS)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> LazySettings:
    """Settings of a project that sets nothing of ours."""
    bare = LazySettings()
    bare.configure(SECRET_KEY="a", SECRET_KEY_FALLBACKS=["b"])
    for module in (defaults, checks):
        monkeypatch.setattr(module, "settings", bare)
    monkeypatch.setattr(defaults, "made_from_secret_key", [])
    return bare


def test_secrets_are_made_of_the_secret_key_and_told_of(bare: LazySettings) -> None:
    defaults.install()
    assert checks.secrets() == []
    assert [message.id for message in checks.derived()] == ["gateway.W006"] * 2
    writes, reads = bare.GATEWAY_ENCRYPTION_KEYS
    assert writes != reads and len({*bare.GATEWAY_KEY_PEPPERS}) == 2
    later = LazySettings()
    later.configure(SECRET_KEY="c", SECRET_KEY_FALLBACKS=["a"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults, "settings", later)
        defaults.install()
    assert later.GATEWAY_ENCRYPTION_KEYS[1] == writes
    assert later.GATEWAY_KEY_PEPPERS[1] == bare.GATEWAY_KEY_PEPPERS[0]


def test_what_the_project_sets_stays(bare: LazySettings) -> None:
    bare.GATEWAY_KEY_PEPPERS = ["a pepper of the project"]
    bare.GATEWAY_TRUSTED_PROXIES = ["10.0.0.0/8"]
    bare.GATEWAY_ENCRYPTION_KEYS = ["short"]
    bare.UNFOLD = {"SITE_TITLE": "Shop", "STYLES": ["own.css"]}
    defaults.install()
    assert bare.GATEWAY_KEY_PEPPERS == [b"a pepper of the project"]
    assert str(bare.GATEWAY_TRUSTED_PROXIES[0]) == "10.0.0.0/8"
    assert (bare.UNFOLD["SITE_TITLE"], bare.UNFOLD["STYLES"][0]) == ("Shop", "own.css")
    assert [message.id for message in checks.secrets()] == ["gateway.E003"]
    bare.GATEWAY_KEY_PEPPERS = [b"short"]
    assert [message.id for message in checks.secrets()] == ["gateway.E003", "gateway.E004"]
    bare.GATEWAY_TRUSTED_PROXIES = ["here"]
    with pytest.raises(ImproperlyConfigured, match="GATEWAY_TRUSTED_PROXIES"):
        defaults.install()


def test_the_admins_theme_must_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Apps:
        names: tuple[str, ...] = ()

        def get_app_configs(self) -> list[object]:
            return [type("Config", (), {"name": name}) for name in self.names]

    monkeypatch.setattr(checks, "apps", apps := Apps())
    for names, wrong in (
        ((), False),
        (("unfold", "django.contrib.admin"), False),
        (("django.contrib.admin", "unfold"), True),
        (("django.contrib.admin",), True),
    ):
        apps.names = names
        assert [message.id for message in checks.theme()] == ["gateway.E005"] * wrong
