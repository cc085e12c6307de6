"""Whose segments are whose: a directory for each process that writes, with a lock that it holds as long as it lives.

``<root>/<owner>/lock``          locked by the owner: who can take it knows that the owner is dead
``<root>/<owner>/00000001.seg``  segments; one with a successor is sealed
``<root>/<owner>/born``          what the clocks said then
``<root>/<owner>/closed``        nothing is open in it, and nobody writes to it any more

The kernel frees a lock when its process ends, however it ends. The root is on a disk of this machine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tenants.spool_ages import be_born
from tenants.spool_segment import path_of, segments
from tenants.uuid7 import uuid7

LOCK, CLOSED = "lock", "closed"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_TRIES: Final = 100

_REASONS: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "the disk is full"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "the disk is read-only"),
    errno.ENOENT: "its directory is gone",
    **dict.fromkeys((errno.EEXIST, errno.ENOTEMPTY), "its directory exists already"),
    errno.EIO: "the disk fails",
}


class SpoolUnavailable(Exception):
    """No request may be dispatched, because it could not be accounted for. ``reason`` completes "The spool cannot be
    written: "; it is one of a few, fit for a metric and for a client."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The spool cannot be written: {reason}.")
        self.reason = reason


def unavailable(error: OSError) -> SpoolUnavailable:
    return SpoolUnavailable(_REASONS.get(error.errno or 0) or os.strerror(error.errno or errno.EIO).lower())


@dataclass(slots=True, eq=False)
class Held:
    """An owner's directory and its lock, which this process holds: as that owner, or in a dead one's place. ``lock`` is
    -1 when it holds it no more."""

    root: Path
    owner: str
    lock: int

    @property
    def directory(self) -> Path:
        return self.root / self.owner

    def release(self) -> None:
        """Harmless twice, and in a child of the process that held it."""
        lock, self.lock = self.lock, -1
        if lock in _locks:
            _locks.remove(lock)
            os.close(lock)


_locks: set[int] = set()


def _after_fork() -> None:
    """The child of an owner does not own: it would keep the lock when the owner is dead."""
    for lock in _locks:
        with suppress(OSError):
            os.close(lock)
    _locks.clear()


os.register_at_fork(after_in_child=_after_fork)


def claim(root: Path, owner: str = "") -> Held:
    """A new directory of our own, by default under a name that nobody had before. Raises SpoolUnavailable."""
    owner = owner or f"{socket.gethostname()}.{os.getpid()}.{uuid7().hex}"
    if not _NAME.fullmatch(owner):
        raise ValueError(f"not the name of a directory: {owner!r}")
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_TRIES):
            lock = _claim(root, owner)
            if lock is not None:
                return Held(root, owner, lock)
    except OSError as error:
        raise unavailable(error) from error
    raise SpoolUnavailable("its directory is held by another process")


def _claim(root: Path, owner: str) -> int | None:
    """It gets its name when it is locked: nobody takes it for a dead owner's. None when ``tidy`` was quicker."""
    made = root / f".{owner}.{uuid7().hex}.new"
    made.mkdir(mode=0o700)
    try:
        lock = os.open(made / LOCK, os.O_RDONLY | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        be_born(made)
        made.rename(root / owner)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError | FileNotFoundError):
            return None
        _delete(made)
        raise
    _locks.add(lock)
    return lock


def hold(root: Path, owner: str) -> Held | None:
    """A dead owner's directory, None if its owner lives, if another process holds it already or if it is gone: of many
    that try only one succeeds. As long as it is held, the owner is dead beyond doubt. Raises SpoolUnavailable."""
    lock = _take(root / owner / LOCK, fcntl.LOCK_EX)
    return None if lock is None else Held(root, owner, lock)


def _take(path: Path, how: int) -> int | None:
    try:
        lock = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unavailable(error) from error
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.stat()):  # else it was removed before we got the lock
            _locks.add(lock)
            return lock
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        os.close(lock)
        raise unavailable(error) from error
    os.close(lock)
    return None


def owners(root: Path) -> list[str]:
    """All whose segments are there, dead or alive."""
    with suppress(FileNotFoundError):
        return sorted(path.name for path in root.iterdir() if path.name[0] != "." and (path / LOCK).exists())
    return []


def orphans(root: Path) -> list[str]:
    """Owners that died with requests open, as far as one knows without scanning: they want recovery. Those that nobody
    else is recovering now."""
    return [owner for owner in owners(root) if not (root / owner / CLOSED).exists() and dead(root, owner)]


def dead(root: Path, owner: str) -> bool:
    lock = _take(root / owner / LOCK, fcntl.LOCK_SH)  # shared: two that look do not hide it from each other
    if lock is None:
        return False
    Held(root, owner, lock).release()
    return True


def remove(held: Held) -> None:
    """Take a directory away, whole: what a crash leaves of it has a name that is nobody's."""
    gone = held.root / f".{held.owner}.{uuid7().hex}.gone"
    held.directory.rename(gone)
    _delete(gone)


def _delete(directory: Path) -> None:
    """Its lock goes last, for ``tidy`` to know what is left of it when this is broken off. Two may be at it."""
    for path in [*directory.iterdir()]:
        if path.name != LOCK:
            path.unlink(missing_ok=True)
    (directory / LOCK).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        directory.rmdir()


def tidy(root: Path) -> None:
    """Take away what crashes have left of directories that were being made or removed."""
    for path in root.glob(".*"):
        lock = _take(path / LOCK, fcntl.LOCK_EX)
        with suppress(OSError):
            if lock is None:
                path.rmdir()  # fails unless it is empty
            else:
                _delete(path)
        if lock is not None:
            Held(root, path.name, lock).release()


def size(root: Path) -> int:
    """Bytes of all segments of all owners."""
    total = 0
    for owner in owners(root):
        for number in segments(root / owner):
            with suppress(FileNotFoundError):
                total += path_of(root / owner, number).stat().st_size
    return total
