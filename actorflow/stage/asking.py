"""What a consumer sends to its producers: asks and acknowledgements, at once or in their time.

Pure. A subscription's window says how much it wants; whether that may be sent now is decided here.
What may not is owed, and sent as soon as it may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actorflow.protocol.demand import ManualWindow
from actorflow.protocol.messages import encode_ask
from actorflow.stage.counters import Counter
from actorflow.stage.incoming import Incoming
from actorflow.stage.work import Port

__all__ = ["Asking"]

# Looking a member of an enumeration up takes longer than counting.
_ASKS_OUT, _DEMAND_OUT = int(Counter.ASKS_OUT), int(Counter.DEMAND_OUT)


class Asking:
    """The asks and acknowledgements of all subscriptions of a stage.

    Args:
        port: where frames go.
        counters: the stage's scoreboard slot.
        subscriptions: those that are not over, by ref.
        soon: have `acknowledge` called soon.
    """

    def __init__(
        self,
        port: Port,
        counters: Any,
        subscriptions: Mapping[int, Incoming],
        soon: Callable[[], None],
    ) -> None:
        self._port = port
        self._counters = counters
        self._subscriptions = subscriptions
        self._soon = soon
        self._dirty: set[int] = set()

    # --- demand -----------------------------------------------------------------------------------

    def open(self, incoming: Incoming, *, manual: bool) -> None:
        """A subscription has begun; an automatic one asks at once."""
        if manual:
            incoming.window = ManualWindow(incoming.automatic)
        elif not incoming.ended:
            self.owe(incoming, incoming.automatic.open())

    def by_hand(self, incoming: Incoming, count: int) -> None:
        """The stage asks for more; nothing happens when it cannot know yet that this has ended."""
        if not incoming.ended:
            incoming.automatic.outstanding += count
            self.owe(incoming, count)

    def ask(self, incoming: Incoming, count: int) -> None:
        """Ask for more now, acknowledging on the way what is finished."""
        self._port.send(incoming.link, encode_ask(incoming.prefix, count, incoming.finished))
        incoming.acknowledged = incoming.finished
        if count:
            counters = self._counters
            counters[_ASKS_OUT] += 1
            counters[_DEMAND_OUT] += count

    def want(self, incoming: Incoming, count: int) -> None:
        """Ask for so many more as soon as that may be, and acknowledge what is finished."""
        if incoming.holds:
            self.owe(incoming, count)
        elif count:
            self.ask(incoming, count)
        elif incoming.finished > incoming.acknowledged:
            self.mark_dirty(incoming)

    def owe(self, incoming: Incoming, count: int) -> None:
        """The window wants so many more; they are asked for as soon as they may be."""
        incoming.owed += count
        self.release(incoming)
        if incoming.finished > incoming.acknowledged:
            self.mark_dirty(incoming)

    def release(self, incoming: Incoming) -> None:
        """Ask for what is owed, if that may be done now."""
        if incoming.ended or incoming.follows is not None:
            return
        count, incoming.owed = incoming.owed, 0
        if count:
            self.ask(incoming, count)

    # --- acknowledgements -------------------------------------------------------------------------

    def mark_dirty(self, incoming: Incoming) -> None:
        """Something is finished, and perhaps no ask will carry the news."""
        if not self._dirty:
            self._soon()
        self._dirty.add(incoming.ref)

    def acknowledge(self) -> None:
        """Send the acknowledgements that no ask has carried."""
        dirty, self._dirty = self._dirty, set()
        for ref in dirty:
            incoming = self._subscriptions.get(ref)
            if incoming is not None and incoming.finished > incoming.acknowledged:
                self.ask(incoming, 0)
