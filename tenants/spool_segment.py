"""One file of a spool: how it comes to be, grows and is found."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

_NAME: Final = re.compile(r"(\d{8,})\.seg")


def segments(directory: Path) -> list[int]:
    """The numbers of the segments that are there, in order. Those below the last are sealed."""
    try:
        names = [path.name for path in directory.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def path_of(directory: Path, number: int) -> Path:
    return directory / f"{number:08d}.seg"


def following(directory: Path, number: int) -> int | None:
    """The first segment behind ``number`` that is there. A listing may show a new one and not the one before it, if both
    came while it was made: so what a listing leaves out is asked for. What is not there then has been unlinked."""
    if path_of(directory, number + 1).exists():
        return number + 1
    for found in segments(directory):
        if found > number:
            between = range(number + 1, found)
            return next((each for each in between if path_of(directory, each).exists()), found)
    return None


class Segment:
    """The file that a process appends to. It is there whole, with its beginning, or not at all; that it is there seals
    the one before. Every method raises OSError. ``broken`` says that its end is unknown: nothing more belongs there."""

    def __init__(self, directory: Path, number: int, start: bytes, limit: int, *, fsync: bool) -> None:
        self.directory, self.number, self.end, self.limit, self.fsync = directory, number, len(start), limit, fsync
        self.broken = False
        self._synced = len(start) if fsync else 0
        self._sync_lock = Lock()
        made = directory / f"{number:08d}.new"
        self._fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write_all(self._fd, start)
            if fsync:
                os.fdatasync(self._fd)
            made.rename(path_of(directory, number))
        except BaseException:
            os.close(self._fd)
            with suppress(OSError):
                made.unlink()
            raise

    def succeed(self, previous: Segment | None) -> None:
        """Take over from the sealed one, whose waiting threads learn whether what was open there is on the disk here."""
        try:
            if self.fsync:
                _sync_directory(self.directory)
        except OSError:
            self.broken = True
            if previous is not None:
                previous.broken = True
            raise
        finally:
            if previous is not None:
                previous.close()

    def write(self, data: bytes) -> None:
        """All of it or nothing."""
        done = os.write(self._fd, data)
        if done < len(data):
            self._write_rest(data, done)
        self.end += len(data)

    def _write_rest(self, data: bytes, done: int) -> None:
        self.broken = True
        before = os.fstat(self._fd).st_size - done
        try:
            _write_all(self._fd, data[done:])
        except OSError:
            os.ftruncate(self._fd, before)
            self.broken = False
            raise
        self.broken = False

    def sync(self, end: int) -> None:
        """Wait until the disk has all before ``end``. One wait serves all threads that came before it began. A segment
        that has been closed has a successor, which carries what was open here and was synced before."""
        with self._sync_lock:
            if self._synced >= end:
                return
            if self._fd < 0:
                if self.broken:
                    raise OSError(errno.EIO, "closed before it was synced")
                return
            reached = self.end
            try:
                os.fdatasync(self._fd)
            except OSError:
                self.broken = True  # the kernel has forgotten what it could not write
                raise
            self._synced = reached

    def close(self) -> None:
        with self._sync_lock:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)

    def abandon(self) -> None:
        """In a forked child, where the lock may be held by a thread that is not there."""
        self._sync_lock = Lock()
        self.close()


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
