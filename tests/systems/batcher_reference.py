"""The specification's table of a batcher (4.1), written down a second time, as plainly as can be.

One flat list of batches; everything is found by looking through it. It is told what happens, as the
core is, and says which batches start, in which way. What the specification improves on the original
is in here too: a batch of one item is full when it is opened, a linger, the modes of a shutdown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actorflow.stages.batcher import Balanced, Duration, Immediate, Limits, OnFull, Size

__all__ = ["Reference"]


@dataclass
class Group:
    """A batch."""

    number: int
    key: Any
    due: float | None
    tokens: list[int] = field(default_factory=list)
    place: str = "queue"  # then "processing"; "acquiring" is noted beside it
    acquiring: bool = False
    closed: bool = False


@dataclass
class Reference:
    """A batcher without capacity in total and without bytes."""

    policy: Any
    limits: Limits
    acquires: bool
    groups: list[Group] = field(default_factory=list)
    decisions: list[tuple[str, int, tuple[int, ...]]] = field(default_factory=list)
    answers: dict[int, str] = field(default_factory=dict)
    mode: str | None = None
    numbers: int = 0

    # --- looking ----------------------------------------------------------------------------------

    def queue(self, key: Any) -> list[Group]:
        return [each for each in self.groups if each.key == key and each.place == "queue"]

    def processing(self, key: Any) -> int:
        return sum(each.key == key and each.place == "processing" for each in self.groups)

    def free(self, key: Any) -> bool:
        early = sum(each.acquiring for each in self.queue(key))
        return self.processing(key) + early < self.limits.max_key_concurrency

    def full(self, group: Group) -> bool:
        return group.closed or len(group.tokens) >= self.limits.max_batch_size

    @property
    def over(self) -> bool:
        return self.mode is not None and not self.groups

    # --- what happens -----------------------------------------------------------------------------

    def add(self, token: int, key: Any, now: float) -> str:
        if self.mode not in (None, "upstream"):
            return "closed"
        if self.over:
            return "closed"
        queue = self.queue(key)
        newest = queue[-1] if queue and not self.full(queue[-1]) else None
        if newest is None and len(queue) >= self.limits.queue_size:
            return "rejected " + ("available" if self.free(key) else "maxed_out")
        opens, before = newest is None, 0 if newest is None else len(newest.tokens)
        idle, free = not self.processing(key), self.free(key)
        if newest is None:
            self.numbers += 1
            for older in queue:
                older.closed = True
            wait = {Size: lambda p: p.linger, Duration: lambda p: p.seconds}.get(type(self.policy))
            linger = wait(self.policy) if wait else None
            newest = Group(self.numbers, key, None if linger is None else now + linger)
            self.groups.append(newest)
        newest.tokens.append(token)
        last_place = len(newest.tokens) == self.limits.max_batch_size
        match self.policy:
            case Immediate() if free and opens:
                self.acquire(newest)
            case Balanced(min_size_hint=hint) if free and (
                (opens and idle) or (before >= hint - 1 and not newest.acquiring)
            ):
                self.acquire(newest)
            case Size() if free and last_place:
                self.start(self.queue(key)[0])
            case Duration(on_full=OnFull.PROCESS) if free and last_place:
                self.start(self.queue(key)[0])
        return "accepted"

    def tick(self, now: float) -> None:
        due = [each for each in self.groups if each.place == "queue" and each.due is not None]
        for group in sorted((g for g in due if g.due <= now), key=lambda g: (g.due, g.number)):
            if self.free(group.key) and group.tokens:
                self.start(group)

    def acquired(self, number: int) -> None:
        group = self.find(number)
        group.acquiring = False
        if not group.tokens:
            self.end(group)
        else:
            group.place = "processing"
            self.decisions.append(("process", number, tuple(group.tokens)))

    def failed(self, number: int) -> None:
        group = self.find(number)
        self.answer(group, "failed")
        self.end(group)

    def finished(self, number: int, outcome: str) -> None:
        group = self.find(number)
        self.answer(group, outcome)
        self.end(group)

    def cancel(self, token: int) -> bool:
        for group in self.groups:
            waits = group.place == "queue" or group.acquiring
            if token in group.tokens and waits:
                group.tokens.remove(token)
                self.answers[token] = "cancelled"
                if not group.tokens and not group.acquiring:
                    self.groups.remove(group)
                elif self.queue(group.key)[-1:] == [group]:
                    group.closed = False
                return True
        return False

    def shut_down(self, mode: str) -> None:
        order = ["upstream", "drain", "flush", "close", "abort"]
        if self.mode is None or order.index(mode) > order.index(self.mode):
            self.mode = mode
        if self.mode in ("close", "abort"):
            for group in [each for each in self.groups if each.place == "queue"]:
                self.answer(group, "cancelled")
                if not group.acquiring:
                    self.groups.remove(group)
        if self.mode == "abort":
            for group in self.groups:
                self.answer(group, "cancelled")
            self.groups = []
        for key in {each.key for each in self.groups}:
            while self.forced and self.go_on(key):
                pass

    # --- within -----------------------------------------------------------------------------------

    @property
    def forced(self) -> bool:
        waits_for_items = isinstance(self.policy, Size) and self.policy.linger is None
        return self.mode == "flush" or (self.mode == "drain" and waits_for_items)

    def find(self, number: int) -> Group:
        return next(each for each in self.groups if each.number == number)

    def acquire(self, group: Group) -> None:
        group.acquiring = True
        self.decisions.append(("acquire", group.number, ()))

    def start(self, group: Group) -> None:
        group.place = "processing"
        if self.acquires:
            self.acquire(group)
        else:
            self.decisions.append(("process", group.number, tuple(group.tokens)))

    def answer(self, group: Group, outcome: str) -> None:
        self.answers |= dict.fromkeys(group.tokens, outcome)
        group.tokens = []

    def end(self, group: Group) -> None:
        self.groups.remove(group)
        self.go_on(group.key)

    def go_on(self, key: Any) -> bool:
        ready = [g for g in self.queue(key) if g.tokens and not g.acquiring]
        if isinstance(self.policy, Size | Duration) and not self.forced:
            # Only the front, and only when it is full or due; `now` is that of the last tick.
            ready = [g for g in ready[:1] if self.full(g) or self.is_due(g)]
        if not ready or not self.free(key):
            return False
        self.start(ready[0])
        return True

    now: float = 0.0

    def is_due(self, group: Group) -> bool:
        return group.due is not None and group.due <= self.now
