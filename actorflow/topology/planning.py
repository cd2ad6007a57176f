"""From a topology without mistakes to the supervisor's plan."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from actorflow.dispatch.partition import PartitionDispatcher
from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import Stage, kind_of
from actorflow.stage.on_error import USUAL_DELIVERIES, OnError
from actorflow.stage.options import StageOptions
from actorflow.stage.place import ProgramSource
from actorflow.stages.broker import Broker
from actorflow.supervision.specs import (
    ChildSpec,
    Intensity,
    Plan,
    RouterSpec,
    StageSpec,
    SubscriptionSpec,
    shutdown_seconds,
)
from actorflow.topology.classes import BASES
from actorflow.topology.declarations import (
    Defaults,
    StageDeclaration,
    SubscribeTo,
    SupervisorDeclaration,
)
from actorflow.topology.keys import STAGE, stage_option_names
from actorflow.topology.members import own_dispatcher, strategies
from actorflow.topology.model import Topology

__all__ = [
    "class_options",
    "class_subscriptions",
    "defaults_towards",
    "outermost_first",
    "partition_names",
    "plan_of",
    "stage_options",
    "start_order",
    "takes_option",
]


def plan_of(topology: Topology) -> Plan:
    """Compile a topology; it must have no `problems`."""
    defaults = topology.defaults
    by_name = {declared.name: declared for declared in topology.stages}
    subscriptions = {
        declared.name: declared.subscribe_to
        if declared.subscribe_to is not None
        else class_subscriptions(declared.use)
        for declared in topology.stages
    }
    managed = {declared.name: declared.members or () for declared in topology.stages}
    upstream = {
        name: [each for s in subs for each in (s.to, *managed[s.to])]
        for name, subs in subscriptions.items()
    }
    order = start_order(upstream)
    handed_down = strategies(topology.stages)
    kept = topology.dead_letters is not None
    options = {
        name: _options(by_name[name], defaults, handed_down, dead_letters=kept) for name in order
    }
    partitions = {name: partition_names(options[name].dispatcher) for name in order}
    supervisors = {stage: each.name for each in topology.supervisors for stage in each.stages}
    return Plan(
        name=topology.name,
        children=tuple(
            _child(by_name[name], index, options[name], defaults, supervisors.get(name, ""))
            for name in order
            for index in range(by_name[name].replicas)
        ),
        subscriptions=tuple(
            SubscriptionSpec(
                consumer=name,
                producer=subscription.to,
                options=subscription.options(
                    defaults_towards(by_name[subscription.to].source, defaults)
                ),
                shared_fate=subscription.shared_fate,
            )
            for name, subscribed in subscriptions.items()
            for subscription in subscribed
        ),
        strategy=topology.supervisor.strategy,
        order=topology.supervisor.order,
        intensity=Intensity(
            max_restarts=topology.supervisor.max_restarts,
            max_seconds=topology.supervisor.max_seconds,
        ),
        partitions={name: names for name, names in partitions.items() if names is not None},
        auto_shutdown=topology.supervisor.auto_shutdown,
        ends_when_idle=topology.supervisor.ends_when_idle,
        supervisors=tuple(each.spec() for each in outermost_first(topology.supervisors)),
        routers=tuple(
            RouterSpec(
                manager=declared.name,
                members=declared.members,
                ends_with_members=issubclass(declared.use, Broker),
            )
            for declared in topology.stages
            if declared.members is not None
        ),
        import_paths=topology.import_paths,
        checkpoint=topology.checkpoint,
        dead_letters=topology.dead_letters,
        preload=(
            *_modules(by_name[name].use for name in order if by_name[name].source is None),
            *_modules_of_codecs(
                [defaults.codec, *(by_name[n].options.get("codec") for n in order)]
            ),
        ),
    )


def _child(
    declared: StageDeclaration,
    index: int,
    options: StageOptions,
    defaults: Defaults,
    supervisor: str,
) -> ChildSpec:
    given: dict[str, Any] = {}
    for option in ("restart", "shutdown", "start_within"):
        for source in (defaults, declared):
            value = getattr(source, option)
            if value is not None:
                given[option] = value
    spec = StageSpec(
        id=StageId(declared.name, index),
        behaviour=declared.use,
        arguments=dict(declared.args),
        options=options,
        replicas=declared.replicas,
    )
    given |= {
        "supervisor": supervisor,
        "backoff": declared.backoff,
        "significant": declared.significant,
    }
    if declared.source is None:
        return ChildSpec(stage=spec, **given)
    # What it read is gone for ever, so the others' default cannot be meant for it.
    given["restart"] = declared.restart or "transient"
    child = ChildSpec(stage=spec, **given)
    seconds = shutdown_seconds(child.shutdown)
    place = declared.source.place(declared.name, seconds)
    return replace(child, stage=replace(spec, arguments={"place": place}, place=place))


def defaults_towards(source: ProgramSource | None, defaults: Defaults) -> Defaults:
    """The defaults of a subscription to a stage; a source in the program may have its own."""
    if source is None or source.max_demand is None:
        return defaults
    return replace(defaults, max_demand=source.max_demand)


def outermost_first(supervisors: Iterable[SupervisorDeclaration]) -> list[SupervisorDeclaration]:
    """Each supervisor after the one that it is inside; there must be no cycle.

    Example:
        >>> inner = SupervisorDeclaration(name="inner", inside="outer")
        >>> outer = SupervisorDeclaration(name="outer")
        >>> [each.name for each in outermost_first([inner, outer])]
        ['outer', 'inner']
    """
    declared = list(supervisors)
    order = start_order({each.name: [each.inside] if each.inside else [] for each in declared})
    by_name = {each.name: each for each in declared}
    return [by_name[name] for name in order]


def _options(
    declared: StageDeclaration,
    defaults: Defaults,
    handed_down: Mapping[str, Any],
    *,
    dead_letters: bool,
) -> StageOptions:
    given = {**declared.options, **own_dispatcher(declared.use)}
    if declared.name in handed_down:
        given["dispatcher"] = handed_down[declared.name]
    options = stage_options(declared.use, given, defaults)
    gives_up = dead_letters or OnError.of(options.on_error).then == "skip"
    if gives_up and options.max_deliveries is None:
        return replace(options, max_deliveries=USUAL_DELIVERIES)
    return options


def stage_options(use: type[Stage], given: Mapping[str, Any], defaults: Defaults) -> StageOptions:
    """A stage's options: its class's, then the topology's defaults, then the declared ones.

    Raises:
        OptionError: a class attribute breaks its rule.
    """
    values = class_options(use)
    for option in ("delivery", "codec", "shared_memory", "busy_poll", "scheduling"):
        value = getattr(defaults, option)
        if value is not None:
            values[option] = value
    return StageOptions(**{**values, **given})


def class_options(use: type[Stage]) -> dict[str, Any]:
    """The options that a stage's class sets, its base class's defaults included.

    Only what the base class knows counts: another attribute that happens to have an option's name
    is the user's own.

    Example:
        >>> from actorflow.stage.behaviour import ProducerConsumer
        >>> class_options(ProducerConsumer)["buffer_size"] is None
        True
    """
    return {option: getattr(use, option) for option in _options_of_classes(kind_of(use))}


@cache
def _options_of_classes(kind: str) -> tuple[str, ...]:
    """Which options a class of this kind may set."""
    return tuple(
        option
        for option in stage_option_names()
        if takes_option(kind, option) and hasattr(BASES[kind], option)
    )


def takes_option(kind: str, option: str) -> bool:
    """Whether an option has a meaning for this kind of stage."""
    kinds = STAGE.key(option).kinds
    return not kinds or kind in kinds


def class_subscriptions(use: type[Stage]) -> tuple[SubscribeTo, ...]:
    """What a class subscribes to when the topology does not say.

    Raises:
        OptionError: its attribute is no list of subscriptions, or one of them breaks a rule.
        TopologyError: one of them has an unknown key.
    """
    entries = use.subscribe_to
    if isinstance(entries, str | Mapping | SubscribeTo) or not isinstance(entries, Iterable):
        entries = [entries]
    return tuple(map(SubscribeTo.of, entries))


def partition_names(dispatcher: object) -> tuple[Hashable, ...] | None:
    """The partitions of a dispatcher's description, in order; None when it does not partition.

    Example:
        >>> partition_names({"partition": {"partitions": 2}}), partition_names("demand")
        ((0, 1), None)
    """
    if isinstance(dispatcher, PartitionDispatcher):
        return dispatcher.names
    if not isinstance(dispatcher, Mapping) or "partition" not in dispatcher:
        return None
    partitions = dispatcher["partition"]["partitions"]
    return tuple(range(partitions)) if isinstance(partitions, int) else tuple(partitions)


def start_order(producers: Mapping[str, Iterable[str]]) -> list[str]:
    """Stages so that each comes after the producers it subscribes to, and otherwise as given.

    Args:
        producers: for each stage, whom it subscribes to; there must be no cycle.

    Example:
        >>> start_order({"print": ["double"], "double": ["numbers"], "numbers": []})
        ['numbers', 'double', 'print']
    """
    place = {name: index for index, name in enumerate(producers)}
    names = list(producers)
    waiting = {name: len(set(of)) for name, of in producers.items()}
    consumers: dict[str, list[str]] = {name: [] for name in producers}
    for name, of in producers.items():
        for producer in set(of):
            consumers[producer].append(name)
    ready = [place[name] for name in names if not waiting[name]]
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for consumer in consumers[name]:
            waiting[consumer] -= 1
            if not waiting[consumer]:
                heapq.heappush(ready, place[consumer])
    return order


def _modules_of_codecs(codecs: Iterable[object]) -> tuple[str, ...]:
    """What stages with these codecs import, so that it is imported once for all of them."""
    typed = [codec for codec in codecs if isinstance(codec, Mapping)]
    if not typed:
        return ()
    from actorflow.protocol.typed import place_of

    modules = [place_of(codec).partition(":")[0] for codec in typed]
    return tuple(dict.fromkeys(["msgspec", *modules]))


def _modules(classes: Iterable[type[Stage]]) -> tuple[str, ...]:
    """Where classes come from; what has no module of its own to import is left out."""
    modules = dict.fromkeys(each.__module__ for each in classes)
    modules.pop("__main__", None)
    return tuple(modules)
