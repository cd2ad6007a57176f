"""What a supervisor is told about a child before it exists."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import field, replace

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_instance, check_map, check_text, is_number
from actorflow.protocol.backoff import Backoff
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.records import dataclass
from actorflow.stage.spec import StageSpec

__all__ = [
    "AUTO_SHUTDOWNS",
    "ORDERS",
    "RESTARTS",
    "SHUTDOWNS",
    "STRATEGIES",
    "Backoff",
    "ChildSpec",
    "DynamicSupervisorSpec",
    "Intensity",
    "Plan",
    "RouterSpec",
    "StageSpec",
    "SubscriptionSpec",
    "SupervisorSpec",
    "check_significance",
    "shutdown_seconds",
]

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "transient", "temporary")
ORDERS = ("together", "one_by_one")
AUTO_SHUTDOWNS = ("never", "any_significant", "all_significant")
SHUTDOWNS = ("brutal_kill", "infinity")
MAX_SHARDS = 1024
STAGE_NAME = "a stage's name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A child of a supervisor: OTP's child specification.

    Args:
        stage: what to run.
        restart: ``"permanent"`` (always), ``"transient"`` (when it ends badly; the default) or
            ``"temporary"`` (never).
        shutdown: seconds from being asked to stop until it is killed, from 0; ``"brutal_kill"`` to
            kill it at once, ``"infinity"`` to wait as long as it takes.
        start_within: seconds from its start until it must be ready, above 0.
        supervisor: the supervisor that it is a child of; nothing for the run's own.
        significant: whether its end may shut its supervisor down (see `SupervisorSpec`); not for a
            permanent child.
        backoff: how long its restarts wait; None for not at all.

    Raises:
        OptionError: an option breaks its rule.

    Example:
        >>> from actorflow import StageSpec
        >>> from actorflow.protocol.identity import StageId
        >>> from actorflow.testing.topologies import Sink
        >>> stage = StageSpec(id=StageId("sink"), behaviour=Sink)
        >>> ChildSpec(stage=stage, restart="permanent").shutdown
        5.0
    """

    stage: StageSpec
    restart: str = "transient"
    shutdown: float | str = 5.0
    start_within: float = 30.0
    supervisor: str = ""
    significant: bool = False
    backoff: Backoff | None = None

    def __post_init__(self) -> None:
        check_instance("stage", self.stage, StageSpec)
        _choice("restart", self.restart, RESTARTS)
        if not isinstance(self.shutdown, str):
            _seconds("shutdown", self.shutdown, words=", brutal_kill or infinity")
        elif self.shutdown not in SHUTDOWNS:
            rule = "a number of seconds from 0, brutal_kill or infinity"
            raise OptionError("shutdown", rule, self.shutdown)
        _seconds("start_within", self.start_within, above=True)
        _check_membership("supervisor", self.supervisor, self.backoff)
        _check_significant(self.significant, self.restart)


def shutdown_seconds(shutdown: float | str) -> float:
    """How long a child has from being asked to stop until it is killed.

    Example:
        >>> shutdown_seconds(2.5), shutdown_seconds("brutal_kill"), shutdown_seconds("infinity")
        (2.5, 0.0, inf)
    """
    if isinstance(shutdown, str):
        return math.inf if shutdown == "infinity" else 0.0
    return shutdown


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionSpec:
    """A declared subscription: every replica of `consumer` to every replica of `producer`.

    Args:
        consumer: a stage's name.
        producer: a stage's name.
        options: demand, cancel mode and what the dispatcher wants.
        shared_fate: for a subscription to a manager of members (see `RouterSpec`), whether the
            consumer ends when one of them ends badly and for good, by its cancel mode: True, the
            manager and each member; False, none of them; None, the manager alone.

    Example:
        >>> spec = SubscriptionSpec(consumer="sink", producer="numbers")
        >>> spec.consumer, spec.options.max_demand
        ('sink', 'auto')
    """

    consumer: str
    producer: str
    options: SubscriptionOptions = field(default_factory=SubscriptionOptions)
    shared_fate: bool | None = None

    def __post_init__(self) -> None:
        check_text("consumer", self.consumer, STAGE_NAME)
        check_text("producer", self.producer, STAGE_NAME)
        check_instance("options", self.options, SubscriptionOptions)
        if self.shared_fate is not None and type(self.shared_fate) is not bool:
            raise OptionError("shared_fate", "true, false or null", self.shared_fate)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSpec:
    """A manager of members: whoever subscribes to it is joined directly with each of its members.

    Args:
        manager: a producing stage's name.
        members: names of producing stages, each ``"numbers"`` (every replica) or ``"numbers/1"``.
        ends_with_members: whether the manager is to finish when all its members have ended.

    Example:
        >>> RouterSpec(manager="broker", members=("left", "right")).ends_with_members
        True
    """

    manager: str
    members: Sequence[str] = ()
    ends_with_members: bool = True

    def __post_init__(self) -> None:
        check_text("manager", self.manager, STAGE_NAME)
        _all_of("members", self.members, str)
        check_instance("ends_with_members", self.ends_with_members, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """How many restarts are bearable: with more than `max_restarts` in `max_seconds` it gives up.

    Example:
        >>> Intensity(max_restarts=0)
        Intensity(max_restarts=0, max_seconds=5.0)
    """

    max_restarts: int = 3
    max_seconds: float = 5.0

    def __post_init__(self) -> None:
        if type(self.max_restarts) is not int or self.max_restarts < 0:
            raise OptionError("max_restarts", "an integer of at least 0", self.max_restarts)
        _seconds("max_seconds", self.max_seconds, above=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSpec:
    """A supervisor among the children of another, with rules of its own.

    It has no process: one actor runs the whole tree. When more of its children end badly than its
    intensity allows, it stops the rest and ends itself, badly; its parent then does with it what it
    does with any child.

    Args:
        name: its name, unlike that of any stage or other supervisor.
        parent: the supervisor that it is a child of; nothing for the run's own.
        strategy: which of its children are restarted when one ends badly, as for a `Plan`.
        order: how its children start and stop, as for a `Plan`.
        intensity: how many restarts are bearable.
        restart: when it is started again itself: ``"transient"``, when it has given up (the
            default); ``"permanent"``, also when it has shut down by itself; ``"temporary"``, never.
        auto_shutdown: whether the end of significant children ends it, in order: ``"never"`` (the
            default), ``"any_significant"``, or ``"all_significant"`` for the last of them (OTP 24).
        significant: whether its own end may shut its parent down.
        backoff: how long its restarts wait.

    Raises:
        OptionError: an option breaks its rule.

    Example:
        >>> SupervisorSpec(name="ingest", strategy="one_for_all").restart
        'transient'
    """

    name: str
    parent: str = ""
    strategy: str = "one_for_one"
    order: str = "together"
    intensity: Intensity = field(default_factory=Intensity)
    restart: str = "transient"
    auto_shutdown: str = "never"
    significant: bool = False
    backoff: Backoff | None = None

    def __post_init__(self) -> None:
        check_instance("name", self.name, str)
        check_instance("intensity", self.intensity, Intensity)
        _choice("strategy", self.strategy, STRATEGIES)
        _choice("order", self.order, ORDERS)
        _choice("restart", self.restart, RESTARTS)
        _choice("auto_shutdown", self.auto_shutdown, AUTO_SHUTDOWNS)
        _check_membership("parent", self.parent, self.backoff)
        _check_significant(self.significant, self.restart)


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicSupervisorSpec(SupervisorSpec):
    """A supervisor without children at first, for many that are started while the run goes on.

    They are independent of each other, so its strategy is ``"one_for_one"`` and its order
    ``"together"``. A child that has ended for good is forgotten. When the supervisor begins again,
    it has no children.

    Args:
        max_children: how many there may be at once, from 1; None for no limit.
        shards: how many parts it has, from 1. Each is a supervisor of its own, with the same
            intensity; a child's name decides which part it belongs to.

    Raises:
        OptionError: an option breaks its rule.

    Example:
        >>> DynamicSupervisorSpec(name="jobs", max_children=100).shards
        1
    """

    max_children: int | None = None
    shards: int = 1

    def __post_init__(self) -> None:
        # The zero-argument super() does not find the class that `slots` has made anew.
        SupervisorSpec.__post_init__(self)
        usual = {"strategy": "one_for_one", "order": "together", "auto_shutdown": "never"}
        for option, only in usual.items():
            if getattr(self, option) != only:
                hint = "its children are independent of each other"
                rule = f"{only} for a dynamic supervisor"
                raise OptionError(option, rule, getattr(self, option), hint)
        if self.backoff is not None:
            hint = "it begins without children, so nothing would wait"
            raise OptionError("backoff", "None for a dynamic supervisor", self.backoff, hint)
        if self.max_children is not None and not _is_count(self.max_children):
            raise OptionError("max_children", "an integer of at least 1", self.max_children)
        if not _is_count(self.shards) or self.shards > MAX_SHARDS:
            raise OptionError("shards", f"an integer from 1 to {MAX_SHARDS}", self.shards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a supervisor runs: its children in start order, who subscribes to whom, and its rules.

    Args:
        name: the run's name.
        children: one for each replica of each stage, in start order; they stop in reverse.
        subscriptions: the declared subscriptions, by stage name.
        strategy: who is restarted when a child ends badly: ``"one_for_one"`` (it alone),
            ``"one_for_all"`` (everybody) or ``"rest_for_one"`` (it and those started after it).
        order: how the children start and stop: ``"together"`` (in order, without waiting for each
            other) or ``"one_by_one"`` (each starts when the one before it has started, and is
            stopped when the one after it is gone, as in OTP).
        intensity: how many restarts are bearable.
        import_paths: folders that the children's import path begins with.
        preload: modules that are imported before the first child is forked.
        partitions: for each stage with a partition dispatcher, its partitions in order.
        auto_shutdown: whether the end of significant children ends the run, in order.
        supervisors: the supervisors below the run's own, each before those inside it.
        ends_when_idle: whether the run is drained once nothing more can flow in it by itself.
        checkpoint: the file that keeps what stages leave for their successors; None for none.
        dead_letters: the file that keeps events which stages have given up; None for none.
        routers: the managers of members, and who these are at the start.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 10})
        >>> plan = topology.stage("sink", Sink, replicas=2, subscribe_to=["numbers"]).plan()
        >>> [str(child.stage.id) for child in plan.children], len(plan.subscriptions)
        (['numbers/0', 'sink/0', 'sink/1'], 1)
    """

    name: str
    children: Sequence[ChildSpec]
    subscriptions: Sequence[SubscriptionSpec] = ()
    strategy: str = "one_for_one"
    order: str = "together"
    intensity: Intensity = field(default_factory=Intensity)
    import_paths: Sequence[str] = ()
    preload: Sequence[str] = ()
    partitions: Mapping[str, Sequence[Hashable]] = field(default_factory=dict)
    auto_shutdown: str = "never"
    supervisors: Sequence[SupervisorSpec] = ()
    ends_when_idle: bool = False
    checkpoint: str | None = None
    dead_letters: str | None = None
    routers: Sequence[RouterSpec] = ()

    def __post_init__(self) -> None:
        check_text("name", self.name)
        _all_of("children", self.children, ChildSpec)
        _all_of("subscriptions", self.subscriptions, SubscriptionSpec)
        _choice("strategy", self.strategy, STRATEGIES)
        _choice("order", self.order, ORDERS)
        check_instance("intensity", self.intensity, Intensity)
        _all_of("import_paths", self.import_paths, str)
        _all_of("preload", self.preload, str)
        check_map("partitions", self.partitions, "a map from stages' names to partitions")
        for partitions in self.partitions.values():
            _all_of("partitions", partitions, Hashable)
        _choice("auto_shutdown", self.auto_shutdown, AUTO_SHUTDOWNS)
        _all_of("supervisors", self.supervisors, SupervisorSpec)
        if not isinstance(self.ends_when_idle, bool):
            raise OptionError("ends_when_idle", "true or false", self.ends_when_idle)
        for option in ("checkpoint", "dead_letters"):
            if getattr(self, option) is not None:
                check_text(option, getattr(self, option), "the path of a file, or None")
        _all_of("routers", self.routers, RouterSpec)
        self._check_names()
        self._check_tree()

    def _check_names(self) -> None:
        _all_different("children", [str(child.stage.id) for child in self.children])
        stages = {child.stage.id.name for child in self.children}
        _all_different("supervisors", [*stages, *(each.name for each in self.supervisors)])
        for subscription in self.subscriptions:
            for option in ("consumer", "producer"):
                name = getattr(subscription, option)
                if name not in stages:
                    raise OptionError(option, "the name of one of the plan's stages", name)

    def _check_tree(self) -> None:
        shuts_down = {"": self.auto_shutdown}
        for supervisor in self.supervisors:
            check_text("name", supervisor.name)
            if supervisor.parent not in shuts_down:
                raise OptionError("parent", "a supervisor named before it", supervisor.parent)
            check_significance(supervisor, shuts_down[supervisor.parent])
            shuts_down[supervisor.name] = supervisor.auto_shutdown
        for child in self.children:
            if child.supervisor not in shuts_down:
                raise OptionError("supervisor", "one of the plan's supervisors", child.supervisor)
            check_significance(child, shuts_down[child.supervisor])

    def options_for(self, subscription: SubscriptionSpec, index: int) -> SubscriptionOptions:
        """The options with which one replica of the consumer subscribes.

        They are the declared ones; from a producer that partitions, a subscription that names no
        partition takes the one with the replica's index.

        Args:
            subscription: one of `subscriptions`.
            index: the consumer's replica, from 0.
        """
        options = subscription.options
        names = self.partitions.get(subscription.producer)
        if names is None or "partition" in options.extra or index >= len(names):
            return options  # without a partition of its own the producer refuses it, by name
        return replace(options, extra={**options.extra, "partition": names[index]})


def check_significance(child: ChildSpec | SupervisorSpec, auto_shutdown: str) -> None:
    """Refuse a significant child of a supervisor that its end has no effect on, as OTP does.

    Args:
        child: the child.
        auto_shutdown: its supervisor's.

    Raises:
        OptionError: the two do not go together.

    Example:
        >>> check_significance(SupervisorSpec(name="s", significant=True), "all_significant")
    """
    if child.significant and auto_shutdown == "never":
        rule = "false where the supervisor's auto_shutdown is never"
        raise OptionError("significant", rule, True, "its end would have no effect")


def _all_of(option: str, values: object, kind: type) -> None:
    listed = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    if not listed or not all(isinstance(each, kind) for each in values):  # type: ignore[attr-defined]
        raise OptionError(option, f"a list of {kind.__name__}", values)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _seconds(option: str, value: float, *, above: bool = False, words: str = "") -> None:
    good = is_number(value) and value >= 0
    if not good or (above and not value):
        rule = f"a number of seconds {'above' if above else 'from'} 0{words}"
        raise OptionError(option, rule, value)


def _choice(option: str, value: object, choices: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise OptionError(option, "one of " + ", ".join(choices), value)


def _check_membership(option: str, supervisor: object, backoff: object) -> None:
    if not isinstance(supervisor, str):
        raise OptionError(option, "a supervisor's name", supervisor)
    if backoff is not None and not isinstance(backoff, Backoff):
        raise OptionError("backoff", "a Backoff or None", backoff)


def _check_significant(significant: object, restart: str) -> None:
    if not isinstance(significant, bool):
        raise OptionError("significant", "true or false", significant)
    if significant and restart == "permanent":
        hint = "a permanent child never ends for good"
        raise OptionError("significant", "false for a permanent child", significant, hint)


def _all_different(option: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise OptionError(option, "of different names", name)
        seen.add(name)
