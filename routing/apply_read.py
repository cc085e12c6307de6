"""Reads the YAML of ``manage.py apply`` with the line of everything, so that every later complaint can name one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

TAG = "tag:yaml.org,2002:"
TEXT = (
    TAG + "str",
    TAG + "timestamp",
    TAG + "value",
    TAG + "merge",
    "!",
)  # a date stays the text that it is: fields read it
CONSTRUCTORS: dict[str, Any] = {
    TAG + name: getattr(SafeConstructor, f"construct_yaml_{name}") for name in ("null", "bool", "int", "float")
}
MAX_DEPTH = 50
MAX_NODES = 5_000_000

# libyaml's loader is the same SafeLoader, ten times as fast; a platform without it has the slow one.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Refused(Exception):
    """The document cannot be applied; nothing was changed. ``problems`` are lines (from 1; 0: none) with what is wrong."""

    def __init__(self, *problems: tuple[int, str]) -> None:
        super().__init__("; ".join(text for _, text in problems))
        self.problems = problems


class Map(dict[str, Any]):
    """A mapping that knows its line, the line of each key, and the text of values that YAML takes for no text (``010``)."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}
        self.texts: dict[str, str] = {}

    def put(self, name: str, value: Any, line: int) -> None:
        self[name] = value
        self.lines[name] = line

    def line_of(self, name: str) -> int:
        return self.lines.get(name, self.line)

    def text(self, name: str) -> Any:
        """The value as it is written, where it is a number or a truth value in YAML's eyes only."""
        return self.texts.get(name, self.get(name))


def read(text: str) -> Map:
    """The document in ``text``, a mapping. Raises Refused."""
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad is not None:
        raise Refused((text.count("\n", 0, bad.start()) + 1, "a control character that YAML does not allow"))
    try:
        return _Reader(yaml.parse(text, Loader=LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Refused((mark.line + 1 if mark else 0, _words(error))) from None
    except yaml.YAMLError:
        raise Refused((0, "this is not YAML that can be read")) from None


def _words(error: yaml.MarkedYAMLError) -> str:
    """What the parser says, without the lines of the file that it would quote: they may hold secrets."""
    return " ".join(part for part in (error.context, error.problem) if part) or "not YAML"


class _Reader:
    """From the parser's events to values, in one pass: eight times as fast as a tree of nodes, and no C code recurses.

    Aliases share their value, but count in full, since whoever writes the values out expands them.
    """

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.count = 0
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.scalars = SafeConstructor()

    def document(self) -> Map:
        next(self.events)  # the stream's start
        if not isinstance(next(self.events), yaml.DocumentStartEvent):
            raise Refused((0, "the file is empty"))
        first = next(self.events)
        if not isinstance(first, yaml.MappingStartEvent):
            raise Refused((_line(first), "the file must be a mapping that starts with version: 1"))
        found = self.value(first, 0)
        next(self.events)  # the document's end
        more = next(self.events)
        if isinstance(more, yaml.DocumentStartEvent):
            raise Refused((_line(more), "a second document begins; one file holds one"))
        assert isinstance(found, Map)
        return found

    def value(self, event: Any, depth: int) -> Any:
        before = self.count
        self.count += 1
        if isinstance(event, yaml.AliasEvent):
            value = self.alias(event)
        elif depth > MAX_DEPTH:
            raise Refused((_line(event), "nested too deeply"))
        elif isinstance(event, yaml.MappingStartEvent):
            value = self.mapping(event, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = list(self.entries(depth))
        else:
            value = self.scalar(event)
        if self.count > MAX_NODES:
            raise Refused((_line(event), "the file, with its aliases (*name) expanded, is too large"))
        if event.anchor is not None and not isinstance(event, yaml.AliasEvent):
            self.anchors[event.anchor] = value, self.count - before
        return value

    def alias(self, event: Any) -> Any:
        if event.anchor not in self.anchors:
            raise Refused((_line(event), f"*{event.anchor} names nothing that ends before it"))
        value, size = self.anchors[event.anchor]
        self.count += size
        return value

    def entries(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            yield self.value(event, depth + 1)

    def scalar(self, event: Any) -> Any:
        tag = _tag(event)
        construct = CONSTRUCTORS.get(tag)
        if construct is None:
            if tag in TEXT:
                return event.value
            raise Refused((_line(event), f"the tag {tag.replace(TAG, '!!')} is not understood here"))
        try:
            value = construct(self.scalars, yaml.ScalarNode(tag, event.value))
        except (ValueError, KeyError):
            raise Refused((_line(event), "this value is not of the type that its tag says")) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise Refused((_line(event), "not a number that JSON knows"))
        return value

    def mapping(self, start: Any, depth: int) -> Map:
        found = Map(_line(start))
        merged = []
        while not isinstance(key := next(self.events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise Refused((_line(key), "a name must be text"))
            event = next(self.events)
            if key.value == "<<" and key.implicit[0]:
                merged.append((_line(event), self.value(event, depth + 1)))
                continue
            if key.value in found:
                raise Refused(
                    (_line(key), f"{key.value} stands here twice; the first is on line {found.lines[key.value]}")
                )
            found.put(key.value, self.value(event, depth + 1), _line(key))
            if isinstance(event, yaml.ScalarEvent) and not isinstance(found[key.value], str | None):
                found.texts[key.value] = event.value
        for line, value in merged:
            _merge(found, value, line)
        return found


def _merge(found: Map, value: Any, line: int) -> None:
    """``<<: *anchor`` or a list of such: what ``found`` has itself wins, then what stands first."""
    for other in value if isinstance(value, list) else [value]:
        if not isinstance(other, Map):
            raise Refused((line, "<< merges mappings only"))
        for name in other:
            if name not in found:
                found.put(name, other[name], other.lines[name])
                found.texts.update({name: other.texts[name]} if name in other.texts else {})


def _tag(event: Any) -> str:
    """The tag that a scalar has, or that YAML gives it by its looks."""
    if not event.implicit[0]:
        return str(event.tag or TAG + "str")
    for tag, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(event.value[:1], ()):
        if pattern.match(event.value):
            return str(tag)
    return TAG + "str"


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
