"""How ``manage.py serve`` ends: streams finish, nothing is lost, workers go together; on both servers."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.live import LIMIT, SERVERS, wait_until
from tests.serving import Installation, Stream, ready, refusal, row, serving


def children(pid: int) -> list[int]:
    """The workers of a parent: multiprocessing also keeps a process that tracks resources."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    workers = []
    for child in found:
        with contextlib.suppress(FileNotFoundError):  # it may end while we look
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                workers.append(int(child))
    return workers


@pytest.mark.parametrize("server", SERVERS)
def test_sigterm_drains(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server) as (process, gateway):
        stream = Stream(gateway.port, installation.key)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready(gateway.port) == 503, "/ready says that it ends")
        late = Stream(gateway.port, installation.key, 0.1)
        assert b"[DONE]" in late.rest()
        wait_until(lambda: ready(gateway.port) == 0, "the listener is closed")
        assert process.poll() is None
        assert stream.rest().endswith(b"data: [DONE]\n\n")
        assert process.wait(LIMIT) == 0
    assert row(installation, stream.id) == row(installation, late.id) == (200, "")


@pytest.mark.parametrize("server", SERVERS)
def test_streams_are_cut_when_their_time_is_up(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server, GATEWAY_DRAIN_DELAY="0", GATEWAY_DRAIN_TIMEOUT="1") as (
        process,
        gateway,
    ):
        stream = Stream(gateway.port, installation.key, 60)
        process.send_signal(signal.SIGTERM)
        assert b"[DONE]" not in stream.rest()
        assert process.wait(LIMIT) == 0
        assert "Traceback" not in gateway.log
    assert row(installation, stream.id)[1] == "cancelled"


@pytest.mark.parametrize("arguments", [("--server", "uvicorn"), ("--server", "daphne"), ("--workers", "2")])
def test_a_second_signal_ends_it_at_once(installation: Installation, arguments: tuple[str, ...]) -> None:
    with serving(installation, *arguments) as (process, gateway):
        stream = Stream(gateway.port, installation.key, 60)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready(gateway.port) == 503, "/ready says that it ends")
        process.send_signal(signal.SIGTERM)
        assert b"[DONE]" not in stream.rest()
        assert process.wait(LIMIT) == 0
        assert "Traceback" not in gateway.log
    assert row(installation, stream.id)[1] == "cancelled"


@pytest.mark.parametrize("server", SERVERS)
def test_a_keyboard_does_not_wait_for_load_balancers(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server, GATEWAY_DRAIN_DELAY="300") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0


def test_workers_drain_together_though_all_hear_the_signal(installation: Installation) -> None:
    """As service managers do it: every process of the group gets SIGTERM, and the parent passes its own on, too."""
    with serving(installation, "--workers", "2") as (process, gateway):
        streams = [Stream(gateway.port, installation.key) for _ in range(8)]
        os.killpg(process.pid, signal.SIGTERM)
        assert all(stream.rest().endswith(b"data: [DONE]\n\n") for stream in streams)
        assert process.wait(LIMIT) == 0
        assert not ready(gateway.port)
    assert {row(installation, stream.id) for stream in streams} == {(200, "")}
    assert list(installation.data.glob("metrics-*")) == []


def test_a_dead_worker_is_replaced(installation: Installation) -> None:
    with serving(installation, "--workers", "2") as (process, gateway):
        before = set(
            wait_until(lambda: children(process.pid) if len(children(process.pid)) == 2 else None, "two workers")
        )
        victim = before.pop()
        os.kill(victim, signal.SIGKILL)
        after = wait_until(lambda: (now := set(children(process.pid))) - {victim} - before and now, "another worker")
        assert before < after
        assert ready(gateway.port) == 200
        assert f"worker {victim} ended" in gateway.log


def test_workers_that_cannot_start_end_it(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('broken on purpose')\n")
    assert "No worker can be started" in refusal(installation.data, "--workers", "2", PYTHONPATH=str(tmp_path))


def test_workers_do_not_outlive_their_parent(installation: Installation) -> None:
    with serving(installation, "--workers", "2", GATEWAY_DRAIN_DELAY="0") as (process, gateway):
        stream = Stream(gateway.port, installation.key, 1)
        process.kill()
        assert stream.rest().endswith(b"data: [DONE]\n\n")
        wait_until(lambda: ready(gateway.port) == 0, "the port is free")
