"""The hot path as machine code, for who wants it. ``gateway_project.compiling`` makes it, and processes that are told to by
``GATEWAY_COMPILED=1`` use it.

The modules stay as they are and are all that anybody reads: mypyc compiles typed Python. What was compiled lies below
``build``, by the digest of what it was made of, so that after any change of a module, of Python or of the compiler the
source is used again, until it is compiled anew.

No module here has a class that others make subclasses of, nor one that needs weak references.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "compiled"
SWITCH = "GATEWAY_COMPILED"
ON = ("1", "true", "yes", "on")
COMPILER = "mypy 2.4.1"
MODULES = {
    "providers": "abilities billed hints jsonbytes native_connection native_engine rotation sse upstream urls usage",
    "routing": (
        "account admission allowance apis attempts background body bound_demand bound_fields bound_generate"
        " bound_parts bound_plain bound_splice bounds breaker call charging choosing client compaction completion conditions"
        " counting cutting decision edit embedding endpoint estimate facts foreign funds gateway headers"
        " held hooks incoming keep_alive lanes lineup length_endings limited log metrics objects outgoing"
        " own_headers queue quotes ranking refusals relay requests retries series settlement strategies table tap told traffic translated"
        " translation visit warden"
    ),
    "tenants": (
        "entry keys labels leases objects periods refills slices spool spool_owners spool_reader"
        " spool_records spool_segment spooled terms uuid7 wallet worst_case"
    ),
}


def names() -> list[str]:
    """Of all modules that are compiled."""
    return [f"{app}.{name}" for app, found in MODULES.items() for name in found.split()]


def source(name: str) -> Path:
    return ROOT / f"{name.replace('.', '/')}.py"


def directory() -> Path:
    """Where what is compiled of the modules as they are now would lie."""
    digest = hashlib.sha256(f"{COMPILER} {sysconfig.get_platform()} {sys.implementation.cache_tag}".encode())
    for name in names():
        digest.update(f"\n{name}\n".encode())
        digest.update(source(name).read_bytes())
    return PLACE / digest.hexdigest()[:32]


class Finder:
    """Finds the compiled modules below ``root`` before Python looks for their sources."""

    def __init__(self, root: Path) -> None:
        self.files = {
            str(path.relative_to(root)).removesuffix(suffix).replace(os.sep, "."): str(path)
            for suffix in EXTENSION_SUFFIXES[:1]
            for path in root.rglob(f"*{suffix}")
        }

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        file = self.files.get(name)
        if file is None:
            return None
        return importlib.util.spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))


def active() -> bool:
    return any(isinstance(finder, Finder) for finder in sys.meta_path)


def use() -> None:
    """Have this process import what is compiled, if it is there. Before it imports any of the modules."""
    if os.environ.get(SWITCH, "").lower() not in ON or not PLACE.is_dir() or active():
        return
    if (root := directory()).is_dir():
        sys.meta_path.insert(0, Finder(root))
