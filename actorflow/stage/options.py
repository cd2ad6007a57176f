"""A stage's options, checked when they are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from actorflow.dispatch.base import Dispatcher
from actorflow.errors import OptionError
from actorflow.protocol.codec import CodecOption, check_codec
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
]

DispatcherOption = str | type[Dispatcher] | Dispatcher | Mapping[Any, Any]
"""What describes a dispatcher: see `StageOptions`."""

EXACTLY_ONCE = "exactly_once"
DELIVERY_MODES = ("at_least_once", "at_most_once", EXACTLY_ONCE)
DEMAND_MODES = ("forward", "accumulate")
SUBSCRIPTION_MODES = ("automatic", "manual")
KEEP_MODES = ("first", "last")
NO_CONSUMERS = ("buffer", "discard")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOptions:
    """How a stage produces.

    Each is an option of the topology; all but `delivery` and `codec` may be class attributes of the
    stage, too.

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
        OnError.of(self.on_error)
        _one_of("buffer_keep", self.buffer_keep, KEEP_MODES)
        _one_of("when_no_consumers", self.when_no_consumers, NO_CONSUMERS)
        _one_of("demand", self.demand, DEMAND_MODES)
        _one_of("delivery", self.delivery, DELIVERY_MODES)
        check_codec(self.codec)
        interval = self.poll_interval
        if interval is not None and (
            type(interval) not in (int, float) or not 0 < interval < math.inf
        ):
            raise OptionError("poll_interval", "a number of seconds above 0", interval)


def _one_of(option: str, value: object, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise OptionError(option, "one of " + ", ".join(accepted), value)
