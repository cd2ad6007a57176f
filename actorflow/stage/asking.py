"""What a consumer sends to its producers: asks and acknowledgements, at once or in their time.

Pure. A subscription's window says how much it wants; whether that may be sent now is decided here.
What may not is owed, and sent as soon as it may: because the subscription is paused, waits for the
one that it replaces, or is limited in rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actorflow.protocol.demand import ManualWindow
from actorflow.protocol.limited import LimitedWindow
from actorflow.protocol.rate import RateLimit, TokenBucket
from actorflow.protocol.wire import encode_ask
from actorflow.records import dataclass
from actorflow.stage.incoming import Incoming, Taken
from actorflow.stage.work import Port

__all__ = ["PROGRAM", "STAGE", "Asking", "Time"]

STAGE, PROGRAM = "stage", "program"
"""Who may pause a subscription; each lifts only its own pause."""


@dataclass(frozen=True, slots=True)
class Time:
    """The stage's clock and timers.

    Args:
        now: the time, seconds, monotonic.
        after: have something called in so many seconds.
        soon: have `Asking.acknowledge` called soon.
    """

    now: Callable[[], float]
    after: Callable[[float, Callable[[], None]], None]
    soon: Callable[[], None]


@dataclass(slots=True)
class _Kept:
    """A subscription whose producer is being started again, and what the stage has set on it."""

    stage: str
    options: Mapping[str, Any]
    paused: bool
    limit: RateLimit | None
    limited: bool


class Asking:
    """The asks and acknowledgements of all subscriptions of a stage.

    Args:
        port: where frames go.
        subscriptions: those that are not over, by ref.
        in_hand: the batches that are taken and not handled.
        time: the clock.
    """

    def __init__(
        self,
        port: Port,
        subscriptions: Mapping[int, Incoming],
        in_hand: Callable[[], Iterable[Taken]],
        time: Time,
    ) -> None:
        self._port = port
        self._subscriptions = subscriptions
        self._in_hand = in_hand
        self._time = time
        self.now = time.now
        """The driver's clock."""
        self._dirty: set[int] = set()
        self._draining = False
        self._kept: dict[int, _Kept] = {}
        self._heirs: dict[int, int] = {}
        """Which subscription has succeeded which, over restarts of their producer."""

    # --- demand -----------------------------------------------------------------------------------

    def begin(self, incoming: Incoming, *, paused: bool) -> None:
        """A subscription is about to be made: how it starts, or goes on after a restart."""
        if paused and not self._draining:
            incoming.paused_by.add(PROGRAM)
        limit = incoming.options.limit
        kept = self._recall(incoming)
        if kept is not None:
            if kept.paused and not self._draining:
                incoming.paused_by.add(STAGE)
            if kept.limited:
                limit = kept.limit
                incoming.set_by_stage = True
        if limit is not None:
            self._limit(incoming, limit)
        incoming.settle()

    def open(self, incoming: Incoming, *, manual: bool) -> None:
        """The behaviour has agreed; an automatic subscription asks at once."""
        if manual:
            incoming.window = ManualWindow(incoming.automatic)
            incoming.settle()
        elif not incoming.ended:
            self.want(incoming, incoming.automatic.open())

    def by_hand(self, incoming: Incoming, count: int) -> None:
        """The stage asks for more; nothing happens when it cannot know yet that this has ended."""
        if not incoming.ended:
            incoming.automatic.outstanding += count
            incoming.owed += count
            self.release(incoming)

    def ask(self, incoming: Incoming, count: int) -> None:
        """Ask for more now, acknowledging on the way what is finished."""
        finished = incoming.acknowledged = incoming.finished
        self._port.send(incoming.link, encode_ask(incoming.prefix, count, finished))
        if count:
            incoming.meter.asked(count)

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
        """Ask for what is owed, as far as that may be done now."""
        count = incoming.owed
        if not count or incoming.ended or incoming.follows is not None or incoming.paused_by:
            return
        bucket = incoming.bucket
        if bucket is not None and not incoming.manual:
            count = min(count, bucket.allowance(self._time.now()))
            bucket.promise(count)
        if count:
            incoming.owed -= count
            self.ask(incoming, count)
        if incoming.owed:
            self._look_for_tokens(incoming)

    # --- what may be changed while it runs --------------------------------------------------------

    def find(self, ref: int) -> Incoming | None:
        """The subscription of this name, or its successor; None when it is over."""
        incoming = self._subscriptions.get(self._heirs.get(ref, ref))
        return None if incoming is None or incoming.ended else incoming

    def pause(self, ref: int, by: str) -> None:
        """Hold asks back. What was asked for still comes, and is handled."""
        incoming, kept = self.find(ref), self._kept.get(self._heirs.get(ref, ref))
        if self._draining:
            return
        if incoming is not None:
            incoming.paused_by.add(by)
            incoming.settle()
        elif kept is not None and by == STAGE:
            kept.paused = True

    def resume(self, ref: int, by: str) -> None:
        """Ask again, for what the window lacks, unless somebody else has paused it too."""
        incoming, kept = self.find(ref), self._kept.get(self._heirs.get(ref, ref))
        if incoming is not None:
            incoming.paused_by.discard(by)
            incoming.settle()
            self.release(incoming)
        elif kept is not None and by == STAGE:
            kept.paused = False

    def drain(self) -> None:
        """The run is coming to its end: nothing is paused any more."""
        self._draining = True
        for incoming in list(self._subscriptions.values()):
            incoming.paused_by.clear()
            incoming.settle()
            self.release(incoming)

    def set_manual(self, ref: int) -> None:
        """Ask by itself no more. What was asked for still comes, a message being one batch."""
        incoming = self.find(ref)
        if incoming is None or incoming.manual:
            return
        window = incoming.automatic
        window.outstanding = self._under_way(incoming)
        for taken in self._planned(incoming):
            taken.ask = 0
        incoming.owed = 0
        incoming.window = ManualWindow(window)
        incoming.settle()

    def set_automatic(self, ref: int) -> None:
        """Ask by itself again, for what is missing beside what is under way."""
        incoming = self.find(ref)
        if incoming is None or not incoming.manual:
            return
        bucket = incoming.bucket
        incoming.window = incoming.automatic
        if bucket is not None:
            bucket.promised = self._under_way(incoming)
            incoming.window = LimitedWindow(incoming.automatic, bucket, self._time.now)
        incoming.settle()
        window, in_hand = incoming.automatic, self._planned(incoming)
        # What is in hand takes up window until it is handled, as if it had been taken now.
        window.outstanding += sum(len(taken.events) for taken in in_hand)
        missing = window.open()
        for taken in in_hand:
            taken.ask = window.retake(len(taken.events))
        self.owe(incoming, missing)

    def set_rate(self, ref: int, limit: RateLimit | None, *, by: str) -> None:
        """Limit the rate from now on, or no more. It means nothing while the stage asks itself."""
        incoming, kept = self.find(ref), self._kept.get(self._heirs.get(ref, ref))
        if incoming is None:
            if kept is not None and by == STAGE:
                kept.limit, kept.limited = limit, True
            return
        incoming.set_by_stage = by == STAGE
        if limit is None:
            incoming.bucket = incoming.limit = None
            if not incoming.manual:
                incoming.window = incoming.automatic
        elif incoming.bucket is not None:
            incoming.limit = limit
            incoming.bucket.change(limit, self._time.now())
        else:
            self._limit(incoming, limit)
        incoming.settle()
        self.release(incoming)

    def keep(self, incoming: Incoming) -> None:
        """Its producer is being started again: what the stage has set is for the next one too."""
        self._kept[incoming.ref] = _Kept(
            stage=str(incoming.handle.peer.stage),
            options=_without_rate(incoming.handle.options),
            paused=STAGE in incoming.paused_by,
            limit=incoming.limit,
            limited=incoming.set_by_stage,
        )

    def forget(self, incoming: Incoming) -> None:
        """It is over for good."""
        self._forget_heirs(incoming.ref)

    def forget_stage(self, stage: str) -> None:
        """No successor of that producer is coming."""
        for ref in [ref for ref, kept in self._kept.items() if kept.stage == stage]:
            del self._kept[ref]
            self._forget_heirs(ref)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in so many seconds."""
        self._time.after(seconds, act)

    # --- acknowledgements -------------------------------------------------------------------------

    def mark_dirty(self, incoming: Incoming) -> None:
        """Something is finished, and perhaps no ask will carry the news."""
        if not self._dirty:
            self._time.soon()
        self._dirty.add(incoming.ref)

    def acknowledge(self) -> None:
        """Send the acknowledgements that no ask has carried."""
        dirty, self._dirty = self._dirty, set()
        for ref in dirty:
            incoming = self._subscriptions.get(ref)
            if incoming is not None and incoming.finished > incoming.acknowledged:
                self.ask(incoming, 0)

    @property
    def coming(self) -> int:
        """How many events the windows have asked for, or will in their time, and not taken."""
        live = [each for each in self._subscriptions.values() if not each.ended]
        planned = sum(taken.ask for taken in self._in_hand())
        return max(0, sum(each.automatic.under_way for each in live) - planned)

    # --- within -----------------------------------------------------------------------------------

    def _limit(self, incoming: Incoming, limit: RateLimit) -> None:
        bucket = TokenBucket(limit, self._time.now())
        incoming.limit, incoming.bucket = limit, bucket
        if not incoming.manual:
            bucket.promised = self._under_way(incoming)
            incoming.window = LimitedWindow(incoming.automatic, bucket, self._time.now)

    def _look_for_tokens(self, incoming: Incoming) -> None:
        bucket = incoming.bucket
        if bucket is None or incoming.manual or incoming.waits_for_tokens:
            return
        seconds = bucket.wait(incoming.owed, self._time.now())
        if seconds is not None:
            incoming.waits_for_tokens = True
            self._time.after(seconds, lambda: self._tokens_came(incoming))

    def _tokens_came(self, incoming: Incoming) -> None:
        incoming.waits_for_tokens = False
        self.release(incoming)

    def _planned(self, incoming: Incoming) -> list[Taken]:
        """Its batches in hand, whose asks the window counts as sent."""
        return [taken for taken in self._in_hand() if taken.incoming is incoming]

    def _under_way(self, incoming: Incoming) -> int:
        """How many events were asked for and have not been taken."""
        planned = sum(taken.ask for taken in self._planned(incoming))
        return max(0, incoming.automatic.under_way - incoming.owed - planned)

    def _recall(self, incoming: Incoming) -> _Kept | None:
        """What the stage had set on the subscription that this one succeeds, to be used once."""
        stage, options = str(incoming.handle.peer.stage), _without_rate(incoming.handle.options)
        for ref, kept in self._kept.items():
            if kept.stage == stage and kept.options == options:
                del self._kept[ref]
                for older, heir in self._heirs.items():
                    if heir == ref:
                        self._heirs[older] = incoming.ref
                self._heirs[ref] = incoming.ref
                return kept
        return None

    def _forget_heirs(self, ref: int) -> None:
        for older in [older for older, heir in self._heirs.items() if heir == ref]:
            del self._heirs[older]


def _without_rate(options: Mapping[str, Any]) -> dict[str, Any]:
    """What tells subscriptions of the same two stages apart: the rate may have been changed."""
    return {key: value for key, value in options.items() if key not in ("rate", "burst")}
