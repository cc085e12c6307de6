"""The official SDKs see the same through the gateway as directly: every recording, every server, sync and async."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import replay
from tests.live import SERVERS, Gateway, Upstream, prepare, replay_upstream, serve
from tests.recordings import Recording, of_dialect, require
from tests.sdks import Outcome, outcomes, outcomes_async

# google-genai's own use of aiohttp.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
DIALECTS = ("openai", "anthropic", "gemini")
#: What each SDK makes of the gateway's own word for "the upstream is at fault".
SERVER_ERRORS = {
    "openai": ("InternalServerError", "server_error"),
    "anthropic": ("InternalServerError", "api_error"),
    "gemini": ("ServerError", "INTERNAL"),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    require()
    with replay_upstream() as found:
        yield found


@pytest.fixture(scope="module")
def data(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdk")
    recordings = list(require())
    named = {found for recording in recordings for found in replay.named_objects(recording)}
    prepare(folder, replay.config(recordings, upstream), named)
    return folder


@pytest.fixture(scope="module", params=SERVERS)
def gateway(request: pytest.FixtureRequest, data: Path) -> Iterator[Gateway]:
    with serve(request.param, data) as found:
        yield found


@pytest.fixture(scope="module")
def direct(upstream: Upstream) -> dict[str, Outcome]:
    """What each SDK says without a gateway."""
    found: dict[str, Outcome] = {}
    for dialect in DIALECTS:
        found |= outcomes(dialect, upstream.origin, of_dialect(dialect))
    return found


def mapped_status(recording: Recording) -> int | None:
    """The status that the gateway puts in place of an upstream's; None where it keeps it."""
    refused = recording.status == 400 and b'"API_KEY_INVALID"' in recording.reply  # Gemini's word for a 401
    if recording.status in (401, 402, 403) or refused:
        return 502
    if recording.status in (503, 529):
        return 503
    return 502 if recording.status >= 500 else None


def differences(recordings: list[Recording], direct: dict[str, Outcome], through: dict[str, Outcome]) -> list[str]:
    found = []
    for recording in recordings:
        outcome, status = through[recording.id], mapped_status(recording)
        if status is None:
            if outcome != direct[recording.id]:
                found.append(f"{recording.id} ({recording.kind}): {_first_difference(direct[recording.id], outcome)}")
            continue
        name, word = SERVER_ERRORS[recording.dialect]
        error = outcome.error or {}
        if (error.get("class"), error.get("status")) != (name, status) or word not in str(error.get("body")):
            found.append(f"{recording.id}: upstream {recording.status}, SDK saw {outcome}")
    return found


def _first_difference(wanted: Outcome, got: Outcome) -> str:
    for number, (one, other) in enumerate(zip(wanted.parts, got.parts, strict=False)):
        if one != other:
            return f"part {number}: {one[:300]} != {other[:300]}"
    return f"{len(wanted.parts)} parts, then {wanted.error} != {len(got.parts)} parts, then {got.error}"


def test_the_sdks_reach_the_upstream(direct: dict[str, Outcome]) -> None:
    """The comparison means something only if every direct call got its recorded reply: with its status, and parsed."""
    counts: Counter[str] = Counter()
    for recording in require():
        outcome = direct[recording.id]
        in_stream = recording.stream and outcome.error is not None
        assert outcome.status == recording.status or in_stream, f"{recording.id}: {outcome}"
        assert outcome.parts or recording.status >= 400, f"{recording.id}: {outcome}"
        counts[f"{recording.api} {'stream' if recording.stream else 'whole'} {recording.status}"] += 1
    print("\n" + "\n".join(f"{count:5} {name}" for name, count in sorted(counts.items())))


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_same_through_the_gateway(dialect: str, mode: str, gateway: Gateway, direct: dict[str, Outcome]) -> None:
    recordings = of_dialect(dialect)
    if mode == "sync":
        through = outcomes(dialect, gateway.origin, recordings)
    else:
        through = asyncio.run(outcomes_async(dialect, gateway.origin, recordings))
    wrong = differences(recordings, direct, through)
    mapped = sum(mapped_status(recording) is not None for recording in recordings)
    print(
        f"\n{dialect} {mode} on {gateway.server}: {len(recordings)} recordings, {mapped} of them mapped, {len(wrong)} differ"
    )
    assert not wrong, "\n".join(wrong[:20])
