"""Measures the gateway beside a bare forwarder and LiteLLM: `python -m tests.bench [--quick]`, or `make bench`.

How to read it. All servers share one core, with all their processes; the load generator and the upstream share
another, which is kept from sleeping. Bursts of some seconds go round the servers in turn, each when the one before has
stored its rows, so compare within one run, never between runs: only the ratios mean something on another machine. "requests/s" is the median of
the bursts, at 32 connections; the ratio is the median of the ratios of neighbouring bursts. On a busy machine go by the
CPU time per request: it moves less. "One connection" is what one caller waits; the gateway's p50 less the forwarder's
is what the gateway adds.
Streams are measured twice: as fast as they come, when events run together in the socket, and paced (an event every
few ms each), when each event is handled alone and its cost in CPU time tells. RSS is read after the load.
Translation and the tap are measured before all that, in this process: the best of some tries on one core.
A ratio is printed only if every reply was good and the gateway's stored rows equal the upstream's own count.

Exit code: 1 if an asserted goal is missed (not with --no-assert), 2 if something did not run.
"""

import argparse
import os
import platform
import signal
import sys
import sysconfig
from typing import NoReturn

from gateway_project import compiled
from tests.bench import decisions, dialects, gateway, lab, litellm, load, report
from tests.bench.measure import Series, interleave, ratio
from tests.bench.report import Goal
from tests.bench.upstream import USAGE

CONNECTIONS = 32
PACE_MS = 10
GATEWAYS = ("small", "programmed", "money", "large")
_BESIDE = ("small", "litellm")
LONGEST = 1200  # seconds; a run takes about six minutes, so this one hangs


def main() -> int:
    options = _options()
    if options.install_litellm:
        litellm.install()
        return 0
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _end)
        signal.alarm(LONGEST)
    skip = set(options.skip) | ({"large"} if "small" in options.skip else set())
    translation = [] if "dialects" in skip else [*dialects.measure(options.quick), *decisions.measure(options.quick)]
    try:
        with lab.running(skip) as room:
            met = _measure(room, options.quick, translation)
    except RuntimeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0 if met or options.no_assert else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the gateway on this machine.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter bursts: under a minute")
    parser.add_argument("--no-assert", action="store_true", help="exit code 0 even if a goal is missed")
    parser.add_argument("--install-litellm", action="store_true", help=f"install LiteLLM {litellm.VERSION}, then end")
    names = ["small", "programmed", "money", "large", "litellm", "dialects"]
    parser.add_argument("--skip", action="append", default=[], choices=names, help="leave a server or translation out")
    return parser.parse_args()


def _end(number: int, frame: object) -> NoReturn:
    raise RuntimeError(f"ended by signal {signal.Signals(number).name}")


def _measure(room: lab.Lab, quick: bool, translation: list[Goal]) -> bool:
    rounds, seconds = (3, 0.75) if quick else (7, 3.75)
    _print_setting(room, rounds, seconds)
    names = ["forwarder", *(name for name in GATEWAYS if name in room.servers)]

    alone = {"nginx": room.load("nginx")}
    many = interleave(alone, {}, CONNECTIONS, 1, seconds)
    many |= interleave({name: room.load(name) for name in names}, room.servers, CONNECTIONS, rounds, seconds)
    report.throughput(f"{CONNECTIONS} connections", many)
    beside = _measure_litellm(room, quick)

    pair = names[:2]
    one = interleave({name: room.load(name) for name in pair}, room.servers, 1, rounds, seconds)
    report.latency(one)
    streams = {name: room.load(name, stream=True) for name in pair}
    fast = interleave(streams, room.servers, CONNECTIONS, 2 if quick else 5, seconds)
    paced = _measure_paced(room, streams, quick)
    report.streams(fast, paced)
    if "small" not in room.servers:
        return report.goals(translation)
    if not _check_rows(room, [many, beside, one, fast, paced]):
        return False
    return report.goals([*_goals(room, many, beside, one), *translation])


def _measure_litellm(room: lab.Lab, quick: bool) -> dict[str, Series]:
    if "litellm" not in room.servers:
        return {}
    loads: dict[str, load.Load] = {name: room.load(name) for name in _BESIDE if name in room.servers}
    found = interleave(loads, room.servers, CONNECTIONS, 1 if quick else 3, 2)
    report.throughput("Beside LiteLLM", found)
    return found


def _measure_paced(room: lab.Lab, loads: dict[str, load.Load], quick: bool) -> dict[str, Series]:
    """Streams whose events come one by one; a stream then lasts some seconds, so the bursts are longer."""
    room.streams.pace(PACE_MS)
    long = {name: load.lasting(one, PACE_MS / 1000 * 110 + 0.5) for name, one in loads.items()}
    try:
        return interleave(long, room.servers, CONNECTIONS, 1 if quick else 2, 1 if quick else 3)
    finally:
        room.streams.pace(0)


def _print_setting(room: lab.Lab, rounds: int, seconds: float) -> None:
    pins = f"servers on core {room.server_core}, load and upstream on core {room.load_core}"
    if room.server_core == room.load_core:
        pins = "all on one core, or not pinned: the ratios are too low"
    busy = os.getloadavg()[0]
    print(f"Load by {load.generator()}, upstream {room.whole.title}; {pins}; load average {busy:.1f} at the start.")
    built = "with" if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "") else "without"
    path = "compiled" if compiled.active() else "not compiled"
    print(f"Python {platform.python_version()}, built {built} optimizations; the gateway's hot path is {path}.")
    print(f"{rounds} bursts of about {seconds:g} s each, in turn; prompt of {len(load.PROMPT)} bytes.")
    for name, reason in room.absent.items():
        print(f"{report.TITLES[name]}: {reason}.")


def _check_rows(room: lab.Lab, found: list[dict[str, Series]]) -> bool:
    """No ratio without this: every reply was good, and each call is one stored row with its tokens."""
    honest = not sum(series.errors for table in found for series in table.values())
    print("\nEvery reply was good." if honest else "\nSome replies were errors: no ratio is given.")
    for name in GATEWAYS:
        if name not in room.servers:
            continue
        count = room.upstream_count(name)
        rows = gateway.rows(room.data(name), count)
        tokens = (count * USAGE["prompt_tokens"], count * USAGE["completion_tokens"])
        exact = (rows.all, rows.good, rows.input_tokens, rows.output_tokens) == (count, count, *tokens)
        lines = gateway.log_lines(room.servers[name])
        honest = honest and exact and lines == count
        verdict = "equal" if exact and lines == count else "DIFFERENT: no ratio is given"
        print(
            f"{report.TITLES[name]}: upstream counted {count:,}; rows {rows.good:,} of {rows.all:,}, tokens "
            f"{rows.input_tokens:,} + {rows.output_tokens:,}, log lines {lines:,}: {verdict}."
        )
    return honest


def _goals(room: lab.Lab, many: dict[str, Series], beside: dict[str, Series], one: dict[str, Series]) -> list[Goal]:
    added = one["small"].p50_ms - one["forwarder"].p50_ms
    by_cpu = many["forwarder"].cpu_us / many["small"].cpu_us if many["small"].cpu_us else 0.0
    goals = [
        Goal("requests/s, gateway / forwarder", ratio(many["small"], many["forwarder"]), 0.6, True),
        Goal("  the same by CPU time per request", by_cpu, 0.6, True, asserted=False),
        Goal("p50 added at one connection", added, 0.3, False, " ms", asserted=False),
        Goal("RSS after load", room.servers["small"].rss_mb(), 150, False, " MB"),
    ]
    if "litellm" in beside:
        goals.insert(2, Goal("requests/s, gateway / LiteLLM", ratio(beside["small"], beside["litellm"]), 40, True))
    if "programmed" in many:
        by_cpu = many["small"].cpu_us / many["programmed"].cpu_us if many["programmed"].cpu_us else 0.0
        title = "requests/s, all of routing configured / one plain route"
        goals.append(Goal(title, ratio(many["programmed"], many["small"]), 0.9, True))
        goals.append(Goal("  the same by CPU time per request", by_cpu, 0.9, True, asserted=False))
    if "money" in many:
        goals += _goals_of_money(many)
    if "large" in many:
        goals.append(Goal("requests/s, large / small", ratio(many["large"], many["small"]), 0.9, True))
        goals.append(Goal("RSS of the large one after load", room.servers["large"].rss_mb(), 200, False, " MB"))
    return goals


def _goals_of_money(many: dict[str, Series]) -> list[Goal]:
    by_cpu = many["small"].cpu_us / many["money"].cpu_us if many["money"].cpu_us else 0.0
    p99 = many["money"].p99_ms / many["forwarder"].p99_ms if many["forwarder"].p99_ms else 0.0
    return [
        Goal("requests/s, limits and budgets / without", ratio(many["money"], many["small"]), 0.85, True),
        Goal("  the same by CPU time per request", by_cpu, 0.85, True, asserted=False),
        Goal("requests/s, limits and budgets / forwarder", ratio(many["money"], many["forwarder"]), 0.6, True),
        Goal("p99 with limits and budgets / forwarder", p99, 3, False, asserted=False),
    ]


if __name__ == "__main__":
    sys.exit(main())
