"""A decision in words for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tenants.figures import dollars

NOT_LIVE = (
    "Not known here: what the running gateway has seen of its providers (open breakers, resting credentials, load)."
    " POST /api/v1/explain decides by that, too."
)


def lines(doc: dict[str, Any]) -> Iterator[str]:
    """What ``question.answer`` says, line by line."""
    key = doc["key"]
    yield f"Key {key['name']} of tenant {key['tenant']}" if key is not None else "Without a key"
    if doc["route"]:
        how = f" (by {doc['via']}), strategy {doc['strategy']}" if "via" in doc else ""
        yield f"Model {doc['model']} → route {doc['route']}{how}"
    else:
        yield f"Model {doc['model']}"
    for candidate in doc.get("candidates", ()):
        where = f"{candidate['provider']}/{candidate['model']} (target {candidate['target']})"
        number = f"{candidate['order']}." if "order" in candidate else "-"
        about = f", about {dollars(candidate['estimated_cost'])}" if "estimated_cost" in candidate else ""
        yield f"  {number:<3} {where}{about}" + (f": {candidate['rejected']}" if "rejected" in candidate else "")
    if more := doc.get("more_candidates"):
        yield f"      and {more} more"
    if error := doc.get("error"):
        yield f"Refused with {error['status']} {error['kind']}: {error['message']}"
    if hooks := doc.get("hooks"):
        yield f"Hooks that would run, and may decide otherwise: {', '.join(hooks)}"
    if not doc["live"]:
        yield NOT_LIVE
