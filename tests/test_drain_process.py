"""``manage.py serve`` killed at any of its processes: every request that was sent has its row, once."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from gateway_project.drain_process import NAME
from tests.live import LIMIT, SERVERS, Gateway, database, wait_until
from tests.serving import Installation, Stream, serving
from tests.test_drain import children


def drain_of(pid: int) -> int:
    """The drain that this process keeps, 0 while there is none."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            if (place / "comm").read_text().strip() == NAME:
                parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == pid:
                    return int(place.name)
    return 0


def another(pid: int, before: int) -> bool:
    return drain_of(pid) not in (0, before)


def ask(port: int, key: str, count: int) -> list[str]:
    """Whole replies; their requests' ids."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "word"}]})
    found = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    for _ in range(count):
        connection.request("POST", "/v1/chat/completions", body, headers)
        reply = connection.getresponse()
        assert reply.status == 200, reply.read()
        found.append(reply.headers["x-request-id"])
        reply.read()
    connection.close()
    return found


def rows(at: Installation) -> dict[str, bool]:
    """Whether it was interrupted, by request id; each is there once."""
    with contextlib.closing(database(at.data)) as connection:
        found = connection.execute("SELECT request_id, interrupted FROM tenants_usage").fetchall()
    assert len(found) == len({row["request_id"] for row in found})
    return {row["request_id"]: bool(row["interrupted"]) for row in found}


def leftover(at: Installation) -> list[str]:
    """Owners whose spools are there."""
    return [path.name for path in (at.data / "spool").iterdir() if path.is_dir()]


def kill_all(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(LIMIT)


@pytest.mark.parametrize("arguments", [(), ("--workers", "2"), ("--server", "daphne")])
def test_all_is_stored_when_it_has_ended(installation: Installation, arguments: tuple[str, ...]) -> None:
    with serving(installation, *arguments) as (process, gateway):
        asked = ask(gateway.port, installation.key, 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    assert rows(installation) == dict.fromkeys(asked, False) and leftover(installation) == []


@pytest.mark.parametrize("server", SERVERS)
def test_all_killed_at_once(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server) as (process, gateway):
        asked = ask(gateway.port, installation.key, 30)
        stream = Stream(gateway.port, installation.key, 60)
        kill_all(process)
        stream.rest()
    with serving(installation, "--server", server) as (_, gateway):
        wait_until(lambda: len(rows(installation)) == 31, "rows of before")
    assert rows(installation) == dict.fromkeys(asked, False) | {stream.id: True}


def test_the_drain_outlives_a_parent_that_is_killed(installation: Installation) -> None:
    with serving(installation) as (process, gateway):
        asked = ask(gateway.port, installation.key, 5)
        stream = Stream(gateway.port, installation.key, 60)
        wait_until(lambda: drain_of(process.pid), "a drain")
        process.kill()
        stream.rest()
        wait_until(lambda: len(rows(installation)) == 6, "rows without any worker")
        wait_until(lambda: leftover(installation) == [], "its spool is done with")
    assert rows(installation) == dict.fromkeys(asked, False) | {stream.id: True}


def test_a_drain_that_is_killed_is_replaced_and_nobody_waits_for_it(installation: Installation) -> None:
    with serving(installation) as (process, gateway):
        asked = []
        for _ in range(3):
            drain = wait_until(lambda: drain_of(process.pid), "a drain")
            asked += ask(gateway.port, installation.key, 10)
            os.kill(drain, signal.SIGKILL)
            asked += ask(gateway.port, installation.key, 10)
            wait_until(partial(another, process.pid, drain), "another drain")
        wait_until(lambda: len(rows(installation)) == 60, "rows")
        assert f"the drain {drain} ended" in gateway.log
    assert rows(installation) == dict.fromkeys(asked, False)


def test_a_worker_that_is_killed(installation: Installation) -> None:
    with serving(installation, "--workers", "2") as (process, gateway):
        streams = [Stream(gateway.port, installation.key, 60) for _ in range(6)]
        asked = ask(gateway.port, installation.key, 10)
        wait_until(lambda: len(rows(installation)) == 10, "rows: a client has its reply before that is settled")
        victims = wait_until(lambda: len(children(process.pid)) == 2 and children(process.pid), "two workers")
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        for stream in streams:
            stream.rest()
        wait_until(lambda: len(rows(installation)) == 16, "rows of the dead")
    assert rows(installation) == dict.fromkeys(asked, False) | {stream.id: True for stream in streams}


def test_a_locked_database_is_waited_for(installation: Installation) -> None:
    with serving(installation) as (_, gateway):
        with contextlib.closing(database(installation.data, "rw")) as connection:
            connection.isolation_level = None
            connection.execute("BEGIN EXCLUSIVE")
            asked = ask(gateway.port, installation.key, 20)
            wait_until(lambda: _waiting(gateway) == 20, "rows wait in the spool")
            connection.execute("ROLLBACK")
        wait_until(lambda: len(rows(installation)) == 20, "rows")
        wait_until(lambda: _waiting(gateway) == 0, "nothing waits")
    assert rows(installation) == dict.fromkeys(asked, False)


def _waiting(gateway: Gateway) -> int:
    wire = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT)
    wire.request("GET", "/metrics")
    text = wire.getresponse().read().decode()
    wire.close()
    return int(sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("proxy_spool_rows")))


def test_a_full_spool_is_said_to_the_client(installation: Installation) -> None:
    with serving(installation, GATEWAY_SPOOL_CAP_BYTES="1") as (_, gateway):
        headers = {"authorization": f"Bearer {installation.key}", "content-type": "application/json"}
        body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "word"}]})
        statuses = set()
        for _ in range(5):
            wire = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT)
            wire.request("POST", "/v1/chat/completions", body, headers)
            reply = wire.getresponse()
            told = reply.read()
            statuses.add(reply.status)
            wire.close()
        assert 503 in statuses and b"full" in told
