"""The README's section about budgets: its file and its check of signatures, as they stand there."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from routing.apply import apply
from routing.apply_read import read
from tenants.models import Budget, LeaseIncrease
from tenants.notices import signature
from tests.readme_blocks import blocks
from tests.recordings import REPOSITORY

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.django_db
def test_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "README.md").read_text()
    (found,) = re.findall(r"^```yaml\n# budgets\.yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    year = time.gmtime().tm_year + 1
    apply(read(found.replace("2027-01-31", f"{year}-01-31")))
    assert list(Budget.objects.order_by("name").values_list("name", "of", "hard", "amount")) == [
        ("all", "tenant", True, 5000 * 10**9),
        ("everyone", "end_user", True, 5 * 10**8),
        ("nightly", "tag", False, 40 * 10**9),
        ("web", "project", True, 250 * 10**9),
    ]
    assert LeaseIncrease.objects.get().reason == "the year's accounts"


def test_the_check_of_signatures() -> None:
    there: dict[str, Any] = {}
    exec(blocks("Budgets")["check_webhook.py"], there)
    genuine, body, now = there["genuine"], b'{"a":1}', int(time.time())
    headers = {
        "webhook-id": "notice_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature(SECRET, "notice_1", now, body),
    }
    assert genuine(SECRET, headers, body)
    assert not genuine(SECRET, headers, body + b" ")
    assert not genuine(SECRET.replace("M", "N"), headers, body)
    assert not genuine(SECRET, headers | {"webhook-id": "notice_2"}, body)
    old = now - 301
    assert not genuine(
        SECRET,
        headers | {"webhook-timestamp": str(old), "webhook-signature": signature(SECRET, "notice_1", old, body)},
        body,
    )
