"""When a batch starts: the four policies, and the limits of a batcher. Values and pure decisions.

A policy is asked twice: when an item comes, about the state before it goes in, and when capacity
has become free. Ideas from: the Rust library batch-aint-one, whose table of decisions this is, and
Broadway's batchers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_fields, check_integer, check_seconds
from actorflow.records import dataclass

__all__ = [
    "Action",
    "Balanced",
    "Duration",
    "Immediate",
    "Limits",
    "OnFull",
    "Policy",
    "Seen",
    "Size",
    "limits_of",
    "policy_of",
]


class OnFull(Enum):
    """What a `Duration` batch does that is full before its time.

    Example:
        >>> from actorflow.stages.batcher import Duration
        >>> Duration(0.5, on_full=OnFull.WAIT_DEADLINE).on_full
        <OnFull.WAIT_DEADLINE: 'wait_deadline'>
    """

    PROCESS = "process"
    """It starts, as soon as capacity is free."""
    WAIT_DEADLINE = "wait_deadline"
    """It waits for its time; the items behind it open the next batch."""


class Action(Enum):
    """What follows an item's arrival."""

    QUEUE = "queue"
    """Nothing: the item waits."""
    ACQUIRE = "acquire"
    """The newest batch acquires its resources, and goes on filling meanwhile."""
    PROCESS = "process"
    """The front batch starts."""


@dataclass(slots=True)
class Seen:
    """A key as an item finds it. Not frozen: one is made per item.

    Args:
        at_capacity: no batch may start.
        opens: the item opens a batch.
        newest: how many items are in the batch that it joins.
        acquiring: whether that one is acquiring its resources.
        processing: how many batches of the key are being processed.
        front_full: whether, with the item, the front batch is full.
    """

    at_capacity: bool
    opens: bool
    newest: int
    acquiring: bool
    processing: int
    front_full: bool


class Policy:
    """When a batch starts: an `Immediate`, `Size`, `Duration` or `Balanced`, which are values.

    The methods here are those of the ones that wait for nothing but capacity.
    """

    __slots__ = ()

    @property
    def deadline(self) -> float | None:
        """Seconds after which a batch is due, or None for never."""
        return None

    @property
    def front_only(self) -> bool:
        """Whether a batch has to be full or due to start when capacity becomes free."""
        return False

    def on_add(self, seen: Seen) -> Action:
        """What follows an item's arrival."""
        raise NotImplementedError(f"{type(self).__name__} must define on_add")

    def within(self, limits: Limits) -> Policy:
        """This policy as these limits allow it.

        Raises:
            OptionError: they do not.
        """
        return self


@dataclass(frozen=True, slots=True)
class Immediate(Policy):
    """A batch starts as soon as capacity is free: for the shortest wait.

    What comes while all capacity is in use is the next batch.

    Example:
        >>> Immediate().deadline is None
        True
    """

    def on_add(self, seen: Seen) -> Action:
        """What follows an item's arrival."""
        if seen.at_capacity or not seen.opens:
            return Action.QUEUE
        return Action.ACQUIRE


@dataclass(frozen=True, slots=True)
class Size(Policy):
    """A batch starts when it is full: for the best use of what processes it.

    Args:
        linger: seconds after which a batch that is not full starts too, from 0; None for never.
            Without it a part of a batch waits for as long as no more items come.

    Raises:
        OptionError: `linger` breaks its rule.

    Example:
        >>> Size(linger=1.0).deadline
        1.0
    """

    linger: float | None = None

    def __post_init__(self) -> None:
        if self.linger is not None:
            check_seconds("linger", self.linger)

    @property
    def deadline(self) -> float | None:
        """Seconds after which a batch is due, or None for never."""
        return self.linger

    @property
    def front_only(self) -> bool:
        """Whether a batch has to be full or due to start when capacity becomes free."""
        return True

    def on_add(self, seen: Seen) -> Action:
        """What follows an item's arrival."""
        starts = seen.front_full and not seen.at_capacity
        return Action.PROCESS if starts else Action.QUEUE


@dataclass(frozen=True, slots=True)
class Duration(Policy):
    """A batch starts so many seconds after its first item: for a regular pace.

    Args:
        seconds: after which a batch starts, from 0.
        on_full: what a batch does that is full before: an `OnFull`, or its value as text;
            ``"reject"`` is another word for ``"wait_deadline"``.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> Duration(0.5).on_full
        <OnFull.PROCESS: 'process'>
    """

    seconds: float
    on_full: OnFull | Literal["process", "wait_deadline", "reject"] = OnFull.PROCESS

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)
        if isinstance(self.on_full, OnFull):
            return
        known = {"reject": OnFull.WAIT_DEADLINE, **{each.value: each for each in OnFull}}
        given: Any = self.on_full
        if not isinstance(given, str) or given not in known:
            raise OptionError("on_full", "one of process, wait_deadline, reject", given)
        object.__setattr__(self, "on_full", known[given])

    @property
    def deadline(self) -> float | None:
        """Seconds after which a batch is due, or None for never."""
        return self.seconds

    @property
    def front_only(self) -> bool:
        """Whether a batch has to be full or due to start when capacity becomes free."""
        return True

    def on_add(self, seen: Seen) -> Action:
        """What follows an item's arrival; a batch of one item is full when it is opened."""
        starts = seen.front_full and not seen.at_capacity
        if starts and self.on_full is OnFull.PROCESS:
            return Action.PROCESS
        return Action.QUEUE


@dataclass(frozen=True, slots=True)
class Balanced(Policy):
    """The first batch starts at once; while one is under way the next waits until it is worth it.

    Nagle's rule for batches: good at moderate load, where `Immediate` makes many small ones.

    Args:
        min_size_hint: with so many items another batch starts beside those under way, from 1.
        clamp: whether a hint above `Limits.max_batch_size` is taken for that size, with a line in
            the log; otherwise it is refused.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> Balanced(500).within(Limits(max_batch_size=100)).min_size_hint
        100
    """

    min_size_hint: int
    clamp: bool = True

    def __post_init__(self) -> None:
        check_integer("min_size_hint", self.min_size_hint, 1)
        if type(self.clamp) is not bool:
            raise OptionError("clamp", "true or false", self.clamp)

    def on_add(self, seen: Seen) -> Action:
        """What follows an item's arrival."""
        if seen.at_capacity:
            return Action.QUEUE
        if seen.opens and not seen.processing:
            return Action.ACQUIRE
        if seen.newest >= self.min_size_hint - 1 and not seen.acquiring:
            return Action.ACQUIRE
        return Action.QUEUE

    def within(self, limits: Limits) -> Balanced:
        """This policy as these limits allow it.

        Raises:
            OptionError: the hint is above the batch size, and is not to be clamped.
        """
        most = limits.max_batch_size
        if self.min_size_hint <= most:
            return self
        if not self.clamp:
            raise OptionError(
                "min_size_hint", f"at most max_batch_size, {most}", self.min_size_hint
            )
        return Balanced(most)


_POLICIES: dict[str, type[Immediate | Size | Duration | Balanced]] = {
    "immediate": Immediate,
    "size": Size,
    "duration": Duration,
    "balanced": Balanced,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large batches are, how many run, and how many wait.

    Args:
        max_batch_size: items in a batch, from 1.
        max_key_concurrency: batches of one key under way at the same time, those that acquire
            their resources included, from 1.
        max_batch_queue_size: batches of one key that wait, the open one included, from 1; the
            default is twice `max_key_concurrency`.
        max_total_concurrency: batches of all keys under way, from 1; None for no limit. Keys take
            turns.
        max_batch_bytes: the weight of a batch, from 1; None for no limit. A batch is closed before
            the item that does not fit; a larger item is a batch of its own.

    Raises:
        OptionError: a limit is no integer from 1.

    Example:
        >>> Limits(max_key_concurrency=4).queue_size
        8
        >>> Limits(max_batch_size=0)
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: max_batch_size must be an integer of at least 1, got 0
    """

    max_batch_size: int = 100
    max_key_concurrency: int = 10
    max_batch_queue_size: int | None = None
    max_total_concurrency: int | None = None
    max_batch_bytes: int | None = None

    def __post_init__(self) -> None:
        check_integer("max_batch_size", self.max_batch_size, 1)
        check_integer("max_key_concurrency", self.max_key_concurrency, 1)
        for name in ("max_batch_queue_size", "max_total_concurrency", "max_batch_bytes"):
            value = getattr(self, name)
            if value is not None:
                check_integer(name, value, 1)

    @property
    def queue_size(self) -> int:
        """`max_batch_queue_size`, or what it is by default."""
        return self.max_batch_queue_size or 2 * self.max_key_concurrency


def limits_of(given: object) -> Limits:
    """Limits from limits, from a map of their fields, or from None.

    Raises:
        OptionError: it is none of them, or a limit breaks its rule.

    Example:
        >>> limits_of({"max_batch_size": 5}).max_batch_size
        5
    """
    if given is None:
        return Limits()
    if isinstance(given, Limits):
        return given
    known = [each.name for each in fields(Limits)]
    rule = "Limits, or a map with some of " + ", ".join(known)
    return Limits(**check_fields("limits", given, known, rule))


def policy_of(given: object) -> Policy:
    """A policy from a policy, from its name, or from a map of its name to its arguments.

    Raises:
        OptionError: it is none of them, or an argument breaks its rule.

    Example:
        >>> policy_of({"size": {"linger": 2}})
        Size(linger=2)
        >>> policy_of("immediate")
        Immediate()
    """
    if isinstance(given, Policy):
        return given
    name: object = given
    arguments: object = {}
    if isinstance(given, Mapping) and len(given) == 1:
        name, arguments = next(iter(given.items()))
    kind = _POLICIES.get(name) if isinstance(name, str) else None
    rule = "a policy, or one of " + ", ".join(_POLICIES) + ", or a map of one to its arguments"
    if kind is None or not isinstance(arguments, Mapping):
        raise OptionError("policy", rule, given)
    known = [each.name for each in fields(kind)]
    takes = f"with what {name} takes: {', '.join(known) or 'nothing'}"
    check_fields("policy", arguments, known, takes)
    try:
        return kind(**arguments)
    except TypeError as error:
        raise OptionError("policy", rule, given, str(error)) from error
