"""Bursts of load against several servers in turn, so that a drift of the machine hits all of them alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from tests.bench.load import Load, Sample, run
from tests.bench.servers import Server


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
    """One warm-up burst each, then `rounds` bursts each, forth and back: A B C, C B A, A B C …"""
    for load in loads.values():
        run(load, connections, 0.5)
    samples: dict[str, list[Sample]] = {name: [] for name in loads}
    cpu = dict.fromkeys(loads, 0.0)
    for turn in range(rounds):
        for name in list(loads)[:: -1 if turn % 2 else 1]:
            before = _cpu(servers.get(name))
            samples[name].append(run(loads[name], connections, seconds))
            cpu[name] += _cpu(servers.get(name)) - before
    return {name: Series(found, _each(cpu[name], found)) for name, found in samples.items()}


def _cpu(server: Server | None) -> float:
    return server.cpu_seconds() if server else 0.0


def _each(cpu: float, samples: list[Sample]) -> float:
    requests = sum(sample.requests for sample in samples)
    return cpu * 1e6 / requests if requests else 0.0
