"""Budgets at three levels under load, while processes are killed and stopped: none is passed, and nearly all is usable."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import NamedTuple

from routing.proofs import served
from routing.proofs.books import Books
from routing.proofs.clients import Clients, Questions, statuses
from routing.proofs.ending import ended
from routing.proofs.installation import Made, installation, upstream
from routing.proofs.plan import RATES, Node, Plan
from routing.proofs.storm import Storm, calm
from routing.proofs.tree import Tree, serving
from routing.proofs.verdict import Verdict, dollars, share
from routing.proofs.waiting import until

LARGE = 50
"""Times the largest reservation: nearly all of such a budget is usable."""
USABLE = 0.97
MANY = 5_000
"""Requests from which on two tenants and long answers are worth while."""
ROUND, REFUSALS, SERVED, DRY = 200, 20, 4, 3
"""A budget counts as used up after ``DRY`` rounds in which so many at least were refused and so many at most were served."""
GIVE_BACK = 2.0
"""Seconds between them: in that time workers give back what they hold and others are short of, and the dead are settled."""
MOST_ROUNDS = 40


class Scale(NamedTuple):
    processes: int
    threads: int
    requests: int
    kills: int
    seed: int


def prove(scale: Scale, verdict: Verdict, database: str = "", *, keep: bool = False) -> None:
    plan = plan_of(scale.requests)
    with installation(database, keep=keep) as at, upstream(at, seed=scale.seed, cut=0.01) as url:
        made = at.make(plan, url)
        with serving(at, scale.processes) as tree:
            work(scale, plan, made, tree, verdict)
            books = ended(tree, verdict)
        compare(plan, made, served.read(at.log), books, verdict)
        verdict.agrees(at)


def plan_of(requests: int) -> Plan:
    """Budgets that about half of the requests use up, the inner ones first; and tiny ones."""
    tenants, cap = (2, 4_096) if requests >= MANY else (1, 256)
    plan = Plan((), cap)
    unit = requests * _mean_cost(cap) // (6 * tenants)
    nodes = []
    for name in [f"t{number + 1}" for number in range(tenants)]:
        nodes += [
            Node(name, 3 * unit),
            Node(f"{name}/p1", 2 * unit),
            Node(f"{name}/p1/first", unit),
            Node(f"{name}/p1/tiny", 3 * plan.largest),
            Node(f"{name}/p1/free"),
            Node(f"{name}/p2", 5 * plan.largest),
            Node(f"{name}/p2/free"),
            Node(f"{name}/-/free"),
        ]
    nodes += [
        Node("tiny", 4 * plan.largest),
        Node("tiny/p1", 3 * plan.largest),
        Node("tiny/p1/tiny", 2 * plan.largest),
    ]
    return plan_with(plan, nodes)


def plan_with(plan: Plan, nodes: list[Node]) -> Plan:
    return Plan(tuple(nodes), plan.cap, plan.rates)


def _mean_cost(cap: int) -> int:
    """Of one request, about: a third may write as much as the cap, the others less."""
    steps = [cap ** (0.5 + step / 40) for step in range(21)]
    capped = sum(each / math.log(each + 1) for each in steps) / len(steps)
    return int((cap / math.log(cap + 1) + 2 * capped) / 3 * RATES["output_tokens"] / 1_000_000)


def weights(plan: Plan) -> Mapping[str, float]:
    """Those that only an outer budget bounds ask less, so that the inner ones are used up before."""
    shares = {"p1/first": 1.0, "p1/free": 0.7, "-/free": 0.4}
    return {path: shares.get(path.partition("/")[2], 0.1) for path in plan.keys}


def work(scale: Scale, plan: Plan, made: Made, tree: Tree, verdict: Verdict) -> None:
    clients = Clients(tree.port, made.keys)
    questions = Questions(scale.requests, weights(plan), plan.cap, scale.seed)
    storm = Storm(tree, lambda: len(clients.answers) / scale.requests, scale.kills, scale.seed)
    clients.start(questions, scale.threads)
    storm.start()
    try:
        clients.join()
        until(lambda: storm.killed >= scale.kills or storm.error, "all kills are done")
    finally:
        questions.stop()
        storm.join()
    calm(tree)
    rounds = use_up(scale, plan, clients)
    befell = ", ".join(f"{count} × {what}" for what, count in sorted(storm.counts.items()))
    verdict.say(f"{len(clients.answers):,} requests ({rounds} rounds until refusals); {befell}")
    verdict.say(f"answers: {statuses(clients.answers)}")


def use_up(scale: Scale, plan: Plan, clients: Clients) -> int:
    """Ask until every large budget refuses, the inner ones first; how many rounds that took."""
    large = sorted((node for node in plan.budgets if node.budget >= LARGE * plan.largest), key=lambda node: -node.depth)
    rounds = 0
    for node in large:
        dry = 0
        while dry < DRY and rounds < MOST_ROUNDS:
            rounds += 1
            time.sleep(GIVE_BACK if dry else 0)
            before, asked = refusals(clients, node), len(clients.answers)
            questions = Questions(ROUND, {key_for(node, plan): 1.0}, plan.cap, scale.seed + rounds, asked)
            clients.start(questions, scale.threads)
            clients.join()
            served_now = sum(answer.status == 200 for answer in clients.answers[asked:])
            dry = dry + 1 if refusals(clients, node) >= before + REFUSALS and served_now <= SERVED else 0
    return rounds


def refusals(clients: Clients, node: Node) -> int:
    """By this budget or one around it: a refusal names one of those that have not enough."""
    names = node.path.split("/")
    return sum(clients.refused["/".join(names[: depth + 1])] for depth in range(len(names)))


def key_for(node: Node, plan: Plan) -> str:
    """The key that nothing bounds but this budget and those around it."""
    inside = {0: f"{node.path}/-/free", 1: f"{node.path}/free", 2: node.path}[node.depth]
    assert inside in plan.keys
    return inside


def compare(plan: Plan, made: Made, log: list[served.Served], books: Books, verdict: Verdict) -> None:
    rows = []
    for node in plan.budgets:
        window = books.windows.get(made.counters[node.path])
        charged = window.spent if window else 0
        truth = served.truth(log, plan.rates, node.path)
        large = node.budget >= LARGE * plan.largest
        verdict.expect(truth <= node.budget, f"{node.path}: {dollars(truth)} was billed of {dollars(node.budget)}")
        verdict.expect(charged <= node.budget, f"{node.path}: {dollars(charged)} was charged, more than its cap")
        verdict.expect(truth <= charged, f"{node.path}: {dollars(truth)} was billed, {dollars(charged)} was charged")
        verdict.expect(
            not large or charged >= USABLE * node.budget,
            f"{node.path}: only {share(charged, node.budget)} of it was usable",
        )
        if window is not None and window.granted:
            verdict.expect(False, f"{node.path}: {dollars(window.granted)} is still granted")
        size = f"{node.budget / plan.largest:.0f} ×"
        usable = share(charged, node.budget) + ("" if large else " (tiny)")
        rows.append((node.path, dollars(node.budget), size, dollars(truth), share(truth, node.budget), usable))
    verdict.table(("budget", "cap $", "reservations", "upstream's bill $", "bill / cap", "charged / cap"), rows)
    verdict.none([each for each in books.held if each.granted > each.settled], "leases are still held")
    interrupted = sum(row.interrupted for row in books.usage)
    verdict.say(f"{len(log):,} attempts served, {len(books.usage):,} rows, {interrupted:,} interrupted")
    verdict.none([row.id for row in books.usage if row.bound_exceeded], "rows cost more than their bound")
