"""Whose turn it is, where children start and stop one by one: pure decisions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

from actorflow.protocol.identity import StageId
from actorflow.supervision.nodes import Leaf, Node
from actorflow.supervision.tree import Tree

__all__ = ["Turns"]


class Turns:
    """Children who are to start, or to stop, and who has the turn.

    Two children wait for each other when the innermost supervisor of both has its children one by
    one: the later one starts when the earlier one has started, and the earlier one stops when the
    later one is gone. Where a supervisor lets its children go together nobody waits, but for what
    is around that supervisor.

    Args:
        tree: the supervisors.
        backwards: whether the last is the first, as when they stop.

    Example:
        >>> from actorflow.stage.behaviour import Stage
        >>> from actorflow.stage.spec import StageSpec
        >>> from actorflow.supervision.specs import ChildSpec, Plan
        >>> a, b = StageId("a"), StageId("b")
        >>> children = [ChildSpec(stage=StageSpec(id=each, behaviour=Stage)) for each in (a, b)]
        >>> plan = Plan(name="example", children=children, order="one_by_one")
        >>> starts = Turns(Tree(plan, active=lambda stage: True))
        >>> starts.wait([a, b])
        >>> [str(stage) for stage in starts.next()]
        ['a/0']
        >>> starts.over(a)
        >>> [str(stage) for stage in starts.next()]
        ['b/0']
    """

    def __init__(self, tree: Tree, *, backwards: bool = False) -> None:
        self._tree = tree
        self._backwards = backwards
        self._waiting: dict[StageId, Leaf] = {}
        self._going: dict[StageId, Leaf] = {}
        # How many there are below each member of each supervisor, by their names.
        self._waiting_below: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._all_below: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def wait(self, stages: Iterable[StageId]) -> None:
        """These want to go; `next` says when.

        Args:
            stages: in the order in which they are to go.
        """
        for stage in stages:
            if stage in self._waiting:
                continue
            leaf = self._going.pop(stage, None)
            if leaf is None:
                leaf = self._tree.leaf(stage)
                self._count(self._all_below, leaf, 1)
            self._waiting[stage] = leaf
            self._count(self._waiting_below, leaf, 1)

    def waits(self, stage: StageId) -> bool:
        """Whether its turn has not come."""
        return stage in self._waiting

    def hold(self, stage: StageId) -> None:
        """Its turn is not to come before it waits anew; those behind it go on waiting for it."""
        if stage in self._waiting:
            self._go(stage)

    def over(self, stage: StageId) -> None:
        """It has done what it had its turn for, or will not: nobody waits for it any more."""
        self.hold(stage)
        leaf = self._going.pop(stage, None)
        if leaf is not None:
            self._count(self._all_below, leaf, -1)

    def next(self) -> list[StageId]:
        """Those whose turn has come, each of them once."""
        found: list[StageId] = []
        if self._waiting:
            self._visit(self._tree.root, found)
        for stage in found:
            self._go(stage)
        return found

    def _visit(self, node: Node, found: list[StageId]) -> None:
        for member in self._in_turn(node):
            if isinstance(member, Node):
                self._visit(member, found)
            elif member.stage in self._waiting:
                found.append(member.stage)

    def _in_turn(self, node: Node) -> list[Leaf | Node]:
        """The children of a supervisor below whom somebody may go."""
        if not node.one_by_one:
            return [node.members[name] for name in self._waiting_below[node.name]]
        names = reversed(node.members) if self._backwards else iter(node.members)
        first = next((name for name in names if name in self._all_below[node.name]), None)
        return [] if first is None else [node.members[first]]

    def _go(self, stage: StageId) -> None:
        leaf = self._waiting.pop(stage)
        self._going[stage] = leaf
        self._count(self._waiting_below, leaf, -1)

    def _count(self, below: defaultdict[str, Counter[str]], leaf: Leaf, change: int) -> None:
        path: list[Leaf | Node] = [leaf]
        node: Node | None = leaf.parent
        while node is not None:
            path.append(node)
            node = node.parent
        for member, parent in pairwise(path):
            counts = below[parent.name]
            counts[member.name] += change
            if not counts[member.name]:
                del counts[member.name]
