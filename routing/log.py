"""The JSON log line of each request, on stdout. Never a key, never a body.

Lines are written by a thread of their own: a reader of stdout that stalls must not stall requests.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Any, Final

import orjson

from tenants.ledger import Entry

EVERY: Final = 0.1
MAX_WAITING: Final = 200_000
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Log:
    """``level``: requests that went well are ``info``, failed ones ``warning``, the gateway's own faults ``error``."""

    def __init__(self, level: str = "info", out: IO[bytes] | None = None) -> None:
        self.level = LEVELS.get(level.lower(), 20)
        self.out = out or sys.stdout.buffer
        self.waiting: deque[Entry | dict[str, Any]] = deque(maxlen=MAX_WAITING)
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="log", daemon=True)
        self.thread.start()

    def request(self, entry: Entry) -> None:
        if self.level <= (30 if entry.error_kind else 20):
            self.waiting.append(entry)

    def fault(self, request_id: str, error: Exception) -> None:
        """A fault of ours: its type and place, not its text, which may hold what a client sent."""
        places = [
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-6:]
        ]
        self.waiting.append(
            {
                "timestamp": _stamp(time.time()),
                "level": "error",
                "request_id": request_id,
                "message": f"unexpected {type(error).__name__}",
                "at": places,
            }
        )

    def flush(self) -> None:
        lines = []
        while self.waiting:
            item = self.waiting.popleft()
            lines.append(
                orjson.dumps(_line(item) if isinstance(item, Entry) else item, option=orjson.OPT_APPEND_NEWLINE)
            )
        if lines:
            self.out.write(b"".join(lines))
            self.out.flush()

    def _run(self) -> None:
        while not self.stopped.wait(EVERY):
            try:
                self.flush()
            except (OSError, ValueError):
                return  # nobody reads any more

    def stop(self) -> None:
        self.stopped.set()
        if self.thread is not None:
            self.thread.join(2)
            if not self.thread.is_alive():
                with contextlib.suppress(OSError, ValueError):
                    self.flush()


def _stamp(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}+00:00"


@lru_cache(16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _line(entry: Entry) -> dict[str, Any]:
    failed = bool(entry.error_kind)
    return {
        "timestamp": _stamp(entry.created_at),
        "level": "warning" if failed else "info",
        "request_id": entry.request_id,
        "message": f"request failed: {entry.error_kind}" if failed else "request",
        "duration_ms": entry.duration_us / 1000,
        "status_code": entry.status,
        "format": entry.dialect,
        "endpoint": entry.endpoint,
        "model": entry.model[:255],
        "provider": entry.provider,
        "streaming": entry.stream,
        "tenant": entry.tenant,
        "key_prefix": entry.key_prefix,
        "upstream_model": entry.upstream_model[:255],
        "attempts": entry.attempts,
        "ttft_ms": None if entry.first_byte_us is None else entry.first_byte_us / 1000,
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "cost": entry.cost,
        "error_type": entry.error_kind or None,
        "client_ip": entry.client_ip,
    }
