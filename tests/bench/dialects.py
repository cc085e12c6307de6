"""What translation and the passthrough's tap cost, in this process and on one core: no sockets, the best of some tries.

``python -m tests.bench.dialects`` prints every pair. A stream has 100 pieces of text; split events go in, bytes come out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from providers.chat import Chat
from providers.dialects import CLIENTS, UPSTREAMS
from providers.sse import Event, Parser, write
from routing.tap import Tap
from tests.bench.report import Goal
from tests.upstream_written import streamed

CHUNKS = 100
ROUNDS = 10
TRIES, QUICK_TRIES = 30, 10
#: Events a second on one core at least, µs that one event may add, µs that the tap may take for a chunk.
EVENTS_PER_SECOND, EVENT_US, TAP_US = 25_000, 15, 3
#: (upstream, client) whose figures are goals.
JUDGED = (
    ("openai_chat", "anthropic"),
    ("anthropic", "openai_chat"),
    ("ollama", "openai_chat"),
    ("bedrock", "openai_chat"),
    ("cohere", "openai_chat"),
)


@dataclass(frozen=True)
class Speed:
    """``events`` a second, read and written."""

    upstream: str
    client: str
    events: float

    @property
    def event_us(self) -> float:
        return 1e6 / self.events


def pieces(dialect: str) -> list[Event]:
    """A reply of ``CHUNKS`` pieces of text, as the parser splits what ``dialect`` streams."""
    texts = [f" word{number}" for number in range(CHUNKS)]
    return [
        Event(each.type, each.data, write(each.data, each.type), not each.data) for each in streamed(dialect, texts)
    ]


def _best(run: Callable[[], object], tries: int) -> float:
    """Seconds of CPU time that one ``run`` takes, in the quickest of ``tries``: the others were disturbed."""
    best = float("inf")
    for _ in range(tries):
        begun = time.process_time()
        for _ in range(ROUNDS):
            run()
        best = min(best, time.process_time() - begun)
    return best / ROUNDS


def speed(upstream: str, client: str, tries: int = TRIES) -> Speed:
    chat, chunks = Chat(client, "model", [], stream=True, stream_usage=True), pieces(upstream)

    def translate() -> None:
        reader, writer = UPSTREAMS[upstream].StreamReader(chat), CLIENTS[client].StreamWriter(chat)
        for chunk in chunks:
            for event in reader.feed(chunk):
                writer.feed(event)
        for event in reader.flush():
            writer.feed(event)
        writer.flush()

    return Speed(upstream, client, len(chunks) / _best(translate, tries))


def tap_us(dialect: str, tries: int = TRIES) -> tuple[float, float, float]:
    """µs a chunk: what the tap of a passed-through stream takes, how much of that is its JSON, and what splitting does
    before."""
    chunks = pieces(dialect)
    raw = [chunk.raw for chunk in chunks]

    def tap() -> None:
        reading = Tap(UPSTREAMS[dialect].API)
        for chunk in chunks:
            reading.feed((chunk,))

    def parse() -> None:
        parser = Parser()
        for chunk in raw:
            parser.feed(chunk)

    def load() -> None:
        for chunk in chunks:
            if chunk.data != b"[DONE]":
                orjson.loads(chunk.data)

    tapped, loaded, split = (1e6 * _best(run, tries) / len(chunks) for run in (tap, load, parse))
    return tapped, loaded, split


def speeds(pairs: Iterable[tuple[str, str]], tries: int = TRIES) -> list[Speed]:
    """Measured and printed."""
    print(f"\n{f'Streams of {CHUNKS} pieces, translated':<46}{'events/s a core':>17}{'µs an event':>13}")
    found = []
    for upstream, client in pairs:
        found.append(speed(upstream, client, tries))
        print(f"  {f'{upstream} to a client of {client}':<44}{found[-1].events:>17,.0f}{found[-1].event_us:>13.2f}")
    return found


def measure(quick: bool) -> list[Goal]:
    """Print the figures that are judged; the slowest of them are the goals."""
    tries = QUICK_TRIES if quick else TRIES
    found = speeds(JUDGED, tries)
    taps = {dialect: tap_us(dialect, tries) for dialect in ("openai_chat", "anthropic")}
    print(f"\n{'Streams passed through':<46}{'µs a chunk, tap':>17}{'its JSON':>13}{'splitting':>13}")
    for dialect, (tapped, loaded, split) in taps.items():
        print(f"  {dialect:<44}{tapped:>17.2f}{loaded:>13.2f}{split:>13.2f}")
    slowest = min(found, key=lambda each: each.events)
    return [
        Goal("translated events/s a core, the slowest pair", slowest.events, EVENTS_PER_SECOND, True),
        Goal("  what one event of it adds", slowest.event_us, EVENT_US, False, " µs"),
        Goal("tap of a passed-through chunk", max(tapped for tapped, *_ in taps.values()), TAP_US, False, " µs"),
    ]


if __name__ == "__main__":
    speeds((upstream, client) for upstream in UPSTREAMS for client in CLIENTS if client != upstream)
    measure(quick=False)
