"""Limits over many workers, checked by the times at which the gateway says that it has admitted what the upstream got."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from routing.proofs import served as logs
from routing.proofs.clients import Questions, ask
from routing.proofs.ending import ended
from routing.proofs.installation import Made, installation, upstream
from routing.proofs.plan import Node, Plan
from routing.proofs.tree import Tree, opened, serving
from routing.proofs.verdict import Verdict, share
from routing.proofs.waiting import until

MINUTE = 60.0
USABLE = 0.98
MOST_CONNECTIONS = 400
"""To be opened until enough of them have come to one worker."""

REQUESTS, TOKENS = 4, 1_000
"""For each second of load: few enough to be used up."""
LEAST_TOKENS, AT_ONCE, CAP = 12_000, 3, 256
REFUSALS = 5
"""Of a key before the load ends: then its limit has been reached."""


class Scale(NamedTuple):
    seconds: float = 60.0
    processes: int = 4
    threads: int = 32
    seed: int = 1


def plan_of(seconds: float) -> Plan:
    """Eight keys: those of ``one`` are asked on one worker alone, those of ``all`` on whichever comes."""
    requests = round(REQUESTS * seconds)
    limits: tuple[dict[str, int], ...] = (
        {"requests_per_minute": requests},
        {"tokens_per_minute": max(LEAST_TOKENS, round(TOKENS * seconds))},
        {"concurrent_requests": AT_ONCE},
        {"requests_per_minute": 2 * requests, "concurrent_requests": 2 * AT_ONCE},
    )
    nodes = [Node("one"), Node("all")]
    for tenant in ("one", "all"):
        nodes += [Node(f"{tenant}/-/k{number}", limits=each) for number, each in enumerate(limits, 1)]
    return Plan(tuple(nodes), CAP)


def prove(scale: Scale, verdict: Verdict, database: str = "", *, keep: bool = False) -> None:
    made_plan = plan_of(scale.seconds)
    with installation(database, keep=keep) as at, upstream(at, seed=scale.seed) as url:
        made = at.make(made_plan, url)
        with serving(at, scale.processes) as tree:
            load(scale, made_plan, made, tree, verdict)
            ended(tree, verdict, MINUTE + 120, sweep=scale.seconds >= MINUTE)
        compare(made_plan, logs.read(at.log), verdict)
        verdict.agrees(at)


class Crowd:
    """Threads that ask, half of them on connections to one worker."""

    def __init__(self, scale: Scale, plan: Plan, made: Made, tree: Tree) -> None:
        self.plan, self.made, self.tree = plan, made, tree
        self.seconds, self.began = scale.seconds, 0.0
        self.statuses: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self.pressed = [node.path for node in plan.nodes if node.limits and "concurrent_requests" not in node.limits]
        self._lock = threading.Lock()
        self._numbers = 0
        self.threads = [
            threading.Thread(target=self._ask_all, args=(connection, tenant, scale.seed + number))
            for number, (connection, tenant) in enumerate(self._connections(scale.threads))
        ]

    def run(self) -> None:
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()

    def _over(self) -> bool:
        """When the time is over and what is used up by and by was refused; at any rate after a while more."""
        passed = time.monotonic() - self.began
        return passed >= self.seconds and (
            passed >= 2 * self.seconds + MINUTE or all(self.refused[key] >= REFUSALS for key in self.pressed)
        )

    def _connections(self, count: int) -> list[tuple[http.client.HTTPConnection, str]]:
        chosen = _fixed(self.tree, count // 2)
        others = [_connected(self.tree.port) for _ in range(count - len(chosen))]
        return [(each, "one") for each in chosen] + [(each, "all") for each in others]

    def _ask_all(self, connection: http.client.HTTPConnection, tenant: str, seed: int) -> None:
        labels = {label: 1.0 for label in self.plan.keys if label.startswith(tenant)}
        for drawn in Questions(10**9, labels, self.plan.cap, seed):
            if self._over():
                break
            with self._lock:
                self._numbers += 1
                question = drawn._replace(number=self._numbers)
            answer = ask(connection, question, self.made.keys[question.label])
            with self._lock:
                self.statuses[answer.status] += 1
                self.refused[question.label] += answer.status == 429
            if answer.status == 429:
                time.sleep(0.02)  # clients that are refused wait, if only a little
        connection.close()


def load(scale: Scale, plan: Plan, made: Made, tree: Tree, verdict: Verdict) -> None:
    until(lambda: len(tree.workers()) >= scale.processes, "all workers run")
    crowd = Crowd(scale, plan, made, tree)
    crowd.run()
    told = ", ".join(f"{count:,} × {status}" for status, count in crowd.statuses.most_common())
    verdict.say(f"{scale.seconds:.0f} s, {len(crowd.threads)} connections, half of them to one worker: {told}")
    verdict.expect(not crowd.statuses[0], "answers were cut")


def _connected(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=MINUTE)
    connection.connect()
    return connection


def _fixed(tree: Tree, count: int) -> list[http.client.HTTPConnection]:
    """Connections to one and the same worker: the kernel gives each to whichever takes it, so many are opened."""
    found: dict[int, list[http.client.HTTPConnection]] = {}
    for _ in range(MOST_CONNECTIONS):
        connection = _connected(tree.port)
        port = int(connection.sock.getsockname()[1])
        worker = until(lambda port=port: _owner(tree, port), "a worker takes the connection")  # type: ignore[misc]
        found.setdefault(worker, []).append(connection)
        if len(found[worker]) >= count:
            break
    chosen = max(found.values(), key=len)
    for connections in found.values():
        for connection in connections if connections is not chosen else ():
            connection.close()
    return chosen


def _owner(tree: Tree, client: int) -> int:
    """The worker that holds the other end of a connection from the port ``client``; 0 as long as none does."""
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ends = [int(field.rpartition(":")[2], 16) for field in fields[1:3]]
        if ends == [tree.port, client]:
            inode = fields[9]
    return next((pid for pid in tree.workers() if f"socket:[{inode}]" in opened(pid)), 0)


def compare(plan: Plan, log: Sequence[logs.Served], verdict: Verdict) -> None:
    rows = []
    for node in plan.nodes:
        if node.limits:
            rows += [_row(node, field, limit, log, verdict) for field, limit in node.limits.items()]
    verdict.table(("key", "limit", "cap", "most", "most / cap", "usable"), rows)
    untold = sum(not each.admitted for each in log if "/k3" not in each.label)
    verdict.expect(not untold, f"{untold:,} requests do not tell when they were admitted")


def _row(node: Node, field: str, limit: int, log: Sequence[logs.Served], verdict: Verdict) -> tuple[str, ...]:
    mine = [each for each in log if each.label == node.path]
    verdict.expect(bool(mine), f"{node.path}: nothing was served")
    if field == "concurrent_requests":
        most = most_at_once(mine)
        usable = ""
    else:
        counted = [(each.admitted, each.tokens if field.startswith("tokens") else 1) for each in mine]
        most = most_in_window(counted, MINUTE)
        usable = share(first_window(counted, MINUTE), limit)
        alone = len(node.limits) == 1
        enough = first_window(counted, MINUTE) >= USABLE * limit
        if field == "requests_per_minute" and alone:
            verdict.expect(enough, f"{node.path}: only {usable} of its requests per minute were usable")
    verdict.expect(most <= limit, f"{node.path}: {most:,} of {limit:,} {field}")
    return node.path, field, f"{limit:,}", f"{most:,}", share(most, limit), usable


def most_in_window(counted: Iterable[tuple[float, int]], seconds: float) -> int:
    """The most that any ``seconds`` hold."""
    ordered = sorted(counted)
    most = used = first = 0
    for at, amount in ordered:
        used += amount
        while ordered[first][0] <= at - seconds:
            used -= ordered[first][1]
            first += 1
        most = max(most, used)
    return most


def first_window(counted: Sequence[tuple[float, int]], seconds: float) -> int:
    """What the first ``seconds`` have used."""
    begin = min((at for at, _ in counted), default=0.0)
    return sum(amount for at, amount in counted if at < begin + seconds)


def most_at_once(log: Iterable[logs.Served]) -> int:
    """By the upstream's own clock: from a request's arrival to its answer."""
    changes = sorted(
        (at, step) for each in log for at, step in ((each.arrived, 1), (each.answered, -1)) if each.answered
    )
    most = running = 0
    for _, step in changes:
        running += step
        most = max(most, running)
    return most
