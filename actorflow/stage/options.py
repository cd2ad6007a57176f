"""A stage's options, checked when they are given."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from actorflow.dispatch.base import Dispatcher
from actorflow.errors import OptionError
from actorflow.protocol.codec import CodecOption, check_codec
from actorflow.protocol.framing import LARGE
from actorflow.records import dataclass
from actorflow.stage.on_error import OnError

__all__ = [
    "DELIVERY_MODES",
    "DEMAND_MODES",
    "EXACTLY_ONCE",
    "KEEP_MODES",
    "NO_CONSUMERS",
    "SUBSCRIPTION_MODES",
    "DispatcherOption",
    "StageOptions",
    "bytes_of",
]

DispatcherOption = str | type[Dispatcher] | Dispatcher | Mapping[Any, Any]
"""What describes a dispatcher: see `StageOptions`."""

EXACTLY_ONCE = "exactly_once"
DELIVERY_MODES = ("at_least_once", "at_most_once", EXACTLY_ONCE)
DEMAND_MODES = ("forward", "accumulate")
SUBSCRIPTION_MODES = ("automatic", "manual")
KEEP_MODES = ("first", "last")
NO_CONSUMERS = ("buffer", "discard")
SCHEDULINGS = ("batch", "normal")
MOST_SHARED = 1 << 40
LONGEST_BUSY_POLL = 0.01
"""Seconds; what a process waits for this long is better slept for."""

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,15}) ?(" + "|".join(_UNITS) + ")")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOptions:
    """How a stage produces.

    Each is an option of the topology; all but `delivery`, `codec`, `shared_memory`,
    `busy_poll` and `scheduling` may be class attributes of the stage, too.

    Args:
        buffer_size: how many emitted events may wait for demand, from 0; None for no limit. The
            default is 10 000 for a producer and no limit for a producer-consumer.
        buffer_keep: which events survive when the buffer is full: ``"last"`` or ``"first"``.
        when_no_consumers: what becomes of events emitted while nobody is subscribed, being
            restarted or declared and still to come: ``"buffer"``, or ``"discard"``, which counts
            them and tells `handle_discarded`.
        dispatcher: ``"demand"``, ``"broadcast"``, or a map with one of these names or
            ``"partition"`` as its key and the dispatcher's options as its value. A dispatcher of
            your own: its class or its ``"module:Class"`` in the place of the name, or an instance.
        demand: ``"forward"``, or ``"accumulate"`` to hold demand until told otherwise.
        poll_interval: seconds after which a producer with unmet demand is asked again, or None.
        delivery: ``"at_least_once"``, ``"at_most_once"`` or ``"exactly_once"``.
        max_unfinished: how many events one consumer may have that are not finished to the end,
            from 1, and a window full at least; then it gets no more until it has finished some.
            None for no limit.
        codec: how emitted events are encoded: ``"auto"``, ``"msgpack"``, ``"pickle"``, or
            ``{"msgspec": "module:Class"}`` where all are of one class.
        shared_memory: how much memory a stage may share with its consumers, for buffers of 64 KiB
            and more in what it emits: bytes, or a text such as ``"64 MiB"``; from 64 KiB to 1024
            GiB, or 0 for none. Only what is used of it takes memory.
        busy_poll: for how many seconds the stage's process looks again for messages before it
            sleeps, while they come one soon after the other; from 0, which sleeps at once, to 0.01.
            A process that waits for longer sleeps without looking again.
        scheduling: what the stage's process does when it is woken and others have the processors:
            ``"batch"`` waits for its turn, ``"normal"`` may take a processor from whoever has it.
            Only Linux knows the difference.
        on_error: what becomes of an event for which `handle_events` raises: ``"restart"``,
            ``"retry"``, ``"skip"``, ``"dead_letter"``, or a map from ``retry`` to the options of a
            `Retry`.
        max_deliveries: how often an event may be delivered that ends its consumer's life, from 1,
            before it is given up too. None for any number of times, or, in a topology where there
            is somewhere for it to go, 3.

    Raises:
        OptionError: a value breaks its rule; it names the option, the rule and the value.

    Example:
        >>> StageOptions(buffer_size=5, buffer_keep="first").buffer_keep
        'first'
    """

    buffer_size: int | None = 10_000
    buffer_keep: str = "last"
    when_no_consumers: str = "buffer"
    dispatcher: DispatcherOption = "demand"
    demand: str = "forward"
    poll_interval: float | None = None
    delivery: str = "at_least_once"
    max_unfinished: int | None = 100_000
    codec: CodecOption = "auto"
    shared_memory: int | str = "64 MiB"
    busy_poll: float = 0.0002
    scheduling: str = "batch"
    on_error: str | Mapping[str, Any] | OnError = "restart"
    max_deliveries: int | None = None

    def __post_init__(self) -> None:
        size = self.buffer_size
        if size is not None and (type(size) is not int or size < 0):
            raise OptionError("buffer_size", "an integer of at least 0, or none for no limit", size)
        most = self.max_unfinished
        if most is not None and (type(most) is not int or most < 1):
            rule = "an integer of at least 1, or none for no limit"
            raise OptionError("max_unfinished", rule, most)
        if not isinstance(self.dispatcher, str | type | Dispatcher | Mapping):
            rule = "a dispatcher's name, its class, or a map from one of these to its options"
            raise OptionError("dispatcher", rule, self.dispatcher)
        deliveries = self.max_deliveries
        if deliveries is not None and (type(deliveries) is not int or deliveries < 1):
            rule = "an integer of at least 1, or none for no limit"
            raise OptionError("max_deliveries", rule, deliveries)
        shared = bytes_of(self.shared_memory)
        if shared is None or (shared and not LARGE <= shared <= MOST_SHARED):
            rule = 'a number of bytes or a text like "64 MiB", from 64 KiB to 1024 GiB, or 0'
            raise OptionError("shared_memory", rule, self.shared_memory)
        busy = self.busy_poll
        if type(busy) not in (int, float) or not 0 <= busy <= LONGEST_BUSY_POLL:
            rule = f"a number of seconds from 0 to {LONGEST_BUSY_POLL:g}"
            raise OptionError("busy_poll", rule, busy)
        OnError.of(self.on_error)
        _one_of("buffer_keep", self.buffer_keep, KEEP_MODES)
        _one_of("when_no_consumers", self.when_no_consumers, NO_CONSUMERS)
        _one_of("demand", self.demand, DEMAND_MODES)
        _one_of("delivery", self.delivery, DELIVERY_MODES)
        _one_of("scheduling", self.scheduling, SCHEDULINGS)
        check_codec(self.codec)
        interval = self.poll_interval
        if interval is not None and (
            type(interval) not in (int, float) or not 0 < interval < math.inf
        ):
            raise OptionError("poll_interval", "a number of seconds above 0", interval)

    @property
    def shared_bytes(self) -> int:
        """`shared_memory` in bytes."""
        return bytes_of(self.shared_memory) or 0


def bytes_of(size: object) -> int | None:
    """How many bytes that is; None when it is no size.

    Args:
        size: a whole number of bytes from 0, or a text of a whole number and a unit: ``B``,
            ``KiB``, ``MiB`` or ``GiB``.

    Example:
        >>> bytes_of(4096), bytes_of("64 MiB"), bytes_of("2GiB"), bytes_of("64 MB"), bytes_of(-1)
        (4096, 67108864, 2147483648, None, None)
    """
    if type(size) is int and size >= 0:
        return size
    written = _SIZE.fullmatch(size) if isinstance(size, str) else None
    return None if written is None else int(written[1]) * _UNITS[written[2]]


def _one_of(option: str, value: object, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise OptionError(option, "one of " + ", ".join(accepted), value)
