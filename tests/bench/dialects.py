"""Translated streams of 100 chunks, every pair of dialects: events a second on one core, and what one event costs.

``python -m tests.bench.dialects``; the floor is 25,000 events a second and 15 µs an event.
"""

from __future__ import annotations

import time

from providers.chat import Chat
from providers.dialects import CLIENTS, UPSTREAMS
from providers.events import Event, Finished, Started, TextDelta, Used
from providers.usage import Usage
from tests.dialect_shapes import Sse, split

CHUNKS = 100
ROUNDS = 60
FLOOR = 25_000


def stream(dialect: str) -> list[Sse]:
    """A reply of ``CHUNKS`` pieces of text as ``dialect`` streams it."""
    events: list[Event] = [Started("id-1", "model", 1, dialect), *(TextDelta(f" word{n}") for n in range(CHUNKS))]
    events += [Finished("stop"), Used(Usage(10, CHUNKS))]
    writer = CLIENTS[dialect].StreamWriter(Chat(dialect, "model", [], stream_usage=True))
    return split(b"".join(writer.feed(event) for event in events) + writer.flush())


def speed(upstream: str, client: str) -> float:
    """The best of five: events read and written a second."""
    chat, chunks, best = Chat(client, "model", [], stream=True, stream_usage=True), stream(upstream), 0.0
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(ROUNDS):
            reader, writer = UPSTREAMS[upstream].StreamReader(chat), CLIENTS[client].StreamWriter(chat)
            for chunk in chunks:
                for event in reader.feed(chunk):
                    writer.feed(event)
            for event in reader.flush():
                writer.feed(event)
            writer.flush()
        best = max(best, ROUNDS * len(chunks) / (time.perf_counter() - begun))
    return best


def main() -> None:
    for upstream in CLIENTS:
        for client in CLIENTS:
            if client != upstream:
                found = speed(upstream, client)
                print(f"{upstream:17} -> {client:17} {found:10,.0f} events/s  {1e6 / found:5.2f} µs  floor {FLOOR:,}")


if __name__ == "__main__":
    main()
