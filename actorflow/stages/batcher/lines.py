"""Every key's queue, the capacity that they share, and whose turn it is. Pure decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.errors import BatchRejected
from actorflow.stages.batcher.commands import Trigger
from actorflow.stages.batcher.policies import Action, Limits, Policy, Seen
from actorflow.stages.batcher.queues import Batch, Item, Key, Phase, TimerKind, Timers

__all__ = ["Lines"]

_UNLIMITED = 1 << 62


class Lines:
    """Items on their way into batches, and batches on their way to a processor.

    Args:
        policy: when a batch starts.
        limits: how large, how many.
        waits: whether an item that finds no room waits; otherwise it is rejected.
        timers: where a batch's time is noted.
        start: a batch has left the queue, and is to be processed.
        acquire: a batch, still in the queue, is to acquire its resources.
    """

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        *,
        waits: bool,
        timers: Timers,
        start: Callable[[Batch, float], None],
        acquire: Callable[[Batch, float], None],
    ) -> None:
        self.keys: dict[Any, Key] = {}
        self.queued: dict[int, Batch] = {}
        self.load = 0
        """How many batches are under way."""
        self.started = 0
        """How many ever were."""
        self.forced = False
        """Whether every batch starts as soon as it may, as nothing more will come."""
        self._policy = policy
        self._limits = limits
        self._waits = waits
        self._timers = timers
        self._start = start
        self._acquire = acquire
        self._most = limits.max_total_concurrency or _UNLIMITED
        self._hungry: dict[Key, None] = {}
        """Keys that wait for a part of the total capacity, in the order of their turns."""
        self._numbers = 0

    # --- items ------------------------------------------------------------------------------------

    def put(self, token: Any, key: Any, value: Any, weight: int, now: float) -> Item:
        """Put an item into its key's queue, or behind it.

        Raises:
            BatchRejected: there is no room for it, and it is not to wait.
        """
        state = self.keys.get(key)
        if state is None:
            state = self.keys[key] = Key(key)
        item = Item(token, value, weight, state)
        if not state.waiting and state.has_room(weight, self._limits):
            self._place(state, item, now)
        elif self._waits:
            state.waiting.append(item)
        else:
            full = self._at_capacity(state)
            raise BatchRejected(key, "maxed_out" if full else "available")
        return item

    def take_out(self, item: Item, now: float) -> None:
        """Take an item out again whose batch is not being processed."""
        batch = item.batch
        if batch is None:
            item.key.waiting.remove(item)
            return
        batch.remove(item)
        if not batch.items and batch.phase is Phase.QUEUED:
            self.unqueue(batch)
        elif item.key.queue and item.key.queue[-1] is batch:
            batch.closed = batch.flushed
        self.refill(item.key, now)

    def refill(self, state: Key, now: float) -> None:
        """There is room in a queue again: what waits behind it moves up."""
        waiting = state.waiting
        while waiting and state.has_room(waiting[0].weight, self._limits):
            self._place(state, waiting.popleft(), now)

    # --- batches ----------------------------------------------------------------------------------

    def unqueue(self, batch: Batch) -> None:
        """A batch leaves its queue."""
        queue = batch.key.queue
        if queue[0] is batch:
            queue.popleft()
        else:
            queue.remove(batch)
        del self.queued[batch.number]

    def leave_early(self, batch: Batch) -> None:
        """A batch that has acquired its resources in the queue is to be processed now."""
        self.unqueue(batch)
        batch.key.acquiring -= 1
        batch.key.processing += 1
        self.started += 1

    def flush(self, state: Key, now: float) -> None:
        """Start what is queued as soon as capacity is free."""
        for batch in state.queue:
            batch.flushed = batch.closed = True
        self.start_all(state, now)

    def batch_due(self, batch: Batch, now: float) -> None:
        """Start a batch whose time has come; at capacity it starts when some is free."""
        if self._at_capacity(batch.key):
            self._note_hunger(batch.key)
        elif batch.phase is Phase.QUEUED:
            self._leave(batch, Trigger.TIMEOUT, now)

    # --- capacity ---------------------------------------------------------------------------------

    def start_all(self, state: Key, now: float) -> None:
        """Start every batch of a key that may."""
        while self._start_next(state, now):
            pass

    def give_back(self, batch: Batch) -> None:
        """A batch is over: its capacity is free."""
        if batch.phase is Phase.ACQUIRING_EARLY:
            self.unqueue(batch)
            batch.key.acquiring -= 1
        else:
            batch.key.processing -= 1
        self.load -= 1

    def freed(self, state: Key, now: float) -> None:
        """One unit of capacity is free: the next batch of this key, or of the key whose turn it is.

        A key that has just had some is behind those that wait.
        """
        if self._most == _UNLIMITED:
            self._start_next(state, now)
            return
        if state.queue:
            self._hungry.pop(state, None)
            self._hungry[state] = None
        while self._hungry and self.load < self._most:
            next_one = next(iter(self._hungry))
            del self._hungry[next_one]
            if self._start_next(next_one, now) and next_one.queue:
                self._hungry[next_one] = None

    def settle(self, state: Key) -> None:
        """Forget a key that has nothing left, so that memory does not grow with keys seen."""
        if state.idle:
            self.keys.pop(state.value, None)
            self._hungry.pop(state, None)

    # --- within -----------------------------------------------------------------------------------

    def _place(self, state: Key, item: Item, now: float) -> None:
        """Put an item into the newest batch, or into one that it opens; then the policy decides."""
        queue = state.queue
        batch = queue[-1] if queue else None
        if batch is not None and not batch.takes(item.weight, self._limits):
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
        batch.put(item, self._limits)
        seen.front_full = queue[0].closed
        action = self._policy.on_add(seen)
        if action is Action.ACQUIRE:
            batch.phase = Phase.ACQUIRING_EARLY
            state.acquiring += 1
            self.load += 1
            self._acquire(batch, now)
        elif action is Action.PROCESS:
            while queue and queue[0].closed and not self._at_capacity(state):
                self._leave(queue[0], Trigger.SIZE, now)
        self._note_hunger(state)

    def _open(self, state: Key, now: float) -> Batch:
        self._numbers += 1
        linger = self._policy.deadline
        deadline = None if linger is None else now + linger
        batch = Batch(self._numbers, state, deadline)
        state.queue.append(batch)
        self.queued[batch.number] = batch
        if deadline is not None:
            self._timers.add(deadline, TimerKind.BATCH, batch.number)
        return batch

    def _leave(self, batch: Batch, trigger: Trigger, now: float) -> None:
        state = batch.key
        self.unqueue(batch)
        batch.trigger = trigger
        state.processing += 1
        self.load += 1
        self.started += 1
        self._start(batch, now)
        self.refill(state, now)

    def _at_capacity(self, state: Key) -> bool:
        return state.load >= self._limits.max_key_concurrency or self.load >= self._most

    def _note_hunger(self, state: Key) -> None:
        """A key that lacks nothing but total capacity gets a turn when there is some."""
        if self.load >= self._most and state.queue:
            self._hungry.setdefault(state)

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
                    self._leave(batch, trigger, now)
                    return True
            if self._policy.front_only and not self.forced:
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
        if self.forced:
            return Trigger.FLUSH
        return None if self._policy.front_only else Trigger.CAPACITY
