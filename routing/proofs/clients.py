"""Clients in threads, each on a connection of its own, that ask and write down what they are told."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from routing.proofs.plan import MODEL

SECONDS = 120.0
"""For one answer: a worker may be stopped for a while."""
REFUSED_BY = re.compile(r"The budget '([^']+)' has not enough left")
SHORTEST = 16
"""Of the caps that are asked for."""


class Question(NamedTuple):
    """``cap`` is None where nothing is said of it."""

    number: int
    label: str
    cap: int | None
    stream: bool

    @property
    def id(self) -> str:
        return f"proof-{self.number}"

    def body(self) -> bytes:
        said = f"{self.label} question {self.number} " + "word " * (self.number % 60)
        doc: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": said}]}
        if self.cap is not None:
            doc["max_tokens" if self.number % 2 else "max_completion_tokens"] = self.cap
        if self.stream:
            doc["stream"] = True
        return json.dumps(doc).encode()


class Answer(NamedTuple):
    """``status`` is 0 where the answer did not come whole; ``refused_by`` names the budget that had not enough."""

    question: Question
    status: int
    refused_by: str = ""
    code: str = ""
    message: str = ""


class Questions:
    """At most ``count``, a third of them without a cap, half of them streamed; labels by their weights. For many threads.
    They are numbered from ``first`` on."""

    def __init__(self, count: int, weights: Mapping[str, float], most: int, seed: int, first: int = 1) -> None:
        self.count, self.most, self.first = count, most, first
        self.labels, self.weights = list(weights), list(weights.values())
        self.rng = random.Random(seed)
        self.asked = 0
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Question]:
        while True:
            with self._lock:
                if self.asked >= self.count:
                    return
                question = self._draw(self.first + self.asked)
                self.asked += 1
            yield question

    def _draw(self, number: int) -> Question:
        rng = self.rng
        (label,) = rng.choices(self.labels, self.weights)
        capped = rng.random() >= 1 / 3
        cap = max(SHORTEST, int(self.most ** rng.uniform(0.5, 1))) if capped else None
        return Question(number, label, cap, rng.random() < 0.5)

    def stop(self) -> None:
        with self._lock:
            self.count = min(self.count, self.asked)


class Clients:
    """``refused`` counts by budget. Whoever waits for something can read them while they run."""

    def __init__(self, port: int, keys: Mapping[str, str], patient: Callable[[], bool] = lambda: True) -> None:
        self.port, self.keys = port, keys
        self.answers: list[Answer] = []
        self.refused: Counter[str] = Counter()
        self._patient = patient
        self._threads: list[threading.Thread] = []

    def start(self, questions: Questions, threads: int) -> None:
        self._threads = [threading.Thread(target=self._ask_all, args=(questions,)) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _ask_all(self, questions: Questions) -> None:
        connection = self._connected()
        for question in questions:
            if connection is None:
                return
            answer = ask(connection, question, self.keys[question.label])
            self.answers.append(answer)
            if answer.refused_by:
                self.refused[answer.refused_by] += 1
            if not answer.status:
                connection.close()
                connection = self._connected()
        if connection is not None:
            connection.close()

    def _connected(self) -> http.client.HTTPConnection | None:
        """As soon as somebody listens; None if nobody waits for that any more."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and self._patient():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
            try:
                connection.connect()
                return connection
            except OSError:
                time.sleep(0.05)
        return None


def ask(connection: http.client.HTTPConnection, question: Question, key: str) -> Answer:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "x-request-id": question.id}
    try:
        connection.request("POST", "/v1/chat/completions", question.body(), headers)
        reply = connection.getresponse()
        body = reply.read()
    except (OSError, http.client.HTTPException):
        return Answer(question, 0)
    if reply.status == 200:
        whole = not question.stream or body.endswith(b"data: [DONE]\n\n")
        return Answer(question, 200 if whole else 0)
    return Answer(question, reply.status, *_error(body))


def _error(body: bytes) -> tuple[str, str, str]:
    try:
        error = json.loads(body)["error"]
        message = str(error.get("message", ""))
        found = REFUSED_BY.search(message)
        return found[1] if found else "", str(error.get("code") or error.get("type") or ""), message
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", "", body[:200].decode("latin-1")


def statuses(answers: Sequence[Answer]) -> str:
    """How often each came, in words."""
    counts = Counter(f"{answer.status} {answer.code}".strip() if answer.status else "cut" for answer in answers)
    return ", ".join(f"{count:,} × {what}" for what, count in counts.most_common())
