"""All that runs during the bench: started together, verified with one call each, stopped together."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import gateway, litellm, nginx
from tests.bench.load import KEY, MODEL, PROMPT, STREAM_MODEL, Load
from tests.bench.servers import Server, call, free_port, pinned
from tests.bench.upstream import CHUNKS, WHOLE

LATENCY = "/dev/cpu_dma_latency"
#: Ends by itself once whoever started it is gone.
IDLE = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
CALLERS = ["forwarder", "small", "programmed", "money", "large", "litellm"]


@dataclass
class Lab:
    """The running servers by name, and why others are absent."""

    folder: Path
    server_core: int
    load_core: int
    whole: nginx.WholeUpstream
    streams: nginx.Own
    servers: dict[str, Server] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def load(self, name: str, stream: bool = False) -> Load:
        port = self.servers[name].port if name in self.servers else self.whole.server.port
        size = gateway.LARGE if name == "large" else gateway.SMALL
        if name == "litellm":  # one key for all, and replies that take long under load
            return Load(port, self.load_core, size.keys, size.routes, stream, litellm.MASTER_KEY, drain=2)
        return Load(port, self.load_core, size.keys, size.routes, stream)

    def data(self, name: str) -> Path:
        return self.folder / f"data-{name}"

    def upstream_count(self, name: str) -> int:
        """How often the upstreams were called by that server."""
        count = self.streams.count(name)
        return count if self.whole is self.streams else count + self.whole.count(name)


@contextmanager
def running(skip: set[str]) -> Iterator[Lab]:
    """Start everything that is not in `skip`; whatever happens, what was started is stopped."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    with ExitStack() as stack:
        _keep_awake(cores[-1], stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        streams = nginx.Own(folder, cores[-1])
        stack.callback(streams.server.stop)
        streams.server.wait_ready("/count")
        whole: nginx.WholeUpstream = streams
        lab = Lab(folder, cores[0], cores[-1], whole, streams)
        if nginx.find():
            lab.whole = nginx.Nginx(folder, cores[-1], CALLERS)
            stack.callback(lab.whole.server.stop)
            lab.whole.server.wait_ready("/ready")
        else:
            lab.absent["nginx"] = "not installed (`apt install nginx-light`): the upstream is our own"
        _start(lab, skip, stack)
        yield lab


def _keep_awake(core: int, stack: ExitStack) -> None:
    """Keep the load's core from sleeping. In a virtual machine whoever sends pays for waking the receiver's core, as much as
    for all else of a request, and a slower server finds it asleep more often: that would be a measure of the machine.

    Linux lets idle cores look for work instead as long as somebody holds this file open and has asked for no latency; who
    may not do that has a process run where nobody else wants to, which spares less: it has to be interrupted."""
    with suppress(OSError):
        latency = os.open(LATENCY, os.O_WRONLY)
        stack.callback(os.close, latency)
        os.write(latency, struct.pack("i", 0))
        return
    if not hasattr(os, "SCHED_IDLE"):
        return
    with pinned(core):
        idle = subprocess.Popen([sys.executable, "-c", IDLE], stdin=subprocess.DEVNULL)
    stack.callback(idle.wait)
    stack.callback(idle.kill)


def _start(lab: Lab, skip: set[str], stack: ExitStack) -> None:
    """LiteLLM first: it takes longest, and the gateways' databases are made meanwhile."""
    ready = {"litellm": "/health/readiness", "forwarder": "/ready", "small": "/ready"}
    ready |= {"programmed": "/ready", "money": "/ready", "large": "/ready"}
    for name in ready:
        if name == "small":
            _prepare(lab, skip)
        if name in skip:
            lab.absent[name] = "skipped"
        elif name == "litellm" and not litellm.command():
            lab.absent[name] = "not installed (`python -m tests.bench --install-litellm`)"
        else:
            lab.servers[name] = _start_one(lab, name)
            stack.callback(lab.servers[name].stop)
    for name, server in lab.servers.items():
        server.wait_ready(ready[name], 120)
        verify(name, server, streams=name != "litellm")


def _prepare(lab: Lab, skip: set[str]) -> None:
    for name in ("small", *gateway.ADDED):
        if name not in skip:
            gateway.configure(name, lab.data(name), lab.whole.base_url(name), lab.streams.base_url(name))
    if "large" not in skip:
        gateway.enlarge(
            lab.data("small"), lab.data("large"), lab.whole.base_url("large"), lab.streams.base_url("large")
        )


def _start_one(lab: Lab, name: str) -> Server:
    if name == "forwarder":
        return _start_forwarder(lab)
    if name == "litellm":
        models = [MODEL.format(number) for number in range(gateway.SMALL.routes)]
        return litellm.start(lab.folder, lab.server_core, lab.whole.base_url(name), models)
    return gateway.start(name, lab.data(name), lab.server_core)


def _start_forwarder(lab: Lab) -> Server:
    port = free_port()
    path = "/chat/completions"
    urls = {
        "BENCH_WHOLE_URL": lab.whole.base_url("forwarder") + path,
        "BENCH_STREAM_URL": lab.streams.base_url("forwarder") + path,
    }
    command = [sys.executable, "-m", "uvicorn", "tests.bench.forwarder:app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--lifespan", "off", "--backlog", "1024"]
    log = lab.folder / "forwarder.log"
    return Server.start("forwarder", command, port, lab.server_core, log, {**os.environ, **urls})


def verify(name: str, server: Server, streams: bool) -> None:
    """One whole and one streamed reply must be what the upstream said, or the figures would mean nothing."""
    key = litellm.MASTER_KEY if name == "litellm" else KEY.format(0)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    asked = {"model": MODEL.format(0), "messages": [{"role": "user", "content": PROMPT}]}
    status, body = call(server.port, "/v1/chat/completions", json.dumps(asked).encode(), headers)
    told = json.loads(body)["choices"][0]["message"]["content"] if status == 200 else body.decode(errors="replace")
    if status != 200 or told != json.loads(WHOLE)["choices"][0]["message"]["content"]:
        raise RuntimeError(f"{name} answered {status}: {told[:500]}\n{server.tail()}")
    if not streams:
        return
    stream = json.dumps({**asked, "model": STREAM_MODEL.format(0), "stream": True}, separators=(",", ":"))
    status, body = call(server.port, "/v1/chat/completions", stream.encode(), headers)
    events = body.count(b'"choices":[{')
    if status != 200 or events != CHUNKS or not body.endswith(b"data: [DONE]\n\n"):
        raise RuntimeError(f"{name} streamed {status} with {events} chunks: {body[-300:]!r}\n{server.tail()}")
