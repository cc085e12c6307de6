"""From the rows of hooks to the hooks that requests pass."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import orjson

from routing.hook_choice import classes
from routing.hook_rows import opened
from routing.hooks import Hooks, Means, Row

log = logging.getLogger(__name__)


def hooks_of(rows: Iterable[Any], means: Means | None, before: Hooks | None) -> Hooks | None:
    """None without any. What was made from a row that is as it was lives on in ``before``."""
    made = [_row(row) for row in rows if row.enabled]
    return Hooks(made, classes(), means, before=before) if made else None


def _row(row: Any) -> Row:
    try:
        options = orjson.dumps(opened(row.options, row.sealed)).decode()
    except (ValueError, TypeError) as error:
        log.error("hook %s (%d): %s", row.name, row.id, error)
        options = ""  # with which none can be made: nothing passes
    return Row(row.name, options, row.order, row.tenant_id, row.route_id, row.on_failure, row.seconds or 0.0, row.id)
