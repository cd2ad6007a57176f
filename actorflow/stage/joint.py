"""The joint of a producer-consumer's halves: when it takes its next input, and when one is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.counters import Counter
from actorflow.stage.incoming import Taken
from actorflow.stage.producing import ProducingHalf

__all__ = ["AheadJoint", "Joint"]

# Looking a member of an enumeration up takes longer than counting.
_UNACKNOWLEDGED = int(Counter.UNACKNOWLEDGED)


class Joint:
    """What happens between the input of a producer-consumer and its output.

    Args:
        consuming: where input comes from.
        producing: where output goes.
        returned: emits what the callback of this name returned; raises for what it may not return.
        busy: the queue of callbacks: nothing more is taken while one is waiting.
        counters: the stage's scoreboard slot.
    """

    __slots__ = ("_busy", "_consuming", "_counters", "_producing", "_returned")

    def __init__(
        self,
        consuming: ConsumingHalf,
        producing: ProducingHalf,
        returned: Callable[[Any, str], None],
        busy: Any,
        counters: Any,
    ) -> None:
        self._consuming = consuming
        self._producing = producing
        self._returned = returned
        self._busy = busy
        self._counters = counters

    def pull(self) -> None:
        """Take the next input while there is demand for output.

        What costs no demand (an end, an info, a notification) is taken as soon as it is the oldest.
        """
        consuming, producing = self._consuming, self._producing
        while consuming.inbound and not self._busy:
            wanted = not producing.buffer.entries and producing.dispatcher.capacity > 0
            if not wanted and not consuming.next_is_free:
                return
            consuming.take_next()

    def handled(self, taken: Taken, result: Any, seconds: float) -> None:
        """Emit what was made from a batch, then refill, and note what is finished."""
        if result is not None:
            self._returned(result, "handle_events")
        consuming, producing = self._consuming, self._producing
        consuming.handled(taken, seconds, producing.emitted)
        if taken.seq and not (producing.keeps and self._counters[_UNACKNOWLEDGED]):
            # While outputs are under way, their acknowledgement is what finishes inputs; an empty
            # list of outputs, or a buffer that dropped them, brings none.
            consuming.outputs_finished(producing.lowest_unfinished)


class AheadJoint(Joint):
    """The joint of a stage that works ahead of the demand for what it makes."""

    __slots__ = ()

    def pull(self) -> None:
        """Take the next input, whatever its consumers want: the stage limits what it asks for."""
        while self._consuming.inbound and not self._busy:
            self._consuming.take_next()
