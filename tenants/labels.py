"""What a charge is charged to, as a text: it is written into the spool with the request, and read by whoever drains that. No
Django here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

BETWEEN: Final = "\n"
"""Labels that are charged alike."""


class Label(NamedTuple):
    """What a charge is charged to: a lease of the process that makes it, and the window that this is of. The number is 0
    where nothing is leased."""

    number: int
    start: int
    counter: str
    subject: str


def write_label(label: Label) -> str:
    number, start, counter, subject = label
    return f"{number}/{start}/{counter}/{subject.replace('%', '%25').replace(BETWEEN, '%0A')}"


def read_label(text: str) -> Label:
    """Raises ValueError."""
    number, start, counter, subject = text.split("/", 3)
    return Label(int(number), int(start), counter, read_subject(subject))


def read_subject(text: str) -> str:
    """As ``write_label`` has written it."""
    return text.replace("%0A", BETWEEN).replace("%25", "%")


@lru_cache(4096)
def windows(texts: str) -> str:
    """The windows that labels are of, a line each: counter/subject/start. What is no label has none."""
    labels = [text.split("/", 2) for text in texts.split(BETWEEN)]  # the subject may have slashes
    return BETWEEN.join([f"{label[2]}/{label[1]}" for label in labels if len(label) > 2])


def apart(charges: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Each label and its amount. What is charged to several alike stands once, for all of them."""
    for texts, amount in charges:
        for text in texts.split(BETWEEN):
            yield text, amount
