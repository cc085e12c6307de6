"""The admin in a browser, against the running gateway: an operator's first hour, with hostile names all the way."""

from __future__ import annotations

import re
import shlex
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import live

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -r requirements-dev.txt"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium on this machine: apt-get install chromium"
)

PASSWORD = "a-password-of-tests"
EVIL = "<img src=x onerror=alert(1)>'\"<script>alert(2)</script>"
#: Without a usable route the gateway is never ready.
CONFIG = """
version: 1
providers: [{name: first, kind: demo}]
routes: [{model: first, targets: [{provider: first, model: demo}]}]
"""
PHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[live.Gateway]:
    data = Path(tmp_path_factory.mktemp("browser")) / "data"
    data.mkdir(mode=0o700)
    live.manage(data, "migrate", "--verbosity", "0")
    code = f"from django.contrib.auth.models import User; User.objects.create_superuser('root', '', {PASSWORD!r})"
    live.manage(data, "shell", "-c", code)
    (data / "config.yaml").write_text(CONFIG)
    live.manage(data, "apply", str(data / "config.yaml"))
    with live.serve("uvicorn", data) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visitor:
    """A logged-in operator. ``wrong`` gathers what a page must never do: run injected scripts, fail, complain."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page, self.origin = page, origin
        self.wrong: list[str] = []
        page.on("dialog", self.dismissed)
        page.on("pageerror", lambda error: self.wrong.append(f"{error} at {page.url}"))
        page.on(
            "console",
            lambda message: self.wrong.append(f"{message.text} at {page.url}") if message.type == "error" else None,
        )
        page.on(
            "response", lambda reply: self.wrong.append(f"{reply.status} {reply.url}") if reply.status >= 500 else None
        )

    def dismissed(self, dialog: Any) -> None:
        self.wrong.append(f"dialog at {self.page.url}")
        dialog.dismiss()

    def go(self, path: str) -> None:
        self.page.goto(f"{self.origin}{path}", wait_until="networkidle")

    def save(self) -> None:
        self.page.click("button[name=_save], input[name=_save]")
        self.page.wait_for_load_state("networkidle")

    def login(self) -> None:
        self.go("/admin/")
        self.page.fill("#id_username", "root")
        self.page.fill("#id_password", PASSWORD)
        self.page.press("#id_password", "Enter")
        self.page.wait_for_url(f"{self.origin}/admin/")


@pytest.fixture
def visitor(browser: Any, gateway: live.Gateway) -> Iterator[Visitor]:
    context = browser.new_context(accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=gateway.origin)
    visitor = Visitor(context.new_page(), gateway.origin)
    visitor.login()
    yield visitor
    context.close()
    assert visitor.wrong == []


def provider_and_route(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/admin/providers/provider/add/")
    page.fill("#id_name", "demo")
    page.fill("#id_title", EVIL)
    page.select_option("#id_kind", "demo")
    visitor.save()
    page.click("th a:has-text('demo')")
    page.click("text=Test connection")
    page.wait_for_selector("text=It works.")
    visitor.go("/admin/routing/route/add/")
    page.fill("#id_name", "demo")
    page.fill("#id_title", EVIL)
    page.select_option("#id_targets-0-provider", label=EVIL)
    visitor.save()


def key(visitor: Visitor) -> str:
    """The curl that the page of a new key shows."""
    page = visitor.page
    visitor.go("/admin/tenants/tenant/add/")
    page.fill("#id_name", "acme")
    page.fill("#id_title", EVIL)
    page.fill("#id_keys-0-name", EVIL)
    visitor.save()
    page.click("[data-copy=curl-1]")
    page.wait_for_selector("text=Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.text_content("#curl-1")
    return str(copied)


def request_of(curl: str) -> urllib.request.Request:
    words = shlex.split(curl.replace("\\\n", ""))
    headers = dict(word.split(": ", 1) for flag, word in pairwise(words) if flag == "-H")
    body = words[words.index("-d") + 1] if "-d" in words else None
    return urllib.request.Request(words[1], body.encode() if body else None, headers)


def test_an_operators_first_hour(visitor: Visitor, gateway: live.Gateway) -> None:
    page = visitor.page
    assert page.locator("ol.gw-steps li").count() == 1
    provider_and_route(visitor)
    request = request_of(key(visitor))
    live.wait_until(lambda: _answered(request), "the new key and route are in force")
    live.wait_until(lambda: _listed(visitor), "the request stands in the list")
    page.click("#result_list a >> nth=0")
    page.wait_for_selector("text=Whose request it was.")
    page.wait_for_selector("text=The route was found by")
    narrow(page)
    visitor.go("/admin/providers/provider/")
    page.click("th a:has-text('demo')")
    page.wait_for_selector("text=no circuit breaker is open")
    narrow(page)
    visitor.go("/admin/usage-report/?by=tenant&period=24h")
    assert page.evaluate("Chart.getChart('chart').data.labels") == ["acme"]
    with page.expect_download() as download:
        page.click("a:has-text('CSV')")
    assert "acme" in Path(download.value.path()).read_text()
    visitor.go("/admin/")
    assert page.locator("ol.gw-steps").count() == 0
    assert re.search(r"demo\s+[1-9]", page.inner_text(".gw-table"))


def _answered(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError:
        return False


def _listed(visitor: Visitor) -> bool:
    visitor.go("/admin/tenants/usage/")
    return bool(visitor.page.locator("#result_list a").count())


def test_every_page_of_the_sidebar(visitor: Visitor) -> None:
    page = visitor.page
    paths = page.eval_on_selector_all("#nav-sidebar-apps a", "links => links.map(link => link.pathname)")
    assert len(paths) >= 14
    for path in paths:
        visitor.go(path)
        assert page.title().endswith("LLM gateway"), path
        narrow(page)


def narrow(page: Any) -> None:
    """No page is wider than a phone."""
    page.set_viewport_size(PHONE)
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_the_reports_period_fields(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/admin/usage-report/")
    assert not page.is_visible("#id_start")
    page.select_option("#id_period", "custom")
    page.fill("#id_start", "2026-01-02T00:00")
    page.fill("#id_end", "2026-01-01T00:00")
    page.click("button:has-text('Show')")
    page.wait_for_selector("text=This must be later than the beginning.")
    # A wrong period is a 400, which the browser's console tells.
    visitor.wrong = [entry for entry in visitor.wrong if "400" not in entry]
    page.fill("#id_end", "2026-01-03T00:00")
    page.click("button:has-text('Show')")
    page.wait_for_selector("text=2026-01-02 00:00 to 2026-01-03 00:00 UTC")
    assert page.is_visible("text=No requests in this time.")
