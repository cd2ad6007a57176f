"""A batcher's decisions: a pure state machine. Ideas from: batch-aint-one, whose rules it keeps.

It knows no clock, process or thread. It is told what has happened, and when, and leaves in
`commands` what is to be done. Whoever drives it is its only writer, so it sees one history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actorflow.errors import (
    BatchCancelled,
    BatcherClosed,
    BatchError,
    BatchRejected,
    BatchTimeout,
    ProcessorInvariantViolation,
)
from actorflow.stages.batcher.closing import Closing, Mode
from actorflow.stages.batcher.commands import (
    Acquire,
    Answer,
    BatcherStatistics,
    Command,
    Interrupt,
    Leave,
    Outcome,
    Process,
    Release,
)
from actorflow.stages.batcher.lines import Lines
from actorflow.stages.batcher.policies import Limits, Policy
from actorflow.stages.batcher.queues import Batch, Item, Key, Phase, Timer, TimerKind, Timers

__all__ = ["GONE_WITHIN", "BatcherCore"]

GONE_WITHIN = 5.0
"""Seconds that a batcher which has answered everything waits for what it has interrupted."""


class BatcherCore:
    """Items, batches, capacity and time of one batcher.

    Args:
        policy: when a batch starts; made to fit the limits.
        limits: how large, how many.
        acquires: whether batches need resources.
        waits: whether an item that finds no room waits; otherwise it is rejected.
        acquire_timeout: seconds an acquisition may take, or None.
        process_timeout: seconds the processing of a batch may take, or None.
    """

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        *,
        acquires: bool = False,
        waits: bool = False,
        acquire_timeout: float | None = None,
        process_timeout: float | None = None,
    ) -> None:
        self.policy = policy.within(limits)
        self.limits = limits
        self.commands: list[Command] = []
        """What is to be done, oldest first; whoever does it empties the list."""
        self.left = False
        """Whether it has ended."""
        self._acquires = acquires
        self._acquire_timeout = acquire_timeout
        self._process_timeout = process_timeout
        self._items: dict[Any, Item] = {}
        self._running: dict[int, Batch] = {}
        self._releasing: set[int] = set()
        self._timers = Timers()
        self._lines = Lines(
            self.policy,
            limits,
            waits=waits,
            timers=self._timers,
            start=self._start,
            acquire=self._acquire,
        )
        self._closing: Closing | None = None
        self._accepted = self._answered = self._rejected = 0

    # --- items ------------------------------------------------------------------------------------

    def add(self, token: Any, key: Any, value: Any, weight: int, now: float) -> None:
        """Take an item.

        Args:
            token: names it in its answer; unique among items that have none yet.
            key: items of one key may share a batch; it must be hashable.
            value: the processor's input.
            weight: its weight in bytes, from 0.
            now: the time.

        Raises:
            BatcherClosed: no more items are taken.
            BatchRejected: there is no room for it.
        """
        closing = self._closing
        if self.left or (closing is not None and closing.refuses):
            if closing is not None:
                closing.refused += 1
            raise BatcherClosed("the batcher takes no more items: it is shutting down")
        if len(self._timers) > 2 * (len(self._lines.queued) + len(self._running)) + 64:
            self._timers.forget_batches({*self._lines.queued, *self._running})
        try:
            item = self._lines.put(token, key, value, weight, now)
        except BatchRejected:
            self._rejected += 1
            raise
        self._items[token] = item
        self._accepted += 1

    def cancel(self, token: Any, now: float) -> bool:
        """Give an item up whose batch is not being processed yet.

        Returns:
            whether it will not be processed; its answer is `BatchCancelled`.
        """
        item = self._items.get(token)
        if item is None:
            return False
        if item.batch is not None and item.batch.phase in (Phase.PROCESSING, Phase.OVER):
            return False
        self._lines.take_out(item, now)
        self._answer(item, error=BatchCancelled("the item was cancelled by its caller"))
        self._lines.settle(item.key)
        self._check_leave(now)
        return True

    def flush(self, key: Any, now: float) -> None:
        """Start what is queued now as soon as capacity is free, whatever the policy.

        Args:
            key: of this key; None for all.
            now: the time.
        """
        keys = self._lines.keys
        states = list(keys.values()) if key is None else [keys.get(key)]
        for state in states:
            if state is not None:
                self._lines.flush(state, now)

    @property
    def holds(self) -> bool:
        """Whether a batch waits for items, or for its time, and not for capacity alone."""
        return any(not batch.flushed for batch in self._lines.queued.values())

    @property
    def waits_for_items(self) -> bool:
        """Whether the policy keeps a batch waiting that only more items would start."""
        return self.policy.front_only and self.policy.deadline is None

    @property
    def idle(self) -> bool:
        """Whether no batch is under way."""
        return not self._lines.load

    # --- what the driver reports ------------------------------------------------------------------

    def acquired(self, number: int, resources: Any, now: float) -> None:
        """A batch has its resources."""
        batch = self._running[number]
        batch.resources, batch.has_resources = resources, self._acquires
        batch.timer = None
        if batch.phase is Phase.OVER:
            # It took too long; nobody will use them.
            self._forget(batch, Outcome.TIMED_OUT, now)
            return
        early = batch.phase is Phase.ACQUIRING_EARLY
        if not batch.items:
            self._end(batch, Outcome.CANCELLED, now)
            return
        if early:
            self._lines.leave_early(batch)
        self._process(batch, now)
        if early:
            self._lines.refill(batch.key, now)

    def acquisition_failed(self, number: int, error: BatchError, now: float) -> None:
        """A batch cannot have its resources: its items fail, and it is never processed."""
        batch = self._running[number]
        if batch.phase is Phase.OVER:
            self._forget(batch, Outcome.FAILED, now)
            return
        self._fail_items(batch, error)
        self._end(batch, Outcome.FAILED, now)

    def finished(
        self, number: int, outputs: Sequence[Any], error: BatchError | None, now: float
    ) -> None:
        """A batch has been processed.

        Args:
            number: which.
            outputs: one for each input: its value, or the `BatchError` of that item.
            error: what all its items get instead; None when there are outputs.
            now: the time.
        """
        batch = self._running[number]
        if batch.phase is Phase.OVER:
            self._forget(batch, Outcome.TIMED_OUT, now)
            return
        if error is None and len(outputs) != len(batch.items):
            error = ProcessorInvariantViolation(len(batch.items), len(outputs))
        if error is not None:
            self._fail_items(batch, error)
        else:
            for item, output in zip(batch.items, outputs, strict=True):
                if isinstance(output, BatchError):
                    self._answer(item, error=output)
                else:
                    self._answer(item, output)
        self._end(batch, Outcome.DONE if error is None else Outcome.FAILED, now)

    def released(self, number: int, now: float) -> None:
        """What a batch had acquired is released."""
        self._releasing.discard(number)
        self._check_leave(now)

    @property
    def next_due(self) -> float | None:
        """When `tick` is wanted next; None for never."""
        return self._timers.next_due

    def tick(self, now: float) -> None:
        """Time has passed."""
        for timer in self._timers.take_due(now):
            if timer.kind is TimerKind.BATCH:
                # One that has started is not queued any more: its timer is stale.
                batch = self._lines.queued.get(timer.batch)
                if batch is not None:
                    self._lines.batch_due(batch, now)
            elif timer.kind is TimerKind.SHUTDOWN:
                self._deadline_passed(now)
            elif timer.kind is TimerKind.LEAVE:
                self._check_leave(now)
            else:
                self._phase_timed_out(timer, now)

    # --- the end ----------------------------------------------------------------------------------

    def shut_down(self, mode: Mode, deadline: float | None, now: float) -> None:
        """Come to an end; a later request may only be stricter.

        Args:
            mode: see `ShutDown`.
            deadline: seconds after which it becomes an abort.
            now: the time.
        """
        if self.left:
            return
        if self._closing is None:
            self._closing = Closing(mode)
        elif self._closing.is_stricter(mode):
            self._closing.mode = mode
        if deadline is not None:
            self._timers.add(now + deadline, TimerKind.SHUTDOWN)
        self._close(self._closing.mode, now)
        self._check_leave(now)

    @property
    def statistics(self) -> BatcherStatistics:
        """What there is, and has been."""
        early = sum(b.phase is Phase.ACQUIRING_EARLY for b in self._running.values())
        in_hand = sum(
            len(b.items)
            for b in self._running.values()
            if b.phase in (Phase.ACQUIRING, Phase.PROCESSING)
        )
        return BatcherStatistics(
            active_keys=len(self._lines.keys),
            queued_batches=len(self._lines.queued),
            queued_items=len(self._items) - in_hand,
            acquiring=early,
            processing=self._lines.load - early,
            accepted=self._accepted,
            answered=self._answered,
            rejected=self._rejected,
            batches=self._lines.started,
        )

    # --- a batch is under way ---------------------------------------------------------------------

    def _start(self, batch: Batch, now: float) -> None:
        """A batch has left the queue."""
        if self._acquires:
            batch.phase = Phase.ACQUIRING
            self._acquire(batch, now)
        else:
            self._process(batch, now)

    def _acquire(self, batch: Batch, now: float) -> None:
        self._running[batch.number] = batch
        if self._acquire_timeout is not None:
            due = now + self._acquire_timeout
            batch.timer = self._timers.add(due, TimerKind.ACQUIRE, batch.number)
        self.commands.append(Acquire(batch.number, batch.key.value))

    def _process(self, batch: Batch, now: float) -> None:
        batch.phase = Phase.PROCESSING
        self._running[batch.number] = batch
        if self._process_timeout is not None:
            due = now + self._process_timeout
            batch.timer = self._timers.add(due, TimerKind.PROCESS, batch.number)
        inputs = [item.value for item in batch.items]
        self.commands.append(
            Process(batch.number, batch.key.value, inputs, batch.resources, batch.trigger)
        )

    # --- a batch is over --------------------------------------------------------------------------

    def _end(self, batch: Batch, outcome: Outcome, now: float) -> None:
        """A batch is answered: its capacity is free, and its resources are released."""
        self._lines.give_back(batch)
        self._forget(batch, outcome, now)
        self._go_on(batch.key, now)

    def _interrupt(self, batch: Batch, error: BatchError, now: float) -> None:
        """A batch is answered before what it was doing has ended."""
        self._fail_items(batch, error)
        self._lines.give_back(batch)
        batch.phase, batch.timer = Phase.OVER, None
        self.commands.append(Interrupt(batch.number))
        self._go_on(batch.key, now)

    def _go_on(self, state: Key, now: float) -> None:
        """Capacity is free, and there may be room in the queue."""
        lines = self._lines
        lines.refill(state, now)
        lines.freed(state, now)
        lines.settle(state)
        self._check_leave(now)

    def _forget(self, batch: Batch, outcome: Outcome, now: float) -> None:
        """What a batch was doing has ended."""
        del self._running[batch.number]
        if batch.has_resources:
            self._releasing.add(batch.number)
            release = Release(batch.number, batch.key.value, batch.resources, outcome)
            self.commands.append(release)
        self._check_leave(now)

    def _fail_items(self, batch: Batch, error: BatchError) -> None:
        for item in batch.items:
            self._answer(item, error=error)
        batch.items = []

    def _answer(self, item: Item, value: Any = None, error: BatchError | None = None) -> None:
        del self._items[item.token]
        self._answered += 1
        self.commands.append(Answer(item.token, value, error))
        closing = self._closing
        if closing is None:
            return
        if error is None:
            closing.replied += 1
            return
        closing.failed += 1
        if isinstance(error, BatchCancelled):
            closing.abandon(item.key.value)

    # --- time -------------------------------------------------------------------------------------

    def _phase_timed_out(self, timer: Timer, now: float) -> None:
        batch = self._running.get(timer.batch)
        if batch is None or batch.timer is not timer:
            return
        acquiring = timer.kind is TimerKind.ACQUIRE
        seconds = self._acquire_timeout if acquiring else self._process_timeout
        phase = "acquire" if acquiring else "process"
        self._interrupt(batch, BatchTimeout(phase, seconds or 0.0), now)

    # --- shutting down ----------------------------------------------------------------------------

    def _close(self, mode: Mode, now: float) -> None:
        if mode in ("close", "abort"):
            self._cancel_waiting(now)
        if mode == "abort":
            for batch in list(self._running.values()):
                if batch.phase is not Phase.OVER:
                    self._interrupt(batch, BatchCancelled("the batcher was aborted"), now)
        elif mode == "flush" or (mode == "drain" and self.waits_for_items):
            self._lines.forced = True
            for state in list(self._lines.keys.values()):
                self._lines.start_all(state, now)

    def _cancel_waiting(self, now: float) -> None:
        error = BatchCancelled("the batcher is shutting down")
        for state in list(self._lines.keys.values()):
            while state.waiting:
                self._answer(state.waiting.popleft(), error=error)
            for batch in list(state.queue):
                self._fail_items(batch, error)
                if batch.phase is Phase.QUEUED:
                    self._lines.unqueue(batch)
            self._lines.settle(state)

    def _deadline_passed(self, now: float) -> None:
        closing = self._closing
        if closing is not None and closing.is_stricter("abort"):
            closing.mode, closing.escalated = "abort", True
            self._close("abort", now)
            self._check_leave(now)

    def _check_leave(self, now: float) -> None:
        """End once everything is answered and released; what does not end has some seconds."""
        closing = self._closing
        if closing is None or self.left:
            return
        if self._lines.keys:
            closing.grace = None
            return
        if self._running or self._releasing:
            if closing.grace is None:
                closing.grace = now + GONE_WITHIN
                self._timers.add(closing.grace, TimerKind.LEAVE)
            if now < closing.grace:
                return
        self.left = True
        self.commands.append(Leave(closing.report))
