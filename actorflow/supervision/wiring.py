"""Who is linked to whom: the declared and dynamic subscriptions of a supervisor's children."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import field, replace
from enum import Enum, auto
from typing import Any, TypeVar

from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.protocol.reasons import DONE
from actorflow.records import dataclass
from actorflow.supervision.specs import Plan

__all__ = ["Edge", "EdgeState", "Exchange", "Wiring", "fated"]

_Key = TypeVar("_Key")


class EdgeState(Enum):
    """Where an edge stands."""

    WANTED = auto()
    """To be linked as soon as both ends run."""
    LINKED = auto()
    ESTABLISHED = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an edge replaces.

    Args:
        old: the other edge.
        reason: why that one ends.
    """

    old: Edge
    reason: Any


@dataclass(slots=True, eq=False)
class Edge:
    """A subscription that the supervisor looks after; each linking gets a ref of its own.

    Args:
        consumer: who takes events.
        producer: who gives them.
        options: demand, cancel mode and what the dispatcher wants.
        declared: whether it is made again when one of the two is started again after its end.
        ref: the subscription's name while it is linked, 0 before it ever was.
        state: where it stands.
        reason: why it ended.
        via: the manager that joined the two (see `routing`), or None.
        shared_fate: of a subscription to a manager: see `SubscriptionSpec`.
        leaving: whether the supervisor is taking it away; it is not linked again, but as
            `Linking.verdict` says.
        replaced: of one that is leaving, whether no cancel mode applies.
        replaces: whose place it is to take, and has not yet; restarts on the way do not end that.
        paused: whether the program has paused it.
        refs: all its names so far; each restart of one of its stages gives it another.
        unlinked: how often in a row there was no link for it.
    """

    consumer: StageId
    producer: StageId
    options: SubscriptionOptions
    declared: bool = True
    ref: int = 0
    ordinal: int = 0
    """Which of the subscriptions of the same two stages it is."""
    state: EdgeState = EdgeState.WANTED
    reason: Any = None
    via: StageId | None = None
    shared_fate: bool | None = None
    leaving: bool = False
    replaced: bool = False
    replaces: Exchange | None = None
    paused: bool = False
    refs: list[int] = field(default_factory=list)
    unlinked: int = 0

    @property
    def name(self) -> str:
        """What it is called over all restarts of its stages, and of the host."""
        return f"{self.consumer}<{self.producer}#{self.ordinal}"

    @property
    def live(self) -> bool:
        """Whether there is a link."""
        return self.state in (EdgeState.LINKED, EdgeState.ESTABLISHED)


def fated(options: SubscriptionOptions, shared_fate: bool | None) -> SubscriptionOptions:
    """The options of a subscription to a manager: a fate that is not shared ends nobody.

    Example:
        >>> fated(SubscriptionOptions(), False).cancel
        'temporary'
    """
    return replace(options, cancel="temporary") if shared_fate is False else options


class Wiring:
    """The edges of one supervisor."""

    def __init__(self) -> None:
        self._serials: dict[Edge, int] = {}
        """All edges, in the order in which they were added."""
        self._last_serial = 0
        self._upstream: defaultdict[StageId, dict[Edge, None]] = defaultdict(dict)
        self._downstream: defaultdict[StageId, dict[Edge, None]] = defaultdict(dict)
        self._between: defaultdict[tuple[StageId, StageId], dict[Edge, None]] = defaultdict(dict)
        self._fed: set[StageId] = set()
        self._by_ref: dict[int, Edge] = {}
        self._known: dict[int, Edge] = {}
        self._last_ordinal = 0
        """Above all of them: what was sent under the name of one edge is never another's."""
        self._last_ref = 0

    @property
    def edges(self) -> list[Edge]:
        """All of them, in the order in which they were added."""
        return list(self._serials)

    def declare(self, plan: Plan) -> None:
        """Every replica of a subscription's consumer subscribes to every one of its producer.

        These edges are named by the plan alone: another run of it gives them the same names.
        """
        ids = [child.stage.id for child in plan.children]
        made: Counter[tuple[StageId, StageId]] = Counter()
        for subscription in plan.subscriptions:
            for consumer in (each for each in ids if each.name == subscription.consumer):
                options = plan.options_for(subscription, consumer.index)
                for producer in (each for each in ids if each.name == subscription.producer):
                    fate = subscription.shared_fate
                    edge = Edge(consumer, producer, fated(options, fate), shared_fate=fate)
                    edge.ordinal = made[consumer, producer]
                    made[consumer, producer] += 1
                    self._insert(edge)
        self._last_ordinal = len(self._serials)

    def add(self, edge: Edge) -> None:
        """One more subscription."""
        self._last_ordinal += 1
        edge.ordinal = self._last_ordinal
        self._insert(edge)

    def linking(self, edge: Edge) -> int:
        """The edge is about to be linked; returns the new ref."""
        self._by_ref.pop(edge.ref, None)
        self._last_ref += 1
        edge.ref = self._last_ref
        edge.state = EdgeState.LINKED
        self._by_ref[edge.ref] = edge
        edge.refs.append(edge.ref)
        self._known[edge.ref] = edge
        return edge.ref

    def by_ref(self, ref: int) -> Edge | None:
        """The edge whose current ref this is."""
        return self._by_ref.get(ref)

    def reaches(self, start: StageId, goal: StageId) -> bool:
        """Whether events flow, over any number of stages, from `start` to `goal`."""
        seen, todo = {start}, [start]
        while todo:
            here = todo.pop()
            if here == goal:
                return True
            following = {edge.consumer for edge in self.downstream(here)} - seen
            seen |= following
            todo.extend(following)
        return False

    def known(self, ref: int) -> Edge | None:
        """The edge that has, or had, this ref, and is not over."""
        return self._known.get(ref)

    def over(self, edge: Edge, reason: Any) -> None:
        """The subscription has ended for good.

        A dynamic one is forgotten, unless its producer was done: if its consumer falls before its
        own end, a successor is told of that end again (see `forget_ended`). A declared one that is
        made again flows: the program knows no name by which it could resume it.
        """
        edge.state = EdgeState.OVER
        edge.reason = reason
        edge.paused = False
        self._by_ref.pop(edge.ref, None)
        self._disown(edge)
        if not edge.declared and reason != DONE:
            self.forget(edge)

    def forget(self, edge: Edge) -> None:
        """Remove an edge that is not linked; it need not be there any more."""
        self._by_ref.pop(edge.ref, None)
        if self._serials.pop(edge, None) is None:
            return
        consumer, producer = edge.consumer, edge.producer
        _remove(self._upstream, consumer, edge)
        _remove(self._downstream, producer, edge)
        _remove(self._between, (consumer, producer), edge)

    def forget_ended(self, consumer: StageId) -> None:
        """The consumer has ended for good: its dynamic subscriptions that are over mean nothing."""
        for edge in self.upstream(consumer):
            if edge.state is EdgeState.OVER and not edge.declared:
                self.forget(edge)

    def _disown(self, edge: Edge) -> None:
        """None of its names means anything any more."""
        for ref in edge.refs:
            self._known.pop(ref, None)
        edge.refs.clear()

    def lost(self, edge: Edge) -> None:
        """The link is gone, and the edge is to be linked again."""
        edge.state = EdgeState.WANTED
        self._by_ref.pop(edge.ref, None)

    def remove(self, stage: StageId) -> None:
        """Forget every edge of a stage."""
        for edge in self.of(stage):
            self.forget(edge)
        self._fed.discard(stage)

    def of(self, stage: StageId) -> list[Edge]:
        """The edges of a stage, as consumer or as producer, in the order of all."""
        found = self.upstream(stage) + self.downstream(stage)
        return sorted(found, key=self._serials.__getitem__)

    def upstream(self, consumer: StageId) -> list[Edge]:
        """The edges to a consumer's producers."""
        return list(self._upstream.get(consumer, ()))

    def was_fed(self, stage: StageId) -> bool:
        """Whether a stage has, or ever had, a subscription."""
        return stage in self._fed

    def between(self, consumer: StageId, producer: StageId) -> list[Edge]:
        """The edges from one stage to another."""
        return list(self._between.get((consumer, producer), ()))

    def downstream(self, producer: StageId) -> list[Edge]:
        """The edges to a producer's consumers."""
        return list(self._downstream.get(producer, ()))

    def _insert(self, edge: Edge) -> None:
        self._last_serial += 1
        self._serials[edge] = self._last_serial
        self._upstream[edge.consumer][edge] = None
        self._fed.add(edge.consumer)
        self._downstream[edge.producer][edge] = None
        self._between[edge.consumer, edge.producer][edge] = None


def _remove(index: dict[_Key, dict[Edge, None]], key: _Key, edge: Edge) -> None:
    """Take an edge out of an index, which keeps nothing for whom it has no edges."""
    del index[key][edge]
    if not index[key]:
        del index[key]
