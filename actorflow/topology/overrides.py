"""Overrides: ``stages.count.replicas=4`` puts a value into a document before it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from actorflow.topology.document import TAG, Document, Source, compose
from actorflow.topology.report import Path, Report, did_you_mean

__all__ = ["override"]

_NAME = "--set"
"""How an override is called in a message, where a file has its name."""


def override(root: Node, source: Source, texts: Iterable[str], report: Report) -> Document:
    """The document with values put in.

    The nodes on the way to a value are copied, because an alias may share them with other places.

    Args:
        root: the composed file.
        source: the file.
        texts: each ``path.to.key=value``, the value in YAML; in a list, the key is the place.
        report: takes the mistakes.
    """
    grafts: dict[int, tuple[Node, Source]] = {}
    for rank, text in enumerate(texts, start=1):
        one = _Override(text, rank, grafts, report)
        root = one.put_into(root)
    return Document(root, source, grafts)


_MAX_KEYS = 50
"""A longer path leads nowhere."""


class _Override:
    """One override on its way into the document."""

    def __init__(
        self, text: str, rank: int, grafts: dict[int, tuple[Node, Source]], report: Report
    ) -> None:
        self._text = text
        self._grafts = grafts
        self._report = report
        self._way, self._equals, _ = text.partition("=")
        self._source = Source(_NAME, text, offset=len(self._way) + len(self._equals), rank=rank)
        self._plain = Source(_NAME, text, rank=rank)

    def put_into(self, root: Node) -> Node:
        """The root with the value in place; the root as it was after a mistake."""
        keys = self._way.split(".")
        good = len(keys) <= _MAX_KEYS and all(re.fullmatch(r"[^\s.]+", key) for key in keys)
        if not self._equals or not good:
            self._bad(0, (), "must be KEY=VALUE, the key with its path: stages.NAME.replicas=4")
            return root
        value = compose(self._source, self._report)
        if value is None:
            return root
        self._graft(value, self._source)
        changed = self._changed(root, keys, 0, value)
        return root if changed is None else changed

    def _changed(self, node: Node, keys: list[str], depth: int, value: Node) -> Node | None:
        """A copy of a node with the value put in at the rest of the path; None after a mistake."""
        if depth == len(keys):
            return value
        key, path = keys[depth], tuple(keys[:depth])
        if isinstance(node, MappingNode):
            return self._changed_map(node, keys, depth, value)
        if isinstance(node, SequenceNode):
            if not key.isdecimal() or int(key) >= len(node.value):
                places = f"0 to {len(node.value) - 1}" if node.value else "none, it is empty"
                self._bad(depth, path, f"no item {key!r} in the list; its places: {places}")
                return None
            items = list(node.value)
            inner = self._changed(items[int(key)], keys, depth + 1, value)
            if inner is None:
                return None
            items[int(key)] = inner
            return self._copy(node, items)
        self._bad(depth, path, "is no map or list, so nothing can be set in it")
        return None

    def _changed_map(
        self, node: MappingNode, keys: list[str], depth: int, value: Node
    ) -> Node | None:
        key, path = keys[depth], tuple(keys[:depth])
        pairs = list(node.value)
        for place, (key_node, value_node) in enumerate(pairs):
            if isinstance(key_node, ScalarNode) and key_node.value == key:
                inner = self._changed(value_node, keys, depth + 1, value)
                if inner is None:
                    return None
                pairs[place] = (key_node, inner)
                return self._copy(node, pairs)
        if path == ("stages",):
            names = [name.value for name, _ in pairs if isinstance(name, ScalarNode)]
            self._bad(depth, path, f"unknown stage {key!r}{did_you_mean(key, names)}")
            return None
        mark = Mark(_NAME, 0, 0, self._column(keys, depth), None, 0)
        start = _merged(node, key, set())
        if start is None:
            start = MappingNode(TAG + "map", [], mark, mark)
            self._graft(start, self._plain)
        inner = self._changed(start, keys, depth + 1, value)
        if inner is None:
            return None
        added = ScalarNode(TAG + "str", key, mark, mark)
        self._graft(added, self._plain)
        return self._copy(node, [*pairs, (added, inner)])

    def _copy(self, node: MappingNode | SequenceNode, content: list[Any]) -> Node:
        kind = type(node)
        copy = kind(node.tag, content, node.start_mark, node.end_mark, node.flow_style)
        known = self._grafts.get(id(node))
        if known is not None:
            self._graft(copy, known[1])
        return copy

    def _column(self, keys: list[str], depth: int) -> int:
        return sum(len(key) + 1 for key in keys[:depth])

    def _graft(self, node: Node, source: Source) -> None:
        self._grafts[id(node)] = (node, source)

    def _bad(self, depth: int, path: Path, message: str) -> None:
        column = self._column(self._way.split("."), depth)
        self._report.add_at(self._plain.place(0, column), path, message)


def _merged(node: MappingNode, key: str, seen: set[int]) -> Node | None:
    """The value that a map gets for a key from the maps merged into it."""
    # A map may, by mistake, be merged into itself.
    seen.add(id(node))
    for key_node, value_node in node.value:
        if key_node.tag != TAG + "merge":
            continue
        for each in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
            if not isinstance(each, MappingNode) or id(each) in seen:
                continue
            for inner_key, inner_value in each.value:
                if isinstance(inner_key, ScalarNode) and inner_key.value == key:
                    found: Node = inner_value
                    return found
            deeper = _merged(each, key, seen)
            if deeper is not None:
                return deeper
    return None
