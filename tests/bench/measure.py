"""Bursts of load against several servers in turn, so that a drift of the machine hits all of them alike."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from tests.bench.load import Load, Sample, run
from tests.bench.servers import Server

PATIENCE, PAUSE = 10.0, 0.3
#: Of a core: whoever takes less does nothing but look whether there is something to do.
BUSY = 0.1


@dataclass(frozen=True)
class Series:
    """The bursts against one server, and the processor time that it took for one request."""

    samples: list[Sample]
    cpu_us: float

    @property
    def rate(self) -> float:
        return median(sample.rate for sample in self.samples)

    @property
    def p50_ms(self) -> float:
        return median(sample.p50_ms for sample in self.samples)

    @property
    def p99_ms(self) -> float:
        return median(sample.p99_ms for sample in self.samples)

    @property
    def errors(self) -> int:
        return sum(sample.errors for sample in self.samples)


def ratio(one: Series, other: Series) -> float:
    """Median of the ratios of neighbouring bursts: steadier than the ratio of medians where the machine drifts."""
    return median(a.rate / b.rate for a, b in zip(one.samples, other.samples, strict=True) if b.rate)


def interleave(
    loads: Mapping[str, Load], servers: Mapping[str, Server], connections: int, rounds: int, seconds: float
) -> dict[str, Series]:
    """A warm-up each, then `rounds` bursts each, forth and back: A B C, C B A, A B C …"""
    for load in loads.values():
        _warm(load, connections)
    samples: dict[str, list[Sample]] = {name: [] for name in loads}
    cpu = dict.fromkeys(loads, 0.0)
    for turn in range(rounds):
        for name in list(loads)[:: -1 if turn % 2 else 1]:
            before = _cpu(servers.get(name))
            samples[name].append(run(loads[name], connections, seconds))
            cpu[name] += _rested(servers.get(name)) - before
    return {name: Series(found, _each(cpu[name], found)) for name, found in samples.items()}


def _warm(load: Load, connections: int) -> None:
    """Call every route about once, within bounds: a route's first request makes its metrics, which is no steady cost."""
    sent, bursts = run(load, connections, 0.5).requests, 1
    while connections > 1 and sent < load.routes and bursts < 5:
        sent += run(load, connections, 2).requests
        bursts += 1


def _cpu(server: Server | None) -> float:
    return server.cpu_seconds() if server else 0.0


def _rested(server: Server | None) -> float:
    """The same, once it has done what it had put off: rows are stored after the replies that they are of, and that must
    not slow down the next server."""
    spent, deadline = _cpu(server), time.monotonic() + PATIENCE
    while server is not None and time.monotonic() < deadline:
        time.sleep(PAUSE)
        before, spent = spent, _cpu(server)
        if spent - before < BUSY * PAUSE:
            break
    return spent


def _each(cpu: float, samples: list[Sample]) -> float:
    requests = sum(sample.requests for sample in samples)
    return cpu * 1e6 / requests if requests else 0.0
