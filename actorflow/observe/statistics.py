"""A run's statistics: frozen records made from the scoreboard and the supervisor's rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from actorflow.observe.edges import EdgeStatistics, edges_of
from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.supervision.children import ChildInfo
from actorflow.supervision.runtime import Runtime
from actorflow.supervision.specs import Plan

__all__ = ["RunStatistics", "StageStatistics", "gather"]


@dataclass(frozen=True, slots=True)
class StageStatistics:
    """One stage's counters, at one moment, over all its lives.

    Args:
        stage: ``"count/1"``.
        state: as in `ChildInfo`.
        pid: its process, or 0.
        events_in, events_out: events taken and sent.
        batches_in, batches_out: messages of events taken and sent.
        asks_in, asks_out: asks taken and sent.
        demand_in, demand_out: events asked for, by its consumers and by it.
        buffered: events that wait for demand.
        queued: events that wait in the dispatcher for one particular consumer.
        held: demand that the stage holds: while it accumulates, or by its `handle_demand`.
        unacknowledged: events sent and not yet acknowledged.
        redelivered: events sent again because a consumer had not finished them.
        replayed: events that late subscribers got, or are to get, to catch up.
        discarded: events dropped: by a full buffer, or because nobody was to have them.
        lost: events sent that only a consumer which is gone for good was to have; under
            ``at_most_once`` all that a consumer which died had not said it had finished.
        excess: events that came without having been asked for.
        retried: events handed to `handle_events` again in the same life, after it had failed.
        skipped: events given up, and dropped, as `on_error` says.
        dead_lettered: events given up, and kept as dead letters.
        large_shared: buffers of 64 KiB and more that went to consumers in shared memory.
        large_piped: such buffers that went by pipe: there was no room, or the consumer had not
            taken that memory yet.
        busy, starved, blocked: seconds in callbacks, the one in hand or died in included; waiting
            for input; waiting for demand.
        busy_for: seconds since the callback in hand began, or 0 when none is in hand.
        in_hand: events in the callback in hand.
        restarts: how often it was restarted.
        started: when its present life began, in seconds after the start of the run; 0 before.
        protocol_errors: messages refused.
        messages_dropped: messages that were never written, as their reader was gone, or did not
            read while a stage that had failed could wait: their events are delivered again or
            counted as `lost`, by the delivery mode.
        log_dropped: log lines dropped because the host did not keep up.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing import simulate
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 100})
        >>> ran = simulate(topology.stage("sink", Sink, subscribe_to=["numbers"]))
        >>> [(stage.stage, stage.events_in, stage.events_out) for stage in ran.report.stages]
        [('numbers/0', 0, 100), ('sink/0', 100, 0)]
    """

    stage: str
    state: str
    pid: int
    events_in: int
    events_out: int
    batches_in: int
    batches_out: int
    asks_in: int
    asks_out: int
    demand_in: int
    demand_out: int
    buffered: int
    queued: int
    held: int
    unacknowledged: int
    redelivered: int
    replayed: int
    discarded: int
    lost: int
    excess: int
    retried: int
    skipped: int
    dead_lettered: int
    large_shared: int
    large_piped: int
    busy: float
    starved: float
    blocked: float
    busy_for: float
    in_hand: int
    restarts: int
    started: float
    protocol_errors: int
    messages_dropped: int
    log_dropped: int


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """The statistics of all stages and edges at one moment.

    Args:
        name: the run's name.
        seconds: since the start.
        stages: one for each stage, in start order.
        edges: one for each pair of a producer and its consumer, and for each partition of them, in
            the same order.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing import simulate
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 100})
        >>> ran = simulate(topology.stage("sink", Sink, subscribe_to=["numbers"]))
        >>> ran.report.stage("sink").events_in, ran.report.edge("numbers", "sink").events_sent
        (100, 100)
    """

    name: str
    seconds: float
    stages: tuple[StageStatistics, ...]
    edges: tuple[EdgeStatistics, ...] = ()

    def edge(self, producer: str, consumer: str) -> EdgeStatistics:
        """The first from one stage to another, by their names as in `stage`.

        Raises:
            KeyError: there is none.
        """
        for edge in self.edges:
            if _means(producer, edge.producer) and _means(consumer, edge.consumer):
                return edge
        raise KeyError(f"{producer} → {consumer}")

    def stage(self, name: str) -> StageStatistics:
        """The one called ``"count/1"``, or ``"count"`` when it has no replicas.

        Raises:
            KeyError: there is none.
        """
        for stage in self.stages:
            if _means(name, stage.stage):
                return stage
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


_PLAIN = (
    "events_in",
    "events_out",
    "batches_in",
    "batches_out",
    "asks_in",
    "asks_out",
    "demand_in",
    "demand_out",
    "buffered",
    "queued",
    "held",
    "unacknowledged",
    "redelivered",
    "replayed",
    "discarded",
    "lost",
    "excess",
    "retried",
    "skipped",
    "dead_lettered",
    "large_shared",
    "large_piped",
    "protocol_errors",
    "messages_dropped",
    "log_dropped",
)


def gather(
    plan: Plan, runtime: Runtime, seconds: float, children: Sequence[ChildInfo] | None
) -> RunStatistics:
    """Read the counters of every stage and every edge.

    Args:
        plan: what is run.
        runtime: whose scoreboard to read.
        seconds: since the start.
        children: the supervisor's rows, or None when it is gone: then the plan's.
    """
    if children is None:
        children = [_ended(spec.stage.id, runtime) for spec in plan.children]
    now = runtime.now()
    edges = edges_of(runtime.links(), now - seconds)
    passed = _totals(edges)
    stages = []
    for child in children:
        name, _, index = child.id.rpartition("/")
        counters = runtime.counters(StageId(name, int(index)))
        # A stage that has died may have left the mark of the callback that it died in.
        since = counters["callback_since"] if child.pid else 0
        busy_for = max(0.0, now - since * 1e-9) if since else 0.0
        stages.append(
            StageStatistics(
                stage=child.id,
                state=child.state,
                pid=child.pid,
                **{key: counters[key] + passed[child.id][key] for key in _PLAIN},
                busy=counters["busy"] * 1e-9 + busy_for,
                starved=counters["starved"] * 1e-9,
                blocked=counters["blocked"] * 1e-9,
                busy_for=busy_for,
                in_hand=counters["callback_events"] if since else 0,
                restarts=child.restarts,
                started=_after(counters["started_since"], now - seconds),
            )
        )
    place = {stage.stage: index for index, stage in enumerate(stages)}
    unknown = len(place)
    in_order = sorted(
        edges,
        key=lambda edge: (place.get(edge.producer, unknown), place.get(edge.consumer, unknown)),
    )
    return RunStatistics(plan.name, seconds, tuple(stages), tuple(in_order))


def _totals(edges: Iterable[EdgeStatistics]) -> Mapping[str, Counter[str]]:
    """What passed on the edges of each stage: what is counted there is not counted twice."""
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for edge in edges:
        out, into = totals[edge.producer], totals[edge.consumer]
        out["events_out"] += edge.events_sent
        out["batches_out"] += edge.batches_sent
        out["asks_in"] += edge.asks_received
        out["demand_in"] += edge.demand_received
        into["events_in"] += edge.events_received
        into["batches_in"] += edge.batches_received
        into["asks_out"] += edge.asks_sent
        into["demand_out"] += edge.demand_sent
    return totals


def _means(name: str, stage: str) -> bool:
    return name in (stage, stage.removesuffix("/0"))


def _after(nanoseconds: int, began: float) -> float:
    return round(max(0.0, nanoseconds * 1e-9 - began), 6) if nanoseconds else 0.0


def _ended(stage: StageId, runtime: Runtime) -> ChildInfo:
    generation = runtime.counters(stage)["generation"]
    return ChildInfo(str(stage), "ended", "", 0, generation, max(0, generation - 1), None)
