"""A YAML text as plain data that remembers where each value stands.

PyYAML keeps positions on nodes and drops them when it makes data, accepts a key given twice, and
follows whatever a text makes it build. So the text is composed to nodes once, and turned into data
here: every mistake is reported and the rest is read on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import Reader
from yaml.resolver import Resolver

from actorflow.topology.report import Path, Place, Report, show
from actorflow.topology.rules import BAD
from actorflow.topology.substitution import substitute

__all__ = ["TAG", "Document", "Source", "compose"]

_MAX_DEPTH = 64
"""Deeper nesting is no topology, and would overflow the C stack of the YAML library."""

_MAX_VALUES = 100_000
"""More values than this, aliases counted each time, are a bomb and not a topology."""

TAG = "tag:yaml.org,2002:"
"""What the tags of YAML itself begin with."""

_MAX_BITS = 4096
"""A larger number is none that anybody means."""

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTRUCTOR: Any = SafeConstructor()
_RESOLVER: Any = Resolver()
_SCALARS: dict[str, Any] = {
    "str": _CONSTRUCTOR.construct_scalar,
    "value": _CONSTRUCTOR.construct_scalar,
    "merge": _CONSTRUCTOR.construct_scalar,
    "null": _CONSTRUCTOR.construct_yaml_null,
    "bool": _CONSTRUCTOR.construct_yaml_bool,
    "int": _CONSTRUCTOR.construct_yaml_int,
    "float": _CONSTRUCTOR.construct_yaml_float,
    "timestamp": _CONSTRUCTOR.construct_yaml_timestamp,
    "binary": _CONSTRUCTOR.construct_yaml_binary,
}


class Source:
    """A text that values come from: a file, or the text of an override.

    Args:
        name: as the user gave it.
        text: all of it.
        offset: where in the first line the YAML begins, when something else is before it.
        rank: which text comes first when problems are listed.
    """

    def __init__(self, name: str, text: str, *, offset: int = 0, rank: int = 0) -> None:
        self.name = name
        self.yaml = text[offset:]
        # An excerpt is shown on a terminal, which must not obey what is in it.
        self._lines = _LINE_BREAK.split(Reader.NON_PRINTABLE.sub("\ufffd", text))
        self._offset = offset
        self._rank = rank

    def place(self, line: int, column: int) -> Place:
        """The place at a 0-based line and column, as YAML's marks count."""
        if line == 0:
            column += self._offset
        # The end of a text without a line break at its end is marked on a line that is not there.
        if line >= len(self._lines):
            line = len(self._lines) - 1
            column = len(self._lines[line])
        excerpt = self._lines[line]
        return Place(
            file=self.name,
            line=line + 1,
            column=column + 1,
            excerpt=excerpt,
            rank=self._rank,
        )

    def of(self, part: Node | yaml.Event) -> Place:
        """Where a node or an event of this text begins."""
        mark = part.start_mark
        return self.place(mark.line, mark.column) if mark else self.place(0, 0)

    def at(self, index: int) -> Place:
        """The place of a character of the YAML."""
        before = _LINE_BREAK.split(self.yaml[:index])
        return self.place(len(before) - 1, len(before[-1]))


def compose(source: Source, report: Report) -> Node | None:
    """The nodes of a text, a null for an empty one; None when it cannot be read: it is reported."""
    bad = Reader.NON_PRINTABLE.search(source.yaml)
    if bad:
        place = source.at(bad.start())
        report.add_at(place, (), f"not YAML: the character {bad.group()!r} is not allowed in it")
        return None
    try:
        depth = 0
        # Composing is recursive, in C too, where it would end the process; parsing is not.
        for event in yaml.parse(source.yaml, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    message = f"nested deeper than {_MAX_DEPTH} levels"
                    report.add_at(source.of(event), (), message)
                    return None
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        node: Node | None = yaml.compose(source.yaml, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, source, report)
        return None
    except yaml.YAMLError as error:
        report.add_at(source.place(0, 0), (), f"not YAML: {error}")
        return None
    return node or ScalarNode(TAG + "null", "")


def _report_syntax(error: yaml.MarkedYAMLError, source: Source, report: Report) -> None:
    mark = error.problem_mark or error.context_mark
    place = source.place(mark.line, mark.column) if mark else source.place(0, 0)
    message = f"not YAML: {error.problem}"
    if error.context:
        message += f", {error.context}"
        if error.context_mark and error.context_mark.line + 1 != place.line:
            message += f" at line {error.context_mark.line + 1}"
    if "another document" in message:
        message = "a second document; a topology is one, without --- between its parts"
    elif place.excerpt[place.column - 1 : place.column] == "\t":
        message += "; YAML is indented with spaces, and this is a tab"
    elif "${" in place.excerpt and re.search(r"[{\[,]\s*[^'\"]*\$\{", place.excerpt):
        message += "; inside { } and [ ], put ${NAME} in quotes"
    report.add_at(place, (), message)


class _Entry:
    """A key and its value in a map, with the texts that they come from."""

    __slots__ = ("key", "key_source", "value", "value_source")

    def __init__(self, key: Node, key_source: Source, value: Node, value_source: Source) -> None:
        self.key = key
        self.key_source = key_source
        self.value = value
        self.value_source = value_source


class Document:
    """Composed nodes as data, and the way back from a path to a place.

    Args:
        root: the topmost node.
        source: the text that it comes from.
        grafts: for nodes that come from another text, that text, by the node's identity; the node
            is kept beside it, for an identity is only good as long as its object lives.
    """

    def __init__(
        self, root: Node, source: Source, grafts: Mapping[int, tuple[Node, Source]]
    ) -> None:
        self._root = root
        self._source = source
        self._grafts = grafts
        self._entries: dict[int, dict[Any, _Entry]] = {}

    def locate(self, path: Path, *, key: bool = False) -> tuple[Path, Place]:
        """The longest part of a path that is in the text, and its place."""
        node, source = self._root, self._origin(self._root, self._source)
        place = source.of(node)
        for depth, part in enumerate(path):
            if isinstance(node, MappingNode):
                entry = self._entries.get(id(node), {}).get(part)
                if entry is None:
                    return path[:depth], place
                node, source = entry.value, entry.value_source
                last = depth + 1 == len(path)
                place = entry.key_source.of(entry.key) if key and last else source.of(node)
                # A mistake of a whole map is shown at its name, not at its first key; and so is
                # one of a value that is not even written.
                block = isinstance(node, MappingNode) and not node.flow_style
                if block or (isinstance(node, ScalarNode) and not node.value and not node.style):
                    place = entry.key_source.of(entry.key)
            elif isinstance(node, SequenceNode) and part in range(len(node.value)):
                node = node.value[part]
                source = self._origin(node, source)
                place = source.of(node)
            else:
                return path[:depth], place
        return path, place

    def to_data(self, environment: Mapping[str, str], report: Report) -> Any:
        """The values, with the environment's filled in; what cannot be read is `BAD`."""
        converter = _Converter(self._grafts, self._entries, environment, report)
        return converter.convert(self._root, self._source, ()).data

    def _origin(self, node: Node, inherited: Source) -> Source:
        graft = self._grafts.get(id(node))
        return graft[1] if graft else inherited


class _Converted:
    """A node's data, and how much it is with its aliases written out."""

    __slots__ = ("data", "depth", "size")

    def __init__(self, data: Any, size: int = 1, depth: int = 1) -> None:
        self.data = data
        self.size = size
        self.depth = depth


class _Converter:
    """Turns nodes into data, each node once however many aliases it has."""

    def __init__(
        self,
        grafts: Mapping[int, tuple[Node, Source]],
        entries: dict[int, dict[Any, _Entry]],
        environment: Mapping[str, str],
        report: Report,
    ) -> None:
        self._grafts = grafts
        self._entries = entries
        self._environment = environment
        self._report = report
        self._done: dict[int, _Converted] = {}
        self._open: set[int] = set()

    def convert(self, node: Node, source: Source, path: Path) -> _Converted:
        graft = self._grafts.get(id(node))
        source = graft[1] if graft else source
        known = self._done.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            return self._bad(node, source, path, "an alias to a value that contains it")
        self._open.add(id(node))
        done = self._convert(node, source, path)
        self._open.discard(id(node))
        if done.size > _MAX_VALUES or done.depth > 2 * _MAX_DEPTH:
            done = self._bad(node, source, path, "too many values once its aliases are written out")
        self._done[id(node)] = done
        return done

    def _convert(self, node: Node, source: Source, path: Path) -> _Converted:
        kind = node.tag.removeprefix(TAG)
        if isinstance(node, MappingNode) and kind == "map":
            return self._map(node, source, path)
        if isinstance(node, SequenceNode) and kind == "seq":
            parts = [
                self.convert(each, source, (*path, place)) for place, each in enumerate(node.value)
            ]
            return _collected([part.data for part in parts], parts)
        if isinstance(node, ScalarNode) and kind in _SCALARS:
            return _Converted(self._scalar(node, source, path))
        tag = "!!" + kind if node.tag.startswith(TAG) else node.tag
        accepted = "maps, lists, text, numbers, true, false and null"
        return self._bad(node, source, path, f"unknown tag {tag}; a topology has {accepted}")

    def _map(self, node: MappingNode, source: Source, path: Path) -> _Converted:
        entries: dict[Any, _Entry] = {}
        merges: list[tuple[Node, Node]] = []
        for key_node, value_node in node.value:
            if key_node.tag == TAG + "merge":
                merges.append((key_node, value_node))
                continue
            graft = self._grafts.get(id(key_node))
            key_source = graft[1] if graft else source
            key = self._key(key_node, key_source, path)
            if key is BAD:
                continue
            if key in entries:
                self._twice(key, key_node, key_source, entries[key], path)
                continue
            graft = self._grafts.get(id(value_node))
            entries[key] = _Entry(key_node, key_source, value_node, graft[1] if graft else source)
        # An explicit key goes before a merged one, and an earlier merge before a later one.
        for key_node, value_node in merges:
            for merged in self._merged(key_node, value_node, source, path):
                for key, entry in merged.items():
                    entries.setdefault(key, entry)
        self._entries[id(node)] = entries
        parts = {
            key: self.convert(entry.value, entry.value_source, (*path, key))
            for key, entry in entries.items()
        }
        return _collected({key: part.data for key, part in parts.items()}, list(parts.values()))

    def _merged(
        self, key_node: Node, value_node: Node, source: Source, path: Path
    ) -> Iterator[dict[Any, _Entry]]:
        several = isinstance(value_node, SequenceNode) and value_node.tag == TAG + "seq"
        for node in value_node.value if several else [value_node]:
            self.convert(node, source, path)
            if id(node) in self._entries:
                yield self._entries[id(node)]
            elif not isinstance(node, MappingNode):
                place = source.of(node)
                self._report.add_at(place, path, "<< takes a map, or a list of maps")

    def _key(self, node: Node, source: Source, path: Path) -> Any:
        if not isinstance(node, ScalarNode):
            message = "a key must be text, and this is a list or a map"
            return self._bad(node, source, path, message).data
        kind = node.tag.removeprefix(TAG)
        if kind not in _SCALARS:
            return self._bad(node, source, path, f"unknown tag {node.tag} on a key").data
        return self._construct(node, kind, source, path)

    def _twice(self, key: Any, node: Node, source: Source, first: _Entry, path: Path) -> None:
        line = first.key_source.of(first.key).line
        stages = path == ("stages",)
        what = f"two stages are named {show(key)}" if stages else f"{show(key)} is given twice"
        self._report.add_at(source.of(node), (*path, key), f"{what}; the first is at line {line}")

    def _scalar(self, node: ScalarNode, source: Source, path: Path) -> Any:
        kind = node.tag.removeprefix(TAG)
        if kind != "str" or "$" not in node.value:
            return self._construct(node, kind, source, path)
        result = substitute(node.value, self._environment)
        if result.mistakes:
            written = source.yaml[node.start_mark.index : node.end_mark.index]
            for mistake in result.mistakes:
                # In double quotes with escapes the written form may differ from the value.
                found = written.find(mistake.written)
                place = source.of(node)
                if found >= 0:
                    place = source.at(node.start_mark.index + found)
                self._report.add_at(place, path, mistake.message)
            return BAD
        # As everywhere in YAML: without quotes it is read as what it looks like.
        if result.whole and not node.style:
            return self._construct(_retyped(node, result.text), "", source, path)
        return result.text

    def _construct(self, node: ScalarNode, kind: str, source: Source, path: Path) -> Any:
        kind = kind or node.tag.removeprefix(TAG)
        try:
            value = _SCALARS[kind](node)
        # What PyYAML's constructors raise on text that does not have the form of its tag.
        except (ValueError, LookupError, AttributeError, ArithmeticError, yaml.YAMLError):
            message = f"cannot be read as {kind}: {show(node.value)}"
            return self._bad(node, source, path, message).data
        # Python refuses to print larger ones, so they could not even be put into a message.
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            return self._bad(node, source, path, f"has more than {_MAX_BITS} bits").data
        return value

    def _bad(self, node: Node, source: Source, path: Path, message: str) -> _Converted:
        self._report.add_at(source.of(node), path, message)
        return _Converted(BAD)


def _collected(data: Any, parts: list[_Converted]) -> _Converted:
    size = 1 + sum(part.size for part in parts)
    return _Converted(data, size, 1 + max((part.depth for part in parts), default=0))


def _retyped(node: ScalarNode, text: str) -> ScalarNode:
    tag = _RESOLVER.resolve(ScalarNode, text, (True, False))
    return ScalarNode(tag, text, node.start_mark, node.end_mark)
