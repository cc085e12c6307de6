"""One installation at work, on which one thing after another befalls; what the clients were told is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from routing.proofs.clients import Answer, Clients, Questions
from routing.proofs.installation import Made
from routing.proofs.plan import Plan
from routing.proofs.storm import Storm
from routing.proofs.tree import Tree
from routing.proofs.verdict import Verdict
from routing.proofs.waiting import until

ENDLESS = 1_000_000
BETWEEN = 5
"""Requests, at least, from one kill to the next."""
KILL_SECONDS = 60.0
"""At most, on a busy machine."""


class Scene:
    """``answers`` are all that clients were told so far."""

    def __init__(self, plan: Plan, made: Made, tree: Tree, verdict: Verdict, threads: int, seed: int) -> None:
        self.plan, self.made, self.tree, self.verdict = plan, made, tree, verdict
        self.threads, self.seed = threads, seed
        self.answers: list[Answer] = []
        self._asked = 0

    @contextmanager
    def load(self) -> Iterator[Clients]:
        """Clients at work, to the end of the block."""
        clients = Clients(self.tree.port, self.made.keys)
        weights = dict.fromkeys(self.plan.keys, 1.0)
        questions = Questions(ENDLESS, weights, self.plan.cap, self.seed + self._asked, self._asked + 1)
        clients.start(questions, self.threads)
        try:
            yield clients
        finally:
            questions.stop()
            clients.join()
            self._asked += questions.asked
            self.answers += clients.answers

    def storm(self, kills: int, what: dict[str, float]) -> Storm:
        """Load until ``kills`` processes were killed, and some requests between each."""
        with self.load() as clients:
            storm = Storm(
                self.tree, lambda: len(clients.answers) / (BETWEEN * kills), kills, self.seed + self._asked, what
            )
            storm.start()
            try:
                until(
                    lambda: storm.killed >= kills or storm.error is not None, "all kills are done", KILL_SECONDS * kills
                )
            finally:
                storm.join()
        return storm

    def wait_for(self, clients: Clients, condition: Callable[[Answer], bool], count: int, what: str) -> None:
        """Until ``count`` more answers are such."""
        start = len(clients.answers)
        until(lambda: sum(map(condition, clients.answers[start:])) >= count, what)


def served(answer: Answer) -> bool:
    return answer.status == 200
