"""Requests of the shape that agents and frameworks send, each against every other upstream dialect.

A case is a file: the client's request and, by upstream, what is sent there and what is named as dropped. ``GOLDEN=write``
writes what is found; read the difference before you keep it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from providers.chat import Unsupported
from providers.dialects import CLIENTS, UPSTREAMS
from tests.test_recordings import DIALECTS

FOLDER = Path(__file__).parent / "golden" / "dialects"
CASES = sorted(FOLDER.glob("*.json"))


def sent(case: dict[str, Any], upstream: str) -> Any:
    chat = CLIENTS[case["client"]].read_request(case["request"], case["path"])
    dialect = UPSTREAMS[upstream]
    try:
        doc, dropped = dialect.write_request(chat)
    except Unsupported as error:
        return {"refused": error.field}
    headers = dict(dialect.headers(chat))
    return {"url": dialect.url(chat), "headers": headers, "dropped": dropped, "body": json.loads(json.dumps(doc))}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_requests_of_known_clients(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    found = {name: sent(case, name) for name in DIALECTS if name != case["client"]}
    if os.environ.get("GOLDEN") == "write":
        path.write_text(json.dumps(case | {"sent": found}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.skip("written")
    assert found == case["sent"]


def test_there_are_cases() -> None:
    assert len(CASES) >= 5
