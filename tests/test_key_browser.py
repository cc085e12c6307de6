"""The pages of keys in a browser: a project among the tenant's, seen as the key, rotated with an overlap, many at once."""

from __future__ import annotations

from pathlib import Path

from tests import live
from tests.test_pages_browser import Visitor, browser, gateway, narrow, pytestmark, visitor

assert browser and gateway and visitor and pytestmark  # fixtures
ROWS = """
version: 1
tenants:
  - {name: acme, networks: [10.0.0.0/8], projects: [{name: web}], keys: [{name: main, project: web}]}
  - {name: rival, projects: [{name: theirs}]}
"""


def chosen(visitor: Visitor, field: str) -> list[str]:
    """What the list of a field offers."""
    visitor.page.click(f".field-{field} .select2-selection")
    visitor.page.wait_for_selector(".select2-results__option:not(.loading-results)")
    return [str(text) for text in visitor.page.locator(".select2-results__option").all_inner_texts()]


def test_the_pages_of_a_key(visitor: Visitor, gateway: live.Gateway, tmp_path: Path) -> None:
    page = visitor.page
    file = tmp_path / "rows.yaml"
    file.write_text(ROWS)
    live.manage(gateway.data, "apply", str(file))
    visitor.go("/admin/tenants/apikey/add/")
    chosen(visitor, "tenant")
    page.click(".select2-results__option:has-text('rival')")
    assert chosen(visitor, "project") == ["theirs"]
    visitor.go("/admin/tenants/apikey/")
    page.click("th a:has-text('main')")
    assert chosen(visitor, "project") == ["web"]
    page.keyboard.press("Escape")
    page.click("text=See as key")
    page.fill("#id_address", "192.0.2.1")
    page.click("button:has-text('Ask')")
    page.wait_for_selector("text=is in no network of the tenant acme")
    narrow(page)
    visitor.go("/admin/tenants/apikey/")
    page.click("th a:has-text('main')")
    page.click("text=Rotate")
    page.select_option("#id_overlap", "3600")
    page.click("button:has-text('Rotate')")
    page.click("text=I have copied it")
    page.click("button:has-text('End it now')")
    page.wait_for_selector("text=The previous key is refused within a second.")
    visitor.go("/admin/tenants/apikey/bulk/")
    narrow(page)
    page.set_input_files("#id_file", {"name": "k.csv", "mimeType": "text/csv", "buffer": b"tenant,name\nacme,x\n"})
    with page.expect_download() as download:
        page.click("button:has-text('Issue the keys')")
    assert "acme,,x,gw-" in Path(download.value.path()).read_text()
