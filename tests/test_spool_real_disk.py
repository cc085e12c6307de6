"""A spool on a disk that is really full or read-only: the kernel says so, not a test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


FULL = """
import resource, sys
from pathlib import Path
import tenants.spool
from tenants.spool_owners import SpoolUnavailable
from tests.spool_entries import BOUNDS, Drained, numbered, opened

tenants.spool._RETRY = 0
root, limited = Path(sys.argv[1]), sys.argv[2] == "limit"
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
if limited:
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, most))
spool, drained, number, asked = opened(root, segment_bytes=100_000), Drained(), 0, 0
for number in range(1, 10_000):
    try:
        spool.intend(numbered(number), BOUNDS)
    except SpoolUnavailable as error:
        assert error.reason == "the disk is full", error.reason
        break
    if number % 3:
        spool.settle(numbered(number))
assert 50 < number < 9_999 and spool.refusing == "the disk is full", number
for each in range(1, number):
    if not each % 3:
        spool.settle(numbered(each))
assert spool.unsettled == 0
if limited:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
else:
    (root / "ballast").unlink()
assert spool.flush() and spool.refusing == ""
spool.intend(numbered(number), BOUNDS)
spool.settle(numbered(number))
spool.close()
drained.drain(root)
assert sorted(drained.order) == list(range(1, number + 1)), len(drained.order)
print("went on after", number)
"""


def small_disk(root: Path) -> list[str]:
    """How to run something with a small file system at ``root``; nothing where that is not allowed to us."""
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = f'mount -t tmpfs -o size=192k none {root} && head -c 64k /dev/zero > {root}/ballast && exec "$@"'
    prefix = [*mount, script, "sh"]
    usable = shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if usable and not usable.returncode else []


@pytest.mark.parametrize("kind", ["limit", "disk"])
def test_a_disk_that_is_really_full(kind: str, tmp_path: Path) -> None:
    prefix = small_disk(tmp_path) if kind == "disk" else []
    command = [*prefix, sys.executable, "-c", FULL, str(tmp_path), "disk" if prefix else "limit"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "went on" in done.stdout, done.stderr


READ_ONLY = """
import os, tempfile
from pathlib import Path
import tenants.spool
from tenants.spool import recover
from tenants.spool_owners import SpoolUnavailable, claim
from tests.spool_entries import BOUNDS, Drained, numbered, opened

tenants.spool._RETRY = 0
with tempfile.TemporaryDirectory() as name:
    root = Path(name)
    if not os.getuid():
        os.chown(root, 65534, 65534)
        os.seteuid(65534)  # nothing is read-only to root
    spool = opened(root)
    spool.intend(numbered(1), BOUNDS)
    spool.held.directory.chmod(0o500)
    root.chmod(0o500)
    number = 1
    try:
        while True:
            spool.intend(numbered(number + 1), BOUNDS)
            number += 1
    except SpoolUnavailable as error:
        assert error.reason == "the disk is read-only", error.reason
    try:
        claim(root)
    except SpoolUnavailable as error:
        assert error.reason == "the disk is read-only", error.reason
    spool.settle(numbered(1))
    root.chmod(0o700)
    spool.held.directory.chmod(0o700)
    assert spool.flush()
    for each in range(2, number + 1):
        spool.settle(numbered(each))
    spool.close()
    drained = Drained()
    drained.drain(root)
    assert drained.order == list(range(1, number + 1)) and not list(root.iterdir())
print("went on after", number)
"""


def test_a_directory_that_is_really_read_only() -> None:
    command = [sys.executable, "-c", READ_ONLY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "went on" in done.stdout, done.stderr
