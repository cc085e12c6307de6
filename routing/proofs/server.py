"""The database server of a proof: one that is there, or a PostgreSQL of its own that can be stopped and started."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from routing.proofs.tree import free_port

BINARIES = Path("/usr/lib/postgresql")
SECONDS = 60.0


class Server:
    """``url`` is where databases can be made; empty for SQLite."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def away(self, directory: Path) -> Iterator[str]:
        """The database is not to be had; says how. SQLite's file, in ``directory``, is locked."""
        if self.url:
            raise RuntimeError("a server of others is not stopped")
        with closing(sqlite3.connect(directory / "gateway.sqlite3", timeout=SECONDS, isolation_level=None)) as locking:
            locking.execute("BEGIN EXCLUSIVE")
            try:
                yield "SQLite was locked"
            finally:
                locking.execute("ROLLBACK")


class OwnPostgres(Server):
    def __init__(self, binaries: Path, directory: Path, port: int) -> None:
        super().__init__(f"postgres://postgres@127.0.0.1:{port}/postgres")
        self.binaries, self.directory, self.port = binaries, directory, port

    def make(self) -> None:
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres")
        self._run("initdb", "-D", str(self.directory / "db"), "-A", "trust", "-U", "postgres")
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.directory}"
        database, log = str(self.directory / "db"), str(self.directory / "log")
        self._run("pg_ctl", "-D", database, "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.directory / "db"), "-w", "-m", "immediate", "stop")

    @contextmanager
    def away(self, directory: Path) -> Iterator[str]:
        self.stop()
        try:
            yield "PostgreSQL was stopped"
        finally:
            self.start()

    def _run(self, program: str, *arguments: str) -> None:
        as_them = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        command = [*as_them, str(self.binaries / program), *arguments]
        # Its output goes nowhere: a server would keep a pipe open.
        nowhere: Sequence[int] = (subprocess.DEVNULL, subprocess.DEVNULL)
        subprocess.run(  # noqa: S603
            command, stdout=nowhere[0], stderr=nowhere[1], cwd="/", timeout=SECONDS, check=True
        )


def binaries() -> Path | None:
    """Those of the newest PostgreSQL that is installed."""
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def database_server(url: str, *, own: bool = False) -> Iterator[Server]:
    place = binaries() if own else None
    if own and place is None:
        raise RuntimeError("There is no PostgreSQL here.")
    if place is None:
        yield Server(url)
        return
    directory = Path(tempfile.mkdtemp(prefix="gateway_proof_pg_"))
    server = OwnPostgres(place, directory, free_port())
    try:
        server.make()
        yield server
    finally:
        try:
            server.stop()
        except subprocess.CalledProcessError:  # it has not started
            pass
        finally:
            shutil.rmtree(directory, ignore_errors=True)
