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
    Trigger,
)
from actorflow.stages.batcher.policies import Action, Limits, Policy, Seen
from actorflow.stages.batcher.queues import Batch, Item, Key, Phase, Timer, TimerKind, Timers

__all__ = ["GONE_WITHIN", "BatcherCore"]

GONE_WITHIN = 5.0
"""Seconds that a batcher which has answered everything waits for what it has interrupted."""

_UNLIMITED = 1 << 62


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
        self._waits = waits
        self._acquire_timeout = acquire_timeout
        self._process_timeout = process_timeout
        self._most = limits.max_total_concurrency or _UNLIMITED
        self._load = 0
        self._keys: dict[Any, Key] = {}
        self._hungry: dict[Key, None] = {}
        """Keys that wait for a part of the total capacity, in the order of their turns."""
        self._items: dict[Any, Item] = {}
        self._queued: dict[int, Batch] = {}
        self._running: dict[int, Batch] = {}
        self._releasing: set[int] = set()
        self._timers = Timers()
        self._closing: Closing | None = None
        self._forced = False
        """Whether every batch starts as soon as it may, as nothing more will come."""
        self._numbers = self._accepted = self._answered = self._rejected = self._started = 0

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
        state = self._keys.get(key)
        if state is None:
            state = self._keys[key] = Key(key)
        item = Item(token, value, weight, state)
        if state.waiting or not state.has_room(weight, self.limits):
            if not self._waits:
                self._rejected += 1
                raise BatchRejected(key, "maxed_out" if self._at_capacity(state) else "available")
            state.waiting.append(item)
        else:
            self._place(state, item, now)
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
        state, batch = item.key, item.batch
        if batch is None:
            state.waiting.remove(item)
        elif batch.phase in (Phase.PROCESSING, Phase.OVER):
            return False
        else:
            batch.remove(item)
            if not batch.items and batch.phase is Phase.QUEUED:
                self._unqueue(batch)
                self._refill(state, now)
        self._answer(item, error=BatchCancelled("the item was cancelled by its caller"))
        self._settle(state, now)
        return True

    def flush(self, key: Any, now: float) -> None:
        """Start what is queued now as soon as capacity is free, whatever the policy.

        Args:
            key: of this key; None for all.
            now: the time.
        """
        states = list(self._keys.values()) if key is None else [self._keys.get(key)]
        for state in states:
            if state is None:
                continue
            for batch in state.queue:
                batch.flushed = batch.closed = True
            self._start_all(state, now)

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
            self._unqueue(batch)
            batch.key.acquiring -= 1
            batch.key.processing += 1
            self._started += 1
        self._process(batch, now)
        if early:
            self._refill(batch.key, now)

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
                batch = self._queued.get(timer.batch)
                if batch is not None:
                    self._batch_due(batch, now)
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
        processing = self._load - early
        in_hand = sum(
            len(b.items)
            for b in self._running.values()
            if b.phase in (Phase.ACQUIRING, Phase.PROCESSING)
        )
        return BatcherStatistics(
            active_keys=len(self._keys),
            queued_batches=len(self._queued),
            queued_items=len(self._items) - in_hand,
            acquiring=early,
            processing=processing,
            accepted=self._accepted,
            answered=self._answered,
            rejected=self._rejected,
            batches=self._started,
        )

    # --- into the queue ---------------------------------------------------------------------------

    def _place(self, state: Key, item: Item, now: float) -> None:
        """Put an item into the newest batch, or into one that it opens; then the policy decides."""
        queue = state.queue
        batch = queue[-1] if queue else None
        if batch is not None and not batch.takes(item.weight, self.limits):
            batch.closed = True
            batch = None
        seen = Seen(
            at_capacity=self._at_capacity(state),
            opens=batch is None,
            newest=0 if batch is None else len(batch.items),
            acquiring=batch is not None and batch.phase is Phase.ACQUIRING_EARLY,
            processing=state.processing,
            front_full=False,
        )
        if batch is None:
            batch = self._open(state, now)
        batch.put(item, self.limits)
        seen.front_full = queue[0].closed
        action = self.policy.on_add(seen)
        if action is Action.ACQUIRE:
            self._acquire_early(batch, now)
        elif action is Action.PROCESS:
            while queue and queue[0].closed and not self._at_capacity(state):
                self._start(queue[0], Trigger.SIZE, now)
        self._note_hunger(state)

    def _open(self, state: Key, now: float) -> Batch:
        self._numbers += 1
        linger = self.policy.deadline
        deadline = None if linger is None else now + linger
        batch = Batch(self._numbers, state, deadline)
        state.queue.append(batch)
        self._queued[batch.number] = batch
        if deadline is not None:
            self._add_timer(deadline, TimerKind.BATCH, batch)
        return batch

    def _refill(self, state: Key, now: float) -> None:
        """There is room in a queue again: what waits behind it moves up."""
        waiting = state.waiting
        while waiting and state.has_room(waiting[0].weight, self.limits):
            self._place(state, waiting.popleft(), now)

    def _unqueue(self, batch: Batch) -> None:
        queue = batch.key.queue
        if queue[0] is batch:
            queue.popleft()
        else:
            queue.remove(batch)
        del self._queued[batch.number]

    # --- capacity ---------------------------------------------------------------------------------

    def _at_capacity(self, state: Key) -> bool:
        return state.load >= self.limits.max_key_concurrency or self._load >= self._most

    def _note_hunger(self, state: Key) -> None:
        """A key that lacks nothing but total capacity gets a turn when there is some."""
        if self._load >= self._most and state.queue:
            self._hungry.setdefault(state)

    def _acquire_early(self, batch: Batch, now: float) -> None:
        batch.phase = Phase.ACQUIRING_EARLY
        batch.key.acquiring += 1
        self._load += 1
        self._acquire(batch, now)

    def _start(self, batch: Batch, trigger: Trigger, now: float) -> None:
        """A batch leaves the queue."""
        state = batch.key
        self._unqueue(batch)
        batch.trigger = trigger
        state.processing += 1
        self._load += 1
        self._started += 1
        if self._acquires:
            batch.phase = Phase.ACQUIRING
            self._acquire(batch, now)
        else:
            self._process(batch, now)
        self._refill(state, now)

    def _acquire(self, batch: Batch, now: float) -> None:
        self._running[batch.number] = batch
        if self._acquire_timeout is not None:
            batch.timer = self._add_timer(now + self._acquire_timeout, TimerKind.ACQUIRE, batch)
        self.commands.append(Acquire(batch.number, batch.key.value))

    def _process(self, batch: Batch, now: float) -> None:
        batch.phase = Phase.PROCESSING
        self._running[batch.number] = batch
        if self._process_timeout is not None:
            batch.timer = self._add_timer(now + self._process_timeout, TimerKind.PROCESS, batch)
        inputs = [item.value for item in batch.items]
        self.commands.append(
            Process(batch.number, batch.key.value, inputs, batch.resources, batch.trigger)
        )

    def _start_next(self, state: Key, now: float) -> bool:
        """The rule for free capacity: start the first batch that may; returns whether one did."""
        if self._at_capacity(state):
            self._note_hunger(state)
            return False
        for batch in state.queue:
            # One that acquires resources starts when it has them, and not before.
            if batch.phase is Phase.QUEUED:
                trigger = self._may_start(batch, now)
                if trigger is not None:
                    self._start(batch, trigger, now)
                    return True
            if self.policy.front_only and not self._forced:
                break
        return False

    def _may_start(self, batch: Batch, now: float) -> Trigger | None:
        """Why a batch may start now that capacity is free; None when it waits."""
        if batch.flushed:
            return Trigger.FLUSH
        if batch.closed:
            return Trigger.SIZE
        if batch.is_due(now):
            return Trigger.TIMEOUT
        if self._forced:
            return Trigger.FLUSH
        return None if self.policy.front_only else Trigger.CAPACITY

    def _start_all(self, state: Key, now: float) -> None:
        while self._start_next(state, now):
            pass

    def _freed(self, state: Key, now: float) -> None:
        """One unit of capacity is free: the next batch of this key, or of the key whose turn it is.

        A key that has just had some is behind those that wait.
        """
        if self._most == _UNLIMITED:
            self._start_next(state, now)
            return
        if state.queue:
            self._hungry.pop(state, None)
            self._hungry[state] = None
        while self._hungry and self._load < self._most:
            next_one = next(iter(self._hungry))
            del self._hungry[next_one]
            if self._start_next(next_one, now) and next_one.queue:
                self._hungry[next_one] = None

    # --- a batch is over --------------------------------------------------------------------------

    def _end(self, batch: Batch, outcome: Outcome, now: float) -> None:
        """A batch is answered: its capacity is free, and its resources are released."""
        self._give_capacity_back(batch)
        self._forget(batch, outcome, now)
        self._refill(batch.key, now)
        self._freed(batch.key, now)
        self._settle(batch.key, now)

    def _interrupt(self, batch: Batch, error: BatchError, now: float) -> None:
        """A batch is answered before what it was doing has ended."""
        self._fail_items(batch, error)
        self._give_capacity_back(batch)
        batch.phase = Phase.OVER
        self.commands.append(Interrupt(batch.number))
        self._refill(batch.key, now)
        self._freed(batch.key, now)
        self._settle(batch.key, now)

    def _give_capacity_back(self, batch: Batch) -> None:
        if batch.phase is Phase.ACQUIRING_EARLY:
            self._unqueue(batch)
            batch.key.acquiring -= 1
        else:
            batch.key.processing -= 1
        self._load -= 1

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

    def _settle(self, state: Key, now: float) -> None:
        """Forget a key that has nothing left, so that memory does not grow with keys seen."""
        if state.idle:
            self._keys.pop(state.value, None)
            self._hungry.pop(state, None)
        self._check_leave(now)

    # --- time -------------------------------------------------------------------------------------

    def _add_timer(self, due: float, kind: TimerKind, batch: Batch) -> Timer:
        timers = self._timers
        if len(timers) > 2 * (len(self._queued) + len(self._running)) + 64:
            timers.forget_batches({*self._queued, *self._running})
        return timers.add(due, kind, batch.number)

    def _batch_due(self, batch: Batch, now: float) -> None:
        """Start a batch whose time has come; at capacity it starts when some is free."""
        if self._at_capacity(batch.key):
            self._note_hunger(batch.key)
        elif batch.phase is Phase.QUEUED:
            self._start(batch, Trigger.TIMEOUT, now)

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
        elif mode == "flush" or (mode == "drain" and self._waits_for_items):
            self._forced = True
            for state in list(self._keys.values()):
                self._start_all(state, now)

    @property
    def _waits_for_items(self) -> bool:
        """Whether the policy keeps a batch waiting that only more items would start."""
        return self.policy.front_only and self.policy.deadline is None

    def _cancel_waiting(self, now: float) -> None:
        error = BatchCancelled("the batcher is shutting down")
        for state in list(self._keys.values()):
            waiting, state.waiting = list(state.waiting), type(state.waiting)()
            for item in waiting:
                self._answer(item, error=error)
            for batch in list(state.queue):
                self._fail_items(batch, error)
                if batch.phase is Phase.QUEUED:
                    self._unqueue(batch)
            self._settle(state, now)

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
        if self._keys:
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
