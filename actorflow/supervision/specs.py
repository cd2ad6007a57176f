"""What a supervisor is told about a child before it exists."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from actorflow.errors import OptionError
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.stage.spec import StageSpec

__all__ = [
    "RESTARTS",
    "STRATEGIES",
    "ChildSpec",
    "Intensity",
    "Plan",
    "StageSpec",
    "SubscriptionSpec",
]

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "transient", "temporary")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A child of a supervisor: OTP's child specification.

    Args:
        stage: what to run.
        restart: ``"permanent"`` (always), ``"transient"`` (when it ends badly; the default) or
            ``"temporary"`` (never).
        shutdown: seconds from being asked to stop until it is killed, from 0.
        start_within: seconds from its start until it must be ready.

    Raises:
        OptionError: an option breaks its rule.
    """

    stage: StageSpec
    restart: str = "transient"
    shutdown: float = 5.0
    start_within: float = 30.0

    def __post_init__(self) -> None:
        if self.restart not in RESTARTS:
            raise OptionError("restart", "one of " + ", ".join(RESTARTS), self.restart)
        _seconds("shutdown", self.shutdown)
        _seconds("start_within", self.start_within)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionSpec:
    """A declared subscription: every replica of `consumer` to every replica of `producer`."""

    consumer: str
    producer: str
    options: SubscriptionOptions = field(default_factory=SubscriptionOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """How many restarts are bearable: more than `max_restarts` in `max_seconds` end the run.

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
class Plan:
    """What a supervisor runs: its children in start order, who subscribes to whom, and its rules.

    Args:
        name: the run's name.
        children: one for each replica of each stage, in start order; they stop in reverse.
        subscriptions: the declared subscriptions, by stage name.
        strategy: who is restarted when a child ends badly: ``"one_for_one"`` (it alone),
            ``"one_for_all"`` (everybody) or ``"rest_for_one"`` (it and those started after it).
        intensity: how many restarts are bearable.
        import_paths: folders that the children's import path begins with.
        preload: modules that are imported before the first child is forked.
        partitions: for each stage with a partition dispatcher, its partitions in order.
    """

    name: str
    children: Sequence[ChildSpec]
    subscriptions: Sequence[SubscriptionSpec] = ()
    strategy: str = "one_for_one"
    intensity: Intensity = field(default_factory=Intensity)
    import_paths: Sequence[str] = ()
    preload: Sequence[str] = ()
    partitions: Mapping[str, Sequence[Hashable]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise OptionError("strategy", "one of " + ", ".join(STRATEGIES), self.strategy)
        ids = [child.stage.id for child in self.children]
        for index, each in enumerate(ids):
            if each in ids[:index]:
                raise OptionError("children", "of different names", str(each))

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
        if names is None or "partition" in options.extra:
            return options
        return replace(options, extra={**options.extra, "partition": names[index]})


def _seconds(option: str, value: object, *, above: bool = False) -> None:
    good = type(value) in (int, float) and 0 <= value < math.inf  # type: ignore[operator]
    if not good or (above and not value):
        raise OptionError(option, f"a number of seconds {'above' if above else 'from'} 0", value)
