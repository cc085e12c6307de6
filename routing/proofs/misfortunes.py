"""What can befall a ledger, one thing at a time, under load."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from routing.proofs.clients import Answer
from routing.proofs.scene import Scene, served
from routing.proofs.server import Server
from routing.proofs.torn import tear
from routing.proofs.waiting import until

if TYPE_CHECKING:
    from routing.proofs.ledger import Scale

DISK_BYTES = 64 * 2**20
ROOM = 60_000
"""Bytes that are left on a disk that is about to be full."""
SOME = 20
"""Answers of a kind before one believes in it."""
RDONLY, REMOUNT = 1, 32
UNAVAILABLE = "No request can be accounted for now"


@dataclass(frozen=True, slots=True)
class Told:
    """``lost`` are requests of which a torn record was all that there was."""

    text: str
    lost: set[str] = field(default_factory=set)


class Disk:
    """A small disk of memory over the spool; without one, neither fullness nor protection can be shown."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mount(self, flags: int = 0) -> None:
        """Raises OSError."""
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"size={DISK_BYTES},mode=0700".encode()
        if libc.mount(b"tmpfs", str(self.path).encode(), b"tmpfs", flags, options):
            raise OSError(ctypes.get_errno(), "mount")

    def unmount(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(str(self.path).encode(), 0):
            raise OSError(ctypes.get_errno(), "umount")

    @contextmanager
    def full(self) -> Iterator[None]:
        """Nearly: what comes now finds no room soon."""
        status = os.statvfs(self.path)
        ballast = self.path / ".ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, status.f_bavail * status.f_frsize - ROOM))
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nobody may have a file open there to be written."""
        self.mount(REMOUNT | RDONLY)
        try:
            yield
        finally:
            self.mount(REMOUNT)


@contextmanager
def disk(path: Path) -> Iterator[Disk | None]:
    path.mkdir(mode=0o700, exist_ok=True)
    made = Disk(path)
    try:
        made.mount()
    except OSError:
        yield None
        return
    try:
        yield made
    finally:
        made.unmount()


def refused(answer: Answer) -> bool:
    return answer.status == 503 and UNAVAILABLE in answer.message


def kills(scene: Scene, scale: Scale, disk: Disk | None, server: Server) -> Told:
    storm = scene.storm(scale.kills, {"worker": 0.8, "drain": 0.15, "tree": 0.05})
    return Told(", ".join(f"{count} × {what}" for what, count in sorted(storm.counts.items())))


def drain(scene: Scene, scale: Scale, disk: Disk | None, server: Server) -> Told:
    """Between what is in the spool and what is committed."""
    count = max(2, scale.kills // 10)
    storm = scene.storm(count, {"drain": 1.0})
    return Told(f"{storm.counts['drain']} × the drain alone was killed")


def torn(scene: Scene, scale: Scale, disk: Disk | None, server: Server) -> Told:
    with scene.load() as clients:
        scene.wait_for(clients, served, SOME, "requests are served")
        scene.tree.kill()
        found = tear(scene.tree.at.spool)
        scene.tree.start()
        scene.tree.wait_ready()
    until(lambda: scene.tree.log.count("a spool is damaged") >= found.torn, "the damage is reported")
    scene.verdict.expect(bool(found.torn), "nothing could be torn")
    return Told(f"the last record of {found.torn} spools was torn; {len(found.lost)} requests are lost", found.lost)


def readonly(scene: Scene, scale: Scale, disk: Disk | None, server: Server) -> Told:
    """Of a disk that is protected while the gateway starts: it begins to serve when that ends."""
    if disk is None:
        return Told("not shown: no disk can be mounted here")
    scene.tree.kill()
    with disk.read_only():
        scene.tree.start()
        scene.tree.wait_ready()
        with scene.load() as clients:
            scene.wait_for(clients, refused, SOME, "requests are refused while the disk is read-only")
        scene.verdict.none([each for each in clients.answers if served(each)], "answers without a ledger")
    with scene.load() as clients:
        scene.wait_for(clients, served, SOME, "requests are served when it can be written")
    return Told("refused while it was so, served afterwards")


def full(scene: Scene, scale: Scale, disk: Disk | None, server: Server) -> Told:
    if disk is None:
        return Told("not shown: no disk can be mounted here")
    with scene.load() as clients:
        scene.wait_for(clients, served, SOME, "requests are served")
        with disk.full():
            scene.wait_for(clients, refused, SOME, "requests are refused when the disk is full")
        scene.wait_for(clients, served, SOME, "requests are served when there is room")
    return Told(f"{sum(map(refused, clients.answers)):,} requests were refused, the others served")


def away(scene: Scene, scale: Scale, disk: Disk | None, server: Server) -> Told:
    if server.url and type(server) is Server:
        return Told("not shown: a server of others is not stopped (--own-postgres starts one)")
    with scene.load() as clients:
        scene.wait_for(clients, served, SOME, "requests are served")
        with server.away(scene.tree.at.directory) as how:
            before, end = len(clients.answers), time.monotonic() + scale.away_seconds
            until(lambda: time.monotonic() >= end, "the time is over", scale.away_seconds + 1)
            meanwhile = clients.answers[before:]
        scene.wait_for(clients, served, SOME, "requests are served")
    soft = [answer for answer in meanwhile if answer.question.label.startswith("soft/")]
    unserved = [answer for answer in soft if not served(answer)]
    scene.verdict.expect(bool(soft), "nothing was asked while the database was away")
    scene.verdict.none(unserved[:3], "requests without a budget were not served while the database was away")
    return Told(f"{how} for {scale.away_seconds:.0f} s; {len(soft):,} requests without a budget meanwhile")


Misfortune = Callable[[Scene, "Scale", Disk | None, Server], Told]
MISFORTUNES: Mapping[str, Misfortune] = {
    "kills": kills,
    "drain": drain,
    "torn": torn,
    "readonly": readonly,
    "full": full,
    "away": away,
}
