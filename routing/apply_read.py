"""Reads the YAML of ``manage.py apply`` with the line of everything, so that every later complaint can name one."""

from __future__ import annotations

import math
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

TAG = "tag:yaml.org,2002:"
TEXT = (TAG + "str", TAG + "timestamp", TAG + "value")  # a date stays the text that it is; fields know what they want
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
        node = yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Refused((mark.line + 1 if mark else 0, _words(error))) from None
    except (yaml.YAMLError, RecursionError):
        raise Refused((0, "this is not YAML that can be read")) from None
    if node is None:
        raise Refused((0, "the file is empty"))
    if not isinstance(node, yaml.MappingNode):
        raise Refused((1, "the file must be a mapping that starts with version: 1"))
    return _Reader().mapping(node, 0)


def _words(error: yaml.MarkedYAMLError) -> str:
    """What the parser says, without the lines of the file that it would quote: they may hold secrets."""
    return " ".join(part for part in (error.context, error.problem) if part) or "not YAML"


class _Reader:
    """From nodes to values. Aliases are expanded, so depth and number are bounded."""

    def __init__(self) -> None:
        self.count = 0
        self.scalars = SafeConstructor()

    def value(self, node: yaml.Node, depth: int) -> Any:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            raise Refused((_line(node), "nested too deeply, or aliases (*name) that expand to too much"))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, depth + 1) for child in node.value]
        return node.value if node.tag in TEXT else self.scalar(node)

    def scalar(self, node: yaml.Node) -> Any:
        construct = {"null": "yaml_null", "bool": "yaml_bool", "int": "yaml_int", "float": "yaml_float"}.get(node.tag.removeprefix(TAG))
        if construct is None:
            raise Refused((_line(node), f"the tag {node.tag.replace(TAG, '!!')} is not understood here"))
        try:
            value = getattr(self.scalars, f"construct_{construct}")(node)
        except (ValueError, KeyError):
            raise Refused((_line(node), "this value is not of the type that its tag says")) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise Refused((_line(node), "not a number that JSON knows"))
        return value

    def mapping(self, node: yaml.MappingNode, depth: int) -> Map:
        found = Map(_line(node))
        merged = []
        for key, value in node.value:
            if key.tag == TAG + "merge":
                merged.append(value)
            elif not isinstance(key, yaml.ScalarNode):
                raise Refused((_line(key), "a name must be text"))
            elif key.value in found:
                raise Refused((_line(key), f"{key.value} stands here twice; the first is on line {found.lines[key.value]}"))
            else:
                found.put(key.value, self.value(value, depth + 1), _line(key))
                if isinstance(value, yaml.ScalarNode) and value.tag not in TEXT:
                    found.texts[key.value] = value.value
        for value in merged:
            self.merge(found, value, depth)
        return found

    def merge(self, found: Map, node: yaml.Node, depth: int) -> None:
        """``<<: *anchor`` or a list of such: what ``found`` has itself wins."""
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            other = self.value(part, depth + 1)
            if not isinstance(other, Map):
                raise Refused((_line(part), "<< merges mappings only"))
            for name in other.keys() - found.keys():
                found.put(name, other[name], other.lines[name])
                if name in other.texts:
                    found.texts[name] = other.texts[name]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
