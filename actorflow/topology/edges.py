"""The mistakes of subscriptions, each by itself and those of one consumer together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actorflow.errors import OptionError, TopologyError
from actorflow.records import dataclass
from actorflow.stage.options import EXACTLY_ONCE
from actorflow.topology.declarations import Defaults, SubscribeTo
from actorflow.topology.drafts import Draft
from actorflow.topology.planning import class_subscriptions, defaults_towards, partition_names
from actorflow.topology.report import Path, Report, did_you_mean, explain, show

__all__ = ["Edge", "check_edges", "edges_of", "sources"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A subscription in place.

    Args:
        consumer: whose it is.
        subscription: what was declared.
        path: where its mistakes are reported.
        by_class: whether the consumer's class declares it, and not the topology.
    """

    consumer: Draft
    subscription: SubscribeTo
    path: Path
    by_class: bool

    def add(self, report: Report, option: str, message: str) -> None:
        """Report a mistake where it was written: at the option, or at the class that has it."""
        if self.by_class:
            report.add(self.path, f"subscribe_to in the class, {option}: {message}")
        else:
            report.add((*self.path, option), message)


def edges_of(draft: Draft, report: Report) -> list[Edge] | None:
    """A stage's subscriptions; None when the class's own cannot be read, which is reported."""
    if draft.declared or draft.use is None:
        return [
            Edge(draft, subscription, (*draft.path, "subscribe_to", place), by_class=False)
            for place, subscription in draft.subscribe_to.items()
        ]
    where: Path = (*draft.path, "use")
    try:
        subscriptions = class_subscriptions(draft.use)
    except OptionError as error:
        report.add(where, f"subscribe_to in the class: {error.option} {explain(error)}")
        return None
    except TopologyError as error:
        for problem in error.problems:
            report.add(where, f"subscribe_to in the class: {problem.message}")
        return None
    return [Edge(draft, subscription, where, by_class=True) for subscription in subscriptions]


def check_edges(
    edges: Sequence[Edge], drafts: Mapping[str, Draft], defaults: Defaults, report: Report
) -> None:
    """Report what is wrong with the subscriptions of one consumer."""
    for edge in edges:
        _check_edge(edge, drafts, defaults, report)
    _check_twice(edges, drafts, report)


def sources(drafts: Mapping[str, Draft], consumer: Draft) -> list[str]:
    """The stages that a consumer could take events from."""
    return [
        each.name
        for each in drafts.values()
        if each is not consumer and each.kind in ("producer", "producer_consumer")
    ]


def _check_edge(
    edge: Edge, drafts: Mapping[str, Draft], defaults: Defaults, report: Report
) -> None:
    subscription = edge.subscription
    producer = drafts.get(subscription.to)
    towards = defaults_towards(None if producer is None else producer.source, defaults)
    try:
        subscription.options(towards)
    except OptionError as error:
        edge.add(report, error.option, explain(error))
    if producer is None:
        others = [name for name in drafts if name != edge.consumer.name]
        message = f"unknown stage {subscription.to!r}{did_you_mean(subscription.to, others)}"
        edge.add(report, "to", message)
        return
    if producer.kind == "consumer":
        message = f"{producer.name!r} is a Consumer and emits no events"
        emitting = sources(drafts, edge.consumer)
        if emitting:
            message += "; stages that do: " + ", ".join(map(repr, emitting))
        edge.add(report, "to", message)
    elif producer.kind is not None:
        _check_dispatcher_options(edge, producer, report)
        _check_delivery(edge, producer, defaults, report)
    if subscription.shared_fate is not None and producer.members is None:
        edge.add(report, "shared_fate", f"{producer.name!r} has no members; use cancel")


def _check_delivery(edge: Edge, producer: Draft, defaults: Defaults, report: Report) -> None:
    """Report `exactly_once` on one side of a subscription alone: it takes both to count."""
    consumer = edge.consumer
    theirs, ours = producer.delivery(defaults), consumer.delivery(defaults)
    if theirs != ours and EXACTLY_ONCE in (theirs, ours):
        message = (
            f"{producer.name!r} has delivery {theirs} and {consumer.name!r} has {ours};"
            f" {EXACTLY_ONCE} is for all stages that take events from each other"
        )
        edge.add(report, "to", message)


def _check_dispatcher_options(edge: Edge, producer: Draft, report: Report) -> None:
    subscription, dispatcher = edge.subscription, producer.dispatcher
    kind = next(iter(dispatcher)) if isinstance(dispatcher, Mapping) else dispatcher
    if subscription.selector is not None and kind in ("demand", "partition"):
        message = f"{producer.name!r} has a {kind} dispatcher; only broadcast has selectors"
        edge.add(report, "selector", message)
    if kind in ("demand", "broadcast", "ready"):
        if subscription.partition is not None:
            message = f"{producer.name!r} has a {kind} dispatcher and no partitions"
            edge.add(report, "partition", message)
        return
    names = partition_names(dispatcher)
    replicas = edge.consumer.replicas
    if names is None or replicas is None:
        return
    wanted = subscription.partition
    if wanted is None:
        if replicas != len(names):
            message = (
                f"{producer.name!r} has {_counted(len(names), 'partition')} and"
                f" {edge.consumer.name!r} has {_counted(replicas, 'replica')};"
                " make them as many, or name a partition"
            )
            edge.add(report, "to", message)
    elif isinstance(wanted, bool) or wanted not in names:
        message = f"{producer.name!r} has no partition {show(wanted)}{did_you_mean(wanted, names)}"
        edge.add(report, "partition", message)
    elif replicas > 1:
        message = (
            f"a partition has one consumer, and {edge.consumer.name!r} has {replicas} replicas;"
            " without partition each replica takes its own"
        )
        edge.add(report, "partition", message)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _check_twice(edges: Sequence[Edge], drafts: Mapping[str, Draft], report: Report) -> None:
    """Report a subscription that is there already: a slip, or refused by the producer."""
    seen: list[SubscribeTo] = []
    named = [edge.subscription.to for edge in edges]
    managers = [drafts[name] for name in named if name in drafts and drafts[name].members]
    for edge in edges:
        one = edge.subscription
        manager = next((m.name for m in managers if one.to in (m.members or ())), None)
        if manager is not None:
            message = f"{one.to!r} is a member of {manager!r}, which is subscribed to as well"
            edge.add(report, "to", message)
        if any(one.to == other.to and one.partition == other.partition for other in seen):
            edge.add(report, "to", f"{one.to!r} is subscribed to twice")
        seen.append(one)
