"""One short burst of load against one server: by wrk where it is installed, else by `loadgen.py`.

A request is a template with two fixed-width numbers, the key's and the route's, so that load spreads over all
of them while every request has the same length. Both generators stop sending before they hang up.
"""

import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.servers import ROOT, pinned

PROMPT = "The quick brown fox jumps over the lazy dog, twice, then rests; please say how it felt all that day."
KEY = "gw-bench-{:08d}-not-a-secret-0123456789"
MODEL = "bench-{:05d}"
STREAM_MODEL = "bench-stream-{:05d}"
_KEY_SLOT, _MODEL_SLOT, _STREAM_SLOT = "gw-bench-%08d-not-a-secret-0123456789", "bench-%05d", "bench-stream-%05d"

assert len(PROMPT) == 100


@dataclass(frozen=True)
class Load:
    """Whom to call, over how many keys and routes. `drain` is how long the slowest reply may take."""

    port: int
    core: int
    keys: int
    routes: int
    stream: bool = False
    key: str = _KEY_SLOT
    drain: float = 0.25

    def template(self) -> bytes:
        model = _STREAM_SLOT if self.stream else _MODEL_SLOT
        body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "temperature": 0.5}
        if self.stream:
            body["stream"] = True
        text = json.dumps(body, separators=(",", ":"))
        lines = [
            "POST /v1/chat/completions HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "User-Agent: bench",
            "Accept: application/json",
            "Content-Type: application/json",
            f"Authorization: Bearer {self.key}",
            f"Content-Length: {len(text % 0)}",
        ]
        if "%" not in self.key:
            lines.append("X-Key: %08d")  # keeps the two slots in their order for a server with one key
        return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()


@dataclass(frozen=True)
class Sample:
    """What one burst showed. A burst with errors is never used for a ratio."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    errors: int


def lasting(load: Load, drain: float) -> Load:
    """The same load on a server whose replies take up to `drain` seconds."""
    return replace(load, drain=drain)


def generator() -> str:
    return "wrk" if shutil.which("wrk") else "own generator (wrk is not installed: `apt install wrk`)"


def run(load: Load, connections: int, seconds: float) -> Sample:
    """Send for about `seconds`, drain, and tell what came back. Takes at most a few seconds longer."""
    whole = math.ceil(seconds + load.drain)
    active = whole - load.drain
    with tempfile.NamedTemporaryFile(suffix=".http") as file:
        file.write(load.template())
        file.flush()
        # wrk takes whole seconds; a random start keeps short bursts from calling the same few keys again.
        numbers = [load.keys, load.routes, active, random.randrange(1_000_000)]
        arguments = [file.name, *map(str, numbers)]
        url = f"http://127.0.0.1:{load.port}"
        if shutil.which("wrk"):
            script = str(Path(__file__).with_name("load.lua"))
            head = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "30s", "-s", script, url, "--"]
        else:
            head = [sys.executable, "-m", "tests.bench.loadgen", str(load.port), str(connections), str(load.drain)]
        with pinned(load.core):
            done = subprocess.run(
                head + arguments, check=False, cwd=ROOT, capture_output=True, text=True, timeout=whole + 60
            )
    return _sample(done.stdout + done.stderr, connections, active)


def _sample(output: str, connections: int, active: float) -> Sample:
    for line in output.splitlines():
        if line.startswith("BENCH "):
            told = json.loads(line.removeprefix("BENCH "))
            # The last reply of each connection came after `active`, while nothing new was sent.
            rate = max(0, told["requests"] - connections) / active
            p50, p99 = told["p50_us"] / 1000, told["p99_us"] / 1000
            return Sample(told["requests"], rate, p50, p99, told["errors"])
    raise RuntimeError(f"the load generator told no result:\n{output[-2000:]}")
