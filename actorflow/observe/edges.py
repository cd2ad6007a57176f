"""The statistics of edges: what went from one stage to another, as each of the two counted it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actorflow.protocol.reasons import plain
from actorflow.records import dataclass
from actorflow.supervision.runtime import LinkCounters

__all__ = ["EdgeStatistics", "edges_of"]


@dataclass(frozen=True, slots=True)
class EdgeStatistics:
    """One edge's counters, at one moment, over all the subscriptions that it has been.

    The two ends count for themselves, and what is between them follows:
    ``events_sent == events_received + in_flight + undelivered``, and the same with batches. Nothing
    is asked of the stages, so while events flow each number is of its own moment: it may be behind
    the others by what moved in the microseconds of reading, at most by one batch or one ask where
    two numbers of one end are compared. In a moment of rest all are exact.

    Args:
        producer, consumer: ``"numbers/0"``, ``"sink/1"``.
        partition: which of the producer's partitions it carries, or None.
        state: ``"live"``, or ``"over"`` when no subscription is left.
        subscriptions: how many there have been: each restart of an end makes another one.
        started: when the first was made, in seconds after the start of the run.
        events_sent, events_received: by the producer, and by the consumer.
        batches_sent, batches_received: the messages that they travelled in.
        asks_sent, asks_received: by the consumer, and by the producer.
        demand_sent, demand_received: the events that these asked for.
        in_flight: events sent and not received, on the live subscription: in an outbox or a pipe.
        undelivered: events that were on their way when a subscription ended, as one end was gone.
        outstanding: events that the live subscription has asked for and not received.
        waiting: events that wait in the producer's dispatcher for this consumer and no other.
        redelivered: events given back because this consumer had not finished them.
        lost: events that it had not finished and nobody else was to have.
        answered: how many of its asks were timed: the first 16 of each subscription, then one in 8.
        latency: mean seconds from such an ask to the first batch that answered it; None before.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing import simulate
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 100})
        >>> ran = simulate(topology.stage("sink", Sink, subscribe_to=["numbers"]))
        >>> (edge,) = ran.report.edges
        >>> edge.producer, edge.consumer, edge.events_sent, edge.events_received
        ('numbers/0', 'sink/0', 100, 100)
    """

    producer: str
    consumer: str
    partition: Any
    state: str
    subscriptions: int
    started: float
    events_sent: int
    events_received: int
    batches_sent: int
    batches_received: int
    asks_sent: int
    asks_received: int
    demand_sent: int
    demand_received: int
    in_flight: int
    undelivered: int
    outstanding: int
    waiting: int
    redelivered: int
    lost: int
    answered: int
    latency: float | None


def edges_of(links: Iterable[LinkCounters], began: float) -> tuple[EdgeStatistics, ...]:
    """The edges that some links belong to, in the order in which they were first made.

    Args:
        links: what was counted on each link.
        began: when the run started, on the clock that the links were made by.
    """
    by_edge: dict[tuple[str, str, str], list[LinkCounters]] = {}
    for link in links:
        key = str(link.producer), str(link.consumer), repr(link.partition)
        by_edge.setdefault(key, []).append(link)
    return tuple(_edge(of_one, began) for of_one in by_edge.values())


def _edge(links: list[LinkCounters], began: float) -> EdgeStatistics:
    live = [link for link in links if link.live]
    over = [link for link in links if not link.live]
    waited, answered = _consuming(links, "waited"), _consuming(links, "answered")
    first = links[0]
    return EdgeStatistics(
        producer=str(first.producer),
        consumer=str(first.consumer),
        partition=plain(first.partition),
        state="live" if live else "over",
        subscriptions=sum(link.links for link in links),
        started=max(0.0, first.began - began),
        events_sent=_producing(links, "events"),
        events_received=_consuming(links, "events"),
        batches_sent=_producing(links, "batches"),
        batches_received=_consuming(links, "batches"),
        asks_sent=_consuming(links, "asks"),
        asks_received=_producing(links, "asks"),
        demand_sent=_consuming(links, "demand"),
        demand_received=_producing(links, "demand"),
        in_flight=_producing(live, "events") - _consuming(live, "events"),
        undelivered=_producing(over, "events") - _consuming(over, "events"),
        outstanding=max(0, _consuming(live, "demand") - _consuming(live, "events")),
        waiting=_producing(live, "waiting"),
        redelivered=_producing(links, "redelivered"),
        lost=_producing(links, "lost"),
        answered=answered,
        latency=round(waited / answered * 1e-9, 9) if answered else None,
    )


def _producing(links: list[LinkCounters], name: str) -> int:
    return sum(link.producing[name] for link in links)


def _consuming(links: list[LinkCounters], name: str) -> int:
    return sum(link.consuming[name] for link in links)
