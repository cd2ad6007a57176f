"""The parts of a declared topology: a stage, a subscription, the supervisor, the defaults.

Each is checked when it is made. What can be judged only together is `Topology.problems`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import field, fields
from typing import Any, Literal, TypedDict

from actorflow.errors import OptionError, Problem, TopologyError
from actorflow.protocol.codec import CodecOption
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.records import dataclass
from actorflow.stage.behaviour import Stage
from actorflow.stage.on_error import OnError
from actorflow.stage.options import DispatcherOption
from actorflow.stage.place import ProgramSource
from actorflow.supervision.specs import (
    Backoff,
    DynamicSupervisorSpec,
    Intensity,
    SupervisorSpec,
)
from actorflow.topology.keys import (
    DEFAULTS,
    STAGE,
    SUBSCRIPTION,
    SUPERVISOR,
    TOPOLOGY,
    stage_option_names,
)
from actorflow.topology.report import did_you_mean

__all__ = [
    "Defaults",
    "StageDeclaration",
    "StageKeywords",
    "SubscribeTo",
    "SupervisorDeclaration",
    "SupervisorOptions",
    "refuse_unless",
    "refuse_unless_all",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorOptions:
    """How failures are met.

    Args:
        strategy: who is restarted when a stage ends badly: ``"one_for_one"``, it alone;
            ``"one_for_all"``, every stage; ``"rest_for_one"``, it and those started after it.
        order: how its children start and stop: ``"together"``, in order without waiting for each
            other; ``"one_by_one"``, each starts when the one before it has started, and is stopped
            when the one after it is gone, as in OTP.
        max_restarts: more restarts than this within `max_seconds` end the run, from 0.
        max_seconds: the time that `max_restarts` is about, above 0.
        auto_shutdown: whether the run ends when a significant child has ended for good:
            ``"never"``, ``"any_significant"``, or ``"all_significant"`` for the last of them.
        ends_when_idle: whether the run is drained once nothing more can flow in it by itself: every
            source has ended, or has lost for good whoever took its events.

    Raises:
        OptionError: a value breaks its rule.

    Example:
        >>> SupervisorOptions(strategy="rest_for_one").max_restarts
        3
    """

    strategy: str = "one_for_one"
    order: str = "together"
    max_restarts: int = 3
    max_seconds: float = 5.0
    auto_shutdown: str = "never"
    ends_when_idle: bool = False

    def __post_init__(self) -> None:
        SUPERVISOR.check(**_values(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorDeclaration:
    """A supervisor of some of a topology's stages, with rules of its own.

    Args:
        name: letters, digits, ``_`` and ``-``, starting with a letter or ``_``; unlike any stage's.
        stages: the names of the stages that are its children.
        inside: the supervisor that it is a child of; None for the run's own.
        strategy: as for `SupervisorOptions`, among its own children.
        order: likewise.
        max_restarts: with more restarts than this within `max_seconds` it gives up, from 0.
        max_seconds: the time that `max_restarts` is about, above 0.
        auto_shutdown: as for `SupervisorOptions`: whether it shuts down.
        restart: when it is started again: ``"transient"``, when it has given up;
            ``"permanent"``, also when it has shut down; ``"temporary"``, never.
        significant: whether its own end may shut down the supervisor that it is in.
        backoff: how long its restarts wait; None for not at all.
        dynamic: whether it has no stages at first, and children are started while the run goes on.
        max_children: how many of them there may be at once, from 1; None for no limit.
        shards: how many parts a dynamic supervisor has, from 1.

    Raises:
        OptionError: a value breaks its rule.
    """

    name: str
    stages: tuple[str, ...] = ()
    inside: str | None = None
    strategy: str = "one_for_one"
    order: str = "together"
    max_restarts: int = 3
    max_seconds: float = 5.0
    auto_shutdown: str = "never"
    restart: str = "transient"
    significant: bool = False
    backoff: Backoff | None = None
    dynamic: bool = False
    max_children: int | None = None
    shards: int = 1

    def __post_init__(self) -> None:
        TOPOLOGY.check(name=self.name)
        refuse_unless_all("stages", self.stages, str)
        if self.dynamic and self.stages:
            hint = "its children are started while the run goes on"
            raise OptionError("stages", "empty for a dynamic supervisor", self.stages, hint)
        if self.inside is not None:
            refuse_unless("inside", self.inside, str)
        self.spec()

    def spec(self) -> SupervisorSpec:
        """What the run's supervisor is given."""
        spec = SupervisorSpec(
            name=self.name,
            parent=self.inside or "",
            strategy=self.strategy,
            order=self.order,
            intensity=Intensity(max_restarts=self.max_restarts, max_seconds=self.max_seconds),
            restart=self.restart,
            auto_shutdown=self.auto_shutdown,
            significant=self.significant,
            backoff=self.backoff,
        )
        if not self.dynamic:
            return spec
        values = _values(spec) | {"max_children": self.max_children, "shards": self.shards}
        return DynamicSupervisorSpec(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds where a stage or a subscription says nothing itself; None leaves it as it is.

    Args:
        delivery: of the stages; it goes before what their classes say.
        codec: of the stages that emit.
        shared_memory: of the stages that emit: bytes, or a text such as ``"64 MiB"``; 0 for none.
        busy_poll: of the stages: seconds from 0 to 0.01.
        scheduling: of the stages: ``"batch"`` or ``"normal"``.
        restart: of the stages.
        shutdown: of the stages, seconds from 0, ``"brutal_kill"`` or ``"infinity"``.
        start_within: of the stages, seconds above 0.
        max_demand: of the subscriptions, from 1, or ``"auto"``.
        cancel: of the subscriptions.

    Raises:
        OptionError: a value breaks its rule.

    Example:
        >>> Defaults(delivery="at_most_once").delivery
        'at_most_once'
    """

    delivery: str | None = None
    codec: CodecOption | None = None
    shared_memory: int | str | None = None
    busy_poll: float | None = None
    scheduling: str | None = None
    restart: str | None = None
    shutdown: float | str | None = None
    start_within: float | None = None
    max_demand: int | Literal["auto"] | None = None
    cancel: str | None = None

    def __post_init__(self) -> None:
        DEFAULTS.check(**_given(_values(self)))


@dataclass(frozen=True, slots=True)
class SubscribeTo:
    """A declared subscription of a stage; None leaves an option to the topology's defaults.

    Args:
        to: the name of the stage to take events from.
        max_demand: how many events may be under way, from 1; or ``"auto"``.
        min_demand: when no more than this many are left the consumer asks again, from 0 to
            ``max_demand - 1``.
        cancel: ``"permanent"``, ``"transient"`` or ``"temporary"``.
        rate: at most so many events per second, above 0; None for no limit.
        burst: with a rate, how many may come at once after a quiet time, from 1.
        partition: which partition to take from a producer that partitions; None gives replica 0
            the first, replica 1 the second, and so on.
        selector: which events to take from a producer that broadcasts: a function at the top level
            of a module, or its ``"module:function"``.
        extra: options for a dispatcher of your own, plain data by name.
        shared_fate: for a stage with members, whose bad ends count for `cancel`: True, its own and
            its members'; False, nobody's; None, its own alone.

    Raises:
        OptionError: a value breaks its rule.

    Example:
        >>> SubscribeTo("count", max_demand=10, min_demand=5).cancel is None
        True
    """

    to: str
    max_demand: int | Literal["auto"] | None = field(default=None, kw_only=True)
    min_demand: int | None = field(default=None, kw_only=True)
    cancel: str | None = field(default=None, kw_only=True)
    rate: float | None = field(default=None, kw_only=True)
    burst: int | None = field(default=None, kw_only=True)
    partition: Hashable | None = field(default=None, kw_only=True)
    selector: Any = field(default=None, kw_only=True)
    extra: Mapping[str, Any] | None = field(default=None, kw_only=True)
    shared_fate: bool | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        SUBSCRIPTION.check(**{"to": self.to, **_given(_values(self))})
        if self.max_demand is not None or self.burst is not None:
            self.options(Defaults())
        if callable(self.selector):
            object.__setattr__(self, "selector", _importable("selector", self.selector))
        if self.extra is not None:
            _refuse_bad_extra(self.extra)

    def options(self, defaults: Defaults) -> SubscriptionOptions:
        """The subscription's options with a topology's defaults filled in.

        Raises:
            OptionError: `max_demand` and `min_demand` do not go together.
        """
        given: dict[str, Any] = {
            "max_demand": defaults.max_demand if self.max_demand is None else self.max_demand,
            "min_demand": self.min_demand,
            "cancel": defaults.cancel if self.cancel is None else self.cancel,
            "rate": self.rate,
            "burst": self.burst,
        }
        known = {"partition": self.partition, "selector": self.selector}
        extra = {**(self.extra or {}), **_given(known)}
        return SubscriptionOptions(**_given(given), extra=extra)

    @classmethod
    def of(cls, entry: object) -> SubscribeTo:
        """A subscription from a name, a map with ``to`` and options, or a `SubscribeTo`.

        Raises:
            OptionError: it is none of them, or an option breaks its rule.
            TopologyError: a map has an unknown key.

        Example:
            >>> SubscribeTo.of({"to": "count", "max_demand": 10}).max_demand
            10
        """
        if isinstance(entry, SubscribeTo):
            return entry
        if isinstance(entry, str):
            return cls(entry)
        if not isinstance(entry, Mapping) or "to" not in entry:
            rule = "a stage's name, a SubscribeTo, or a map with to"
            raise OptionError("subscribe_to", f"a list of these: {rule}", entry)
        known = [each.name for each in fields(cls)]
        unknown = [name for name in entry if name not in known]
        if unknown:
            raise TopologyError(_unknown("key", unknown, known, "subscribe_to"))
        return cls(**entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDeclaration:
    """A declared stage; None leaves an option to the topology's defaults or to the class.

    Args:
        name: letters, digits, ``_`` and ``-``, starting with a letter or ``_``.
        use: the class, a subclass of Producer, ProducerConsumer or Consumer.
        args: the constructor's keyword arguments.
        replicas: how many processes of it there are, from 1 to 10 000.
        restart: ``"permanent"``, ``"transient"`` or ``"temporary"``.
        shutdown: seconds from being asked to stop until it is killed, from 0;
            ``"brutal_kill"`` or ``"infinity"``.
        start_within: seconds from its start until it must be ready, above 0.
        subscribe_to: the stages to take events from; None for what the class says.
        members: the producers that those who subscribe to it are joined with; None for a stage
            that manages no others.
        options: those fields of `StageOptions` that are given, by name.
        source: what `use` reads when the stage lives in the program, or None.
        backoff: how long its restarts wait; None for not at all.
        significant: whether its end may shut its supervisor down.

    Raises:
        OptionError: a value breaks its rule.
        TopologyError: `options` has an unknown name.
    """

    name: str
    use: type[Stage]
    args: Mapping[str, Any] = field(default_factory=dict)
    replicas: int = 1
    restart: str | None = None
    shutdown: float | str | None = None
    start_within: float | None = None
    subscribe_to: tuple[SubscribeTo, ...] | None = None
    members: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    source: ProgramSource | None = None
    backoff: Backoff | None = None
    significant: bool = False

    def __post_init__(self) -> None:
        TOPOLOGY.check(name=self.name)
        if self.source is not None:
            self._check_source()
        own = {name: getattr(self, name) for name in ("restart", "shutdown", "start_within")}
        own["significant"] = self.significant
        STAGE.check(use=self.use, replicas=self.replicas, **_given(own))
        if self.backoff is not None:
            refuse_unless("backoff", self.backoff, Backoff)
        if self.subscribe_to is not None:
            refuse_unless_all("subscribe_to", self.subscribe_to, SubscribeTo)
        if self.members is not None:
            refuse_unless_all("members", self.members, str)
        refuse_unless("options", self.options, Mapping)
        args: object = self.args
        if not isinstance(args, Mapping) or not all(isinstance(name, str) for name in args):
            raise OptionError("args", "a map from names to values", args)
        known = stage_option_names()
        unknown = [name for name in self.options if name not in known]
        if unknown:
            # Those that `Topology.stage` has by name can be misspelt too.
            hidden = ("name", "use", "source", "options")
            near = (*known, *(each.name for each in fields(self) if each.name not in hidden))
            raise TopologyError(_unknown("option", unknown, near, f"stages.{self.name}"))
        STAGE.check(**self.options)

    def _check_source(self) -> None:
        """Refuse what has no meaning for a stage that reads an iterable of the program."""
        if self.replicas != 1:
            raise OptionError("replicas", "1 for a source in the program", self.replicas)
        if self.args:
            raise OptionError("args", "left out for a source in the program", self.args)
        if self.restart not in (None, "temporary"):
            rule = "temporary, or left out, for a source in the program"
            raise OptionError("restart", rule, self.restart, "it cannot be begun again")


class StageKeywords(TypedDict, total=False):
    """The fields of `StageOptions`, as keyword arguments that may be left out."""

    buffer_size: int | None
    max_unfinished: int | None
    buffer_keep: str
    when_no_consumers: str
    dispatcher: DispatcherOption
    demand: str
    poll_interval: float | None
    delivery: str
    codec: CodecOption
    shared_memory: int | str
    busy_poll: float
    scheduling: str
    on_error: str | Mapping[str, Any] | OnError
    max_deliveries: int | None


def refuse_unless(option: str, value: object, kind: type) -> None:
    """Refuse an argument that is not of a type.

    Raises:
        OptionError: it is not.
    """
    if not isinstance(value, kind):
        raise OptionError(option, f"a {kind.__name__}", value)


def refuse_unless_all(option: str, values: object, kind: type) -> None:
    """Refuse an argument that is not a tuple of values of a type.

    Raises:
        OptionError: it is not.
    """
    if not isinstance(values, tuple) or not all(isinstance(value, kind) for value in values):
        raise OptionError(option, f"a tuple of {kind.__name__}", values)


def _values(instance: Any) -> dict[str, Any]:
    return {each.name: getattr(instance, each.name) for each in fields(instance)}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _unknown(what: str, names: Iterable[object], known: Iterable[str], path: str) -> list[Problem]:
    return [Problem(f"unknown {what} {name!r}{did_you_mean(name, known)}", path) for name in names]


def _refuse_bad_extra(extra: object) -> None:
    """Options of one's own have names, and not those of the others."""
    taken = ("max_demand", "min_demand", "cancel", "partition", "selector", "version")
    if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
        raise OptionError("extra", "a map from names to plain data", extra)
    for name in extra:
        if name in taken:
            raise OptionError("extra", "options of your own", name, f"{name} has a key of its own")
    SubscriptionOptions(extra=extra)


def _importable(option: str, function: Any) -> str:
    """A function's ``module:name``: it must travel to another process in a plain message."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        hint = "another process cannot import a lambda or a function of the main script"
        raise OptionError(option, "a function at the top level of a module", function, hint)
    return f"{module}:{name}"
