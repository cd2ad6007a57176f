"""What the tree of supervisors is made of: stages, and supervisors with rules and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.supervision.specs import (
    Backoff,
    ChildSpec,
    DynamicSupervisorSpec,
    SupervisorSpec,
    shutdown_seconds,
)
from actorflow.supervision.strategy import RestartLog

__all__ = ["Leaf", "Node", "Standing"]


@dataclass(slots=True)
class FailuresInARow:
    """Failures in a row of a child that has a back-off."""

    failures: int = 0
    up_since: float = 0.0

    def next_pause(self, backoff: Backoff, now: float, who: str) -> float | None:
        """Seconds until the next restart; None when there were too many in a row."""
        if now - self.up_since >= backoff.max:
            self.failures = 0
        self.failures += 1
        if backoff.attempts is not None and self.failures > backoff.attempts:
            self.failures = 0
            return None
        pause = backoff.pause(self.failures, who)
        self.up_since = now + pause
        return pause


@dataclass(slots=True, eq=False)
class Leaf:
    """A child that is a stage's process."""

    stage: StageId
    spec: ChildSpec
    parent: Node
    row: FailuresInARow = field(default_factory=FailuresInARow)

    @property
    def name(self) -> str:
        """The stage's id."""
        return str(self.stage)

    @property
    def leaves(self) -> Iterator[Leaf]:
        """It alone."""
        yield self

    @property
    def stops_within(self) -> float:
        """Seconds that it may take to stop."""
        return shutdown_seconds(self.spec.shutdown)


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription of every child of a dynamic supervisor, also of those to come."""

    producer: str
    options: SubscriptionOptions


@dataclass(slots=True, eq=False)
class Node:
    """A supervisor: its rules, its children in start order, and its restarts of late."""

    spec: SupervisorSpec
    parent: Node | None
    members: dict[str, Leaf | Node] = field(default_factory=dict)
    log: RestartLog = field(init=False)
    row: FailuresInARow = field(default_factory=FailuresInARow)
    ended: bool = False
    restarts: int = 0
    subscriptions: list[Standing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = RestartLog(self.spec.intensity)

    @property
    def name(self) -> str:
        """Its name; nothing for the run's own."""
        return self.spec.name

    @property
    def leaves(self) -> Iterator[Leaf]:
        """Every stage below it, in start order."""
        for member in self.members.values():
            yield from member.leaves

    @property
    def nodes(self) -> Iterator[Node]:
        """It and every supervisor below it, in start order."""
        yield self
        for member in self.members.values():
            if isinstance(member, Node):
                yield from member.nodes

    @property
    def one_by_one(self) -> bool:
        """Whether its children wait for each other when they start and stop."""
        return self.spec.order == "one_by_one"

    @property
    def stops_within(self) -> float:
        """Seconds that all of its children may take to stop."""
        each = [member.stops_within for member in self.members.values()]
        return sum(each) if self.one_by_one else max(each, default=0.0)

    @property
    def dynamic(self) -> DynamicSupervisorSpec | None:
        """What it is told as a dynamic supervisor; None for any other."""
        return self.spec if isinstance(self.spec, DynamicSupervisorSpec) else None

    @property
    def shards(self) -> list[Node]:
        """Its shards, itself when it has one only."""
        return [each for each in self.members.values() if isinstance(each, Node)] or [self]

    @property
    def gone(self) -> bool:
        """Whether it has ended for good, or one that it is in has."""
        return self.ended or (self.parent is not None and self.parent.gone)

    def insert(self, leaf: Leaf) -> None:
        """Take a stage in: behind the other replicas of it, or last."""
        names = list(self.members) if self.dynamic is None else []
        last = max(
            (at for at, name in enumerate(names) if name.rpartition("/")[0] == leaf.stage.name),
            default=None,
        )
        behind = names[last + 1 :] if last is not None else []
        self.members[leaf.name] = leaf
        for name in behind:
            self.members[name] = self.members.pop(name)

    def begin_again(self) -> None:
        """A new life, with no restarts behind it."""
        self.log = RestartLog(self.spec.intensity)
        self.ended = False
