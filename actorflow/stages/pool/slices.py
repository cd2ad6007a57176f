"""Tasks on their way to a worker and back: chunks, the slice a worker is to run, its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from itertools import count, repeat
from typing import Any

from actorflow.protocol.codec import decode_value, encode_value
from actorflow.records import dataclass

__all__ = [
    "Chunk",
    "Columns",
    "Delayed",
    "Slice",
    "SliceReport",
    "Task",
    "Tasks",
    "Verb",
    "Wanting",
    "decode_tasks",
    "encode_admitted",
    "encode_tasks",
]

RUN, START, STOP = "run", "start", "stop"
Verb = str
"""What a slice is: tasks to run, or a pipeline's start or stop."""

Columns = tuple[int, int, int, Any]
"""The fields of a `Task`, in their order: a record for each costs as much as most tasks do."""


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


def encode_admitted(query: int, pipeline: int, first: int, items: Sequence[Any]) -> Chunk:
    """Make a chunk of tasks that nobody has run, whose roots they are themselves.

    Args:
        query: whose.
        pipeline: the pipeline of all of them.
        first: the number of the first one's root; the others follow.
        items: what they are about, those to be run first first.

    Raises:
        TypeError: an item cannot be sent to another process.
    """
    encoded = encode_value([pipeline, first, 0, items])
    return Chunk(query, len(items), 0, encoded.codec, encoded.body)


@dataclass(frozen=True, slots=True)
class Tasks:
    """The tasks of a chunk, in the order in which they are to be run.

    Args:
        each: the fields of each.
        fresh: whether nobody has run them, and their roots have consecutive numbers.
    """

    each: Iterator[Columns]
    fresh: bool


def decode_tasks(codec: str, body: bytes, *, fair: bool = True) -> Tasks:
    """Read what `encode_tasks` or `encode_admitted` made.

    Args:
        codec: what made the body.
        body: the bytes.
        fair: oldest first; otherwise what tasks have made newest first.

    Example:
        >>> chunk = encode_tasks(1, [Task(0, 7, 0, "old"), Task(0, 7, 0, "new")])
        >>> list(decode_tasks(chunk.codec, chunk.body, fair=False).each)
        [(0, 7, 0, 'new'), (0, 7, 0, 'old')]
        >>> chunk = encode_admitted(1, 0, 7, ["first", "second"])
        >>> list(decode_tasks(chunk.codec, chunk.body).each)
        [(0, 7, 0, 'first'), (0, 8, 0, 'second')]
    """
    columns = decode_value(codec, body)
    if isinstance(columns[1], int):
        pipeline, first, held, items = columns
        return Tasks(zip(repeat(pipeline), count(first), repeat(held), items), fresh=True)
    if not fair:
        columns = [reversed(column) for column in columns]
    return Tasks(zip(*columns, strict=True), fresh=False)


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
        ended: roots that have run and made nothing: the first of some next to each other, and how
            many these are.
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
    ended: list[list[int]] = field(default_factory=list)
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
            [self.executed, self.created, self.pending, self.roots, self.ended],
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
        (executed, created, pending, roots, ended), outputs, left, delayed, wanting, end = data
        failed, failure, seconds, shipping = end
        return cls(
            executed,
            created,
            pending,
            roots,
            ended,
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
