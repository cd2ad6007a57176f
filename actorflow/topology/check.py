"""The mistakes that show only when the stages of a topology are seen together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from actorflow.errors import OptionError, Problem, TopologyError
from actorflow.records import dataclass
from actorflow.stage.behaviour import Stage, kind_of, takes_snapshots
from actorflow.stage.on_error import OnError
from actorflow.stage.options import EXACTLY_ONCE
from actorflow.stage.place import ProgramSource
from actorflow.topology.classes import BASES, check_arguments
from actorflow.topology.diamonds import check_diamonds
from actorflow.topology.imports import on_import_path
from actorflow.topology.keys import STAGE
from actorflow.topology.members import check_members, directly
from actorflow.topology.model import Defaults, SubscribeTo, Topology
from actorflow.topology.planning import (
    class_options,
    class_subscriptions,
    defaults_towards,
    partition_names,
    takes_option,
)
from actorflow.topology.report import Path, Report, did_you_mean, explain, show
from actorflow.topology.supervisors import StageDraft, SupervisorDraft, check_supervisors

__all__ = ["Draft", "check", "problems_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A stage as far as it could be read; what could not be is None, and was reported.

    Args:
        name: the stage's name.
        use: its class.
        args: the constructor's arguments.
        replicas: how many there are.
        options: the given fields of `StageOptions`.
        subscribe_to: the subscriptions by their place in the declaration.
        declared: whether the declaration says anything about subscriptions.
        source: what it reads when it lives in the program.
        restart: when it is started again, where it says so.
        significant: whether its end may shut its supervisor down.
        members: the producers that it manages; None when it manages none.
    """

    name: str
    use: type[Stage] | None = None
    args: Mapping[str, Any] | None = None
    replicas: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    subscribe_to: Mapping[int, SubscribeTo] = field(default_factory=dict)
    declared: bool = True
    source: ProgramSource | None = None
    restart: str | None = None
    significant: bool = False
    members: tuple[str, ...] | None = None

    @property
    def path(self) -> Path:
        """Where the stage is."""
        return ("stages", self.name)

    def delivery(self, defaults: Defaults) -> object:
        """What holds for its events: as declared, else the topology's, else its class's."""
        own = class_options(self.use) if self.use is not None else {}
        inherited = own.get("delivery", "at_least_once")
        return self.options.get("delivery", defaults.delivery or inherited)

    @property
    def kind(self) -> str | None:
        """What kind of stage it is, when that is known."""
        return None if self.use is None else kind_of(self.use)

    @property
    def dispatcher(self) -> object:
        """The dispatcher's description; None when it breaks its rule."""
        own = class_options(self.use) if self.use is not None else {}
        description = self.options.get("dispatcher", own.get("dispatcher", "demand"))
        try:
            STAGE.check(dispatcher=description)
        except OptionError:
            return None
        return description


@dataclass(frozen=True, slots=True)
class _Edge:
    """A subscription in place: who declared it, and where its mistakes are to be reported."""

    consumer: Draft
    place: int
    subscription: SubscribeTo
    path: Path
    by_class: bool

    def add(self, report: Report, option: str, message: str) -> None:
        if self.by_class:
            report.add(self.path, f"subscribe_to in the class, {option}: {message}")
        else:
            report.add((*self.path, option), message)


def problems_of(topology: Topology) -> list[Problem]:
    """The mistakes of a topology made in Python."""
    report = Report()
    drafts: dict[str, Draft] = {}
    for declared in topology.stages:
        if declared.name in drafts:
            report.add(("stages", declared.name), f"two stages are named {declared.name!r}")
        drafts[declared.name] = Draft(
            name=declared.name,
            use=declared.use,
            args=declared.args if declared.source is None else None,
            replicas=declared.replicas,
            options=declared.options,
            subscribe_to=dict(enumerate(declared.subscribe_to or ())),
            declared=declared.subscribe_to is not None,
            source=declared.source,
            restart=declared.restart,
            significant=declared.significant,
            members=declared.members,
        )
        if declared.source is not None and declared.source.used_up:
            why = declared.source.used_up
            report.add(("stages", declared.name, "use"), f"cannot be run: {why}")
    if not drafts and not any(each.dynamic for each in topology.supervisors):
        report.add(("stages",), "a topology needs at least one stage")
    nested = [
        SupervisorDraft(
            name=each.name,
            path=("supervisors", each.name),
            inside=each.inside or "",
            stages=dict(enumerate(each.stages)),
            auto_shutdown=each.auto_shutdown,
            restart=each.restart,
            significant=each.significant,
            dynamic=each.dynamic,
        )
        for each in topology.supervisors
    ]
    children = [
        StageDraft(draft.name, draft.path, draft.restart, draft.significant)
        for draft in drafts.values()
    ]
    check_supervisors(
        nested, children, topology.supervisor.auto_shutdown, topology.defaults.restart, report
    )
    with on_import_path(topology.import_paths):
        kept = topology.dead_letters is not None
        check(drafts, topology.defaults, report, dead_letters=kept)
    return report.problems()


def check(
    drafts: Mapping[str, Draft],
    defaults: Defaults,
    report: Report,
    *,
    complete: bool = False,
    dead_letters: bool = False,
) -> None:
    """Report what is wrong among stages.

    Args:
        drafts: the stages by name, in the order of declaration.
        defaults: the topology's defaults.
        report: takes the mistakes.
        complete: whether the declaration is all there will be, so that a consumer without a
            producer is a mistake; a program may still subscribe it later.
        dead_letters: whether there is a file for events that are given up.
    """
    edges: dict[str, list[_Edge]] = {}
    unclear: set[str] = set()
    _check_codec(defaults.codec, ("defaults", "codec"), report)
    for name, draft in drafts.items():
        found = _edges(draft, report)
        edges[name] = found if found is not None else []
        if found is None:
            unclear.add(name)
    for draft in drafts.values():
        _check_codec(draft.options.get("codec"), (*draft.path, "codec"), report)
        if draft.use is not None:
            _check_options(draft, report)
            _check_finishing(draft, defaults, report)
            _check_failing(draft, report, dead_letters=dead_letters)
            _check_state(draft, draft.use, report)
            if draft.args is not None:
                check_arguments(draft.use, draft.args, draft.path, report)
        _check_direction(draft, edges[draft.name], report)
        if complete and draft.name not in unclear and not (draft.declared or edges[draft.name]):
            _check_fed(draft, drafts, report)
    for of_one in edges.values():
        for edge in of_one:
            _check_edge(edge, drafts, defaults, report)
        _check_twice(of_one, drafts, report)
    check_members(drafts, report)
    _check_cycles(edges, drafts, report)
    producers = {name: [edge.subscription.to for edge in of] for name, of in edges.items()}
    check_diamonds(producers, drafts, report)


def _check_codec(codec: object, path: Path, report: Report) -> None:
    """Report a codec for a class that cannot be imported, or of which msgspec knows nothing."""
    if isinstance(codec, Mapping):
        from actorflow.protocol.typed import TypedCodec  # few topologies have one

        try:
            TypedCodec(codec)
        except OptionError as error:
            report.add(path, explain(error))


def _edges(draft: Draft, report: Report) -> list[_Edge] | None:
    """A stage's subscriptions; None when the class's own cannot be read, which is reported."""
    if draft.declared or draft.use is None:
        return [
            _Edge(draft, place, subscription, (*draft.path, "subscribe_to", place), by_class=False)
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
    return [
        _Edge(draft, place, subscription, where, by_class=True)
        for place, subscription in enumerate(subscriptions)
    ]


def _check_finishing(draft: Draft, defaults: Defaults, report: Report) -> None:
    """Report snapshots of a stage that finishes batches in any order: they cover them in order."""
    use = draft.use
    if use is None or not use.finishes_later:
        return
    if takes_snapshots(use) or draft.delivery(defaults) == EXACTLY_ONCE:
        message = (
            f"{use.__name__} finishes batches later than it takes them, so it can have no"
            f" snapshots and not be {EXACTLY_ONCE}"
        )
        report.add((*draft.path, "use"), message)


def _check_failing(draft: Draft, report: Report, *, dead_letters: bool) -> None:
    """Report a rule for failing events that cannot be followed."""
    use = draft.use
    assert use is not None
    value = draft.options.get("on_error", getattr(use, "on_error", "restart"))
    if not takes_option(kind_of(use), "on_error"):
        return
    try:
        rule = OnError.of(value)
    except OptionError:
        return  # which is reported by itself
    where: Path = (*draft.path, "on_error" if "on_error" in draft.options else "use")
    if use.finishes_later and not rule.restarts:
        message = (
            f"{use.__name__} finishes batches later than handle_events returns; what it does about"
            " failures is its own"
        )
        report.add(where, message)
    if rule.then == "dead_letter" and not dead_letters:
        message = "needs a file for dead letters; add dead_letters: FILE to the topology"
        report.add(where, message)


def _check_options(draft: Draft, report: Report) -> None:
    assert draft.use is not None
    kind = kind_of(draft.use)
    for option in draft.options:
        if not takes_option(kind, option):
            fitting = " or ".join(BASES[each].__name__ for each in STAGE.key(option).kinds)
            base = BASES[kind].__name__
            message = f"{option!r} has no meaning for a {base}, only for a {fitting}"
            report.add_key((*draft.path, option), message)
    for option, value in class_options(draft.use).items():
        try:
            STAGE.check(**{option: value})
        except OptionError as error:
            which = f": {error.option}" if error.option != option else ""
            message = f"{option} in class {draft.use.__name__}{which} {explain(error)}"
            report.add((*draft.path, "use"), message)


def _check_state(draft: Draft, use: type[Stage], report: Report) -> None:
    """Report a state that could be kept and not restored, or the other way about."""
    restores = use.restore is not Stage.restore
    if takes_snapshots(use) != restores:
        has, lacks = ("restore", "snapshot") if restores else ("snapshot", "restore")
        message = f"{use.__name__} defines {has} and not {lacks}; it takes both to keep a state"
        report.add((*draft.path, "use"), message)


def _check_direction(draft: Draft, edges: list[_Edge], report: Report) -> None:
    if draft.kind == "producer" and edges:
        message = "a Producer takes no events; subclass ProducerConsumer, or delete this"
        where = (*draft.path, "use" if edges[0].by_class else "subscribe_to")
        report.add(where, message, key=True)


def _check_fed(draft: Draft, drafts: Mapping[str, Draft], report: Report) -> None:
    """Report a stage that takes events and says from nobody."""
    kind = draft.kind
    if kind is None or kind == "producer":
        return
    sources = _sources(drafts, draft)
    example = f", for example subscribe_to: [{sources[0]}]" if sources else ""
    message = f"a {BASES[kind].__name__} without subscribe_to gets no events; say whose{example}"
    report.add(draft.path, message, key=True)


def _sources(drafts: Mapping[str, Draft], consumer: Draft) -> list[str]:
    """The stages that a consumer could take events from."""
    return [
        each.name
        for each in drafts.values()
        if each is not consumer and each.kind in ("producer", "producer_consumer")
    ]


def _check_edge(
    edge: _Edge, drafts: Mapping[str, Draft], defaults: Defaults, report: Report
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
        sources = _sources(drafts, edge.consumer)
        if sources:
            message += "; stages that do: " + ", ".join(map(repr, sources))
        edge.add(report, "to", message)
    elif producer.kind is not None:
        _check_dispatcher_options(edge, producer, report)
        _check_delivery(edge, producer, defaults, report)
    if subscription.shared_fate is not None and producer.members is None:
        edge.add(report, "shared_fate", f"{producer.name!r} has no members; use cancel")


def _check_delivery(edge: _Edge, producer: Draft, defaults: Defaults, report: Report) -> None:
    """Report `exactly_once` on one side of a subscription alone: it takes both to count."""
    consumer = edge.consumer
    theirs, ours = producer.delivery(defaults), consumer.delivery(defaults)
    if theirs != ours and EXACTLY_ONCE in (theirs, ours):
        message = (
            f"{producer.name!r} has delivery {theirs} and {consumer.name!r} has {ours};"
            f" {EXACTLY_ONCE} is for all stages that take events from each other"
        )
        edge.add(report, "to", message)


def _check_dispatcher_options(edge: _Edge, producer: Draft, report: Report) -> None:
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


def _check_twice(edges: list[_Edge], drafts: Mapping[str, Draft], report: Report) -> None:
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


def _check_cycles(
    edges: Mapping[str, list[_Edge]], drafts: Mapping[str, Draft], report: Report
) -> None:
    """Report each cycle once, at the subscription of the stage that was declared first."""
    place = {name: index for index, name in enumerate(edges)}
    reported: set[frozenset[str]] = set()
    # A Producer that subscribes, or a Consumer that is subscribed to, has been reported as such.
    passing = {
        name: list(directly((edge.subscription.to for edge in of), drafts))
        for name, of in edges.items()
        if drafts[name].kind in (None, "producer_consumer")
    }
    for cycle in _cycles(passing):
        if frozenset(cycle) in reported:
            continue
        reported.add(frozenset(cycle))
        # `cycle` goes from consumer to producer; people read in the direction of the events.
        first = min(cycle, key=place.__getitem__)
        start = cycle.index(first)
        turned = cycle[start:] + cycle[:start]
        producer = turned[1 % len(turned)]
        flow = [first, *reversed(turned[1:]), first]
        edge = next(
            edge for edge in edges[first] if producer in directly([edge.subscription.to], drafts)
        )
        message = f"a cycle: {' → '.join(flow)}; each would wait for the one before it"
        edge.add(report, "to", message)


def _cycles(producers: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """Cycles, at least one through every stage that is on any; without recursion."""
    done: set[str] = set()
    for root in producers:
        trail: list[str] = [root] if root not in done else []
        pending = [iter(producers[root])] if trail else []
        on_trail = set(trail)
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                left = trail.pop()
                on_trail.discard(left)
                done.add(left)
            elif following in on_trail:
                yield trail[trail.index(following) :]
            elif following in producers and following not in done:
                trail.append(following)
                on_trail.add(following)
                pending.append(iter(producers[following]))
