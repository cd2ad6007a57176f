"""Tasks on their way to a worker and back: chunks, the slice a worker is to run, its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from actorflow.protocol.codec import decode_value, encode_value
from actorflow.records import dataclass

__all__ = [
    "Chunk",
    "Delayed",
    "Slice",
    "SliceReport",
    "Task",
    "Verb",
    "Wanting",
    "decode_tasks",
    "encode_tasks",
]

RUN, START, STOP = "run", "start", "stop"
Verb = str
"""What a slice is: tasks to run, or a pipeline's start or stop."""


@dataclass(slots=True)
class Task:
    """One item for one pipeline. Not frozen: there is one for every call of a user's function.

    Args:
        pipeline: its place in the query.
        root: the admitted task that it descends from.
        held: what it holds of the memory budget.
        item: what it is about.
    """

    pipeline: int
    root: int
    held: int
    item: Any


@dataclass(slots=True)
class Chunk:
    """Some tasks of one query, as bytes: a scheduler deals them and never looks inside.

    Args:
        query: whose.
        count: how many.
        held: what they hold of the memory budget together.
        codec: what made `body`.
        body: the tasks, oldest first.
        granted: what is set aside of the memory budget for the task in it to reserve.
        attempts: how many workers have died with it.
    """

    query: int
    count: int
    held: int
    codec: str
    body: bytes
    granted: int = 0
    attempts: int = 0


def encode_tasks(query: int, tasks: Sequence[Task]) -> Chunk:
    """Make a chunk, by columns: that is smaller and faster than task by task.

    Raises:
        TypeError: an item cannot be sent to another process.
    """
    held = [task.held for task in tasks]
    columns = [
        [task.pipeline for task in tasks],
        [task.root for task in tasks],
        held,
        [task.item for task in tasks],
    ]
    encoded = encode_value(columns)
    return Chunk(query, len(tasks), sum(held), encoded.codec, encoded.body)


def decode_tasks(codec: str, body: bytes) -> list[Task]:
    """Read what `encode_tasks` made.

    Example:
        >>> chunk = encode_tasks(1, [Task(0, 7, 0, "item")])
        >>> decode_tasks(chunk.codec, chunk.body)
        [Task(pipeline=0, root=7, held=0, item='item')]
    """
    columns = decode_value(codec, body)
    return [Task(*each) for each in zip(*columns, strict=True)]


@dataclass(slots=True)
class Slice:
    """What a worker is given at a time: tasks of one query.

    Args:
        number: its own.
        query: whose.
        verb: ``"run"``, ``"start"`` or ``"stop"``.
        pipeline: which one is started or stopped; -1 for tasks.
        chunks: the tasks, those to be run first last.
        seconds: after which the worker gives back what is left.
        depth: how many generations of children it runs in place.
        fair: oldest first, instead of newest first.
        grant: how much memory its tasks may reserve.
    """

    number: int
    query: int
    verb: Verb
    pipeline: int = -1
    chunks: list[Chunk] = field(default_factory=list)
    seconds: float = 0.0
    depth: int = 0
    fair: bool = False
    grant: int = 0

    @property
    def count(self) -> int:
        """How many tasks it has."""
        return sum(chunk.count for chunk in self.chunks)

    def to_wire(self) -> list[Any]:
        """Plain data for a worker."""
        chunks = [[chunk.codec, chunk.body] for chunk in self.chunks]
        limits = [self.seconds, self.depth, self.fair, self.grant]
        return [self.query, self.verb, self.pipeline, chunks, *limits]

    @classmethod
    def from_wire(cls, data: Sequence[Any]) -> Slice:
        """Read what `to_wire` wrote, in the worker, which needs no number."""
        query, verb, pipeline, chunks, seconds, depth, fair, grant = data
        read = [Chunk(query, 0, 0, codec, body) for codec, body in chunks]
        return cls(0, query, verb, pipeline, read, seconds, depth, fair, grant)


@dataclass(slots=True)
class Delayed:
    """A task that is to be run again in so many seconds."""

    seconds: float
    chunk: Chunk


@dataclass(slots=True)
class Wanting:
    """A task that waits for so much memory, to be run from its beginning."""

    amount: int
    chunk: Chunk


@dataclass(slots=True)
class SliceReport:
    """What became of a slice.

    Args:
        executed: how many tasks ran to their end.
        created: how many they made.
        pending: for each pipeline, tasks made less tasks done.
        roots: the same for each root.
        outputs: the codec and the body of what is to leave the stage; empty for nothing.
        left: tasks that were not run, those to be run first first.
        delayed: tasks to be run again later.
        wanting: tasks that wait for memory.
        failed: the pipeline whose function raised, or -1.
        failure: that exception, as `Failure.to_wire` has it.
        seconds: how long the functions ran.
        shipping: how long it took to encode what is given back.
    """

    executed: int = 0
    created: int = 0
    pending: dict[int, int] = field(default_factory=dict)
    roots: dict[int, int] = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)
    left: list[Chunk] = field(default_factory=list)
    delayed: list[Delayed] = field(default_factory=list)
    wanting: list[Wanting] = field(default_factory=list)
    failed: int = -1
    failure: Any = None
    seconds: float = 0.0
    shipping: float = 0.0

    def to_wire(self) -> list[Any]:
        """Plain data for the scheduler."""
        return [
            [self.executed, self.created, self.pending, self.roots],
            self.outputs,
            [_bare(chunk) for chunk in self.left],
            [[each.seconds, _bare(each.chunk)] for each in self.delayed],
            [[each.amount, _bare(each.chunk)] for each in self.wanting],
            [self.failed, self.failure, self.seconds, self.shipping],
        ]

    @classmethod
    def from_wire(cls, query: int, data: Any) -> SliceReport:
        """Read what `to_wire` wrote.

        Raises:
            TypeError: it is something else.
            ValueError: the same.
        """
        (executed, created, pending, roots), outputs, left, delayed, wanting, end = data
        failed, failure, seconds, shipping = end
        return cls(
            executed,
            created,
            pending,
            roots,
            outputs,
            [Chunk(query, *bare) for bare in left],
            [Delayed(after, Chunk(query, *bare)) for after, bare in delayed],
            [Wanting(amount, Chunk(query, *bare)) for amount, bare in wanting],
            failed,
            failure,
            seconds,
            shipping,
        )


def _bare(chunk: Chunk) -> list[Any]:
    return [chunk.count, chunk.held, chunk.codec, chunk.body]
