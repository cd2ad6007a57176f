"""What the host, its zygote and a newborn process say to each other: small frozen records.

Both sides are the same program from the same files, and nobody else can reach the sockets, so a
pickle is safe and needs no schema. It is a pickle of the record's name and fields and not of the
record, which would be rebuilt by slow code in a process whose every first step costs a page.
Processes are named by a key that the host counts up: it is never used twice in a run, as a process
id may be.
"""

from __future__ import annotations

import pickle
from dataclasses import fields

from actorflow.protocol.framing import frame
from actorflow.records import dataclass

__all__ = [
    "Birth",
    "Boot",
    "Booted",
    "Crashed",
    "Fork",
    "Forked",
    "Gone",
    "NotForked",
    "Preload",
    "Record",
    "Signal",
    "decode_record",
    "encode_record",
]


@dataclass(frozen=True, slots=True)
class Boot:
    """Host to zygote, first: what to become.

    Args:
        host: the host's process id.
        arguments: the host's ``sys.argv``, so that stages see it as their own.
        preload: modules to import before the first process is forked.
        entry: ``"module:function"`` that runs a stage.
        stdout_to_stderr: whether what stages print goes to standard error.
        scoreboard: the descriptor of the scoreboard's memory.
        slots: how many slots the scoreboard has.
    """

    host: int
    arguments: tuple[str, ...]
    preload: tuple[str, ...]
    entry: str
    stdout_to_stderr: bool
    scoreboard: int
    slots: int


@dataclass(frozen=True, slots=True)
class Preload:
    """Host to zygote: import this module, too, for the processes that are forked from now on."""

    module: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Host to zygote: fork a process. Its end of its control link travels beside this.

    Args:
        key: the host's name for the process.
    """

    key: int


@dataclass(frozen=True, slots=True)
class Signal:
    """Host to zygote: signal a process, unless it is gone; `group` for its whole process group."""

    key: int
    number: int
    group: bool = False


@dataclass(frozen=True, slots=True)
class Birth:
    """Host to a forked process, the first frame on its control link: which stage to become.

    Args:
        child: the incarnation, as text.
        slot: its place on the scoreboard.
        spec: its `StageSpec`, cloudpickled.
    """

    child: str
    slot: int
    spec: bytes


@dataclass(frozen=True, slots=True)
class Booted:
    """Zygote to host: modules are imported and processes can be forked.

    Args:
        warnings: what went wrong on the way without being fatal, such as a module that cannot be
            imported, one sentence each.
    """

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forked:
    """Zygote to host: the process exists."""

    key: int
    pid: int


@dataclass(frozen=True, slots=True)
class NotForked:
    """Zygote to host: the process could not be made."""

    key: int
    detail: str


@dataclass(frozen=True, slots=True)
class Gone:
    """Zygote to host: the process has ended and is reaped, its process group killed.

    Args:
        key: the host's name for the process.
        status: its exit status, or None when it died of a signal.
        signal: the signal's number, or None.
        max_rss: its largest resident memory, in bytes.
    """

    key: int
    status: int | None
    signal: int | None
    max_rss: int


@dataclass(frozen=True, slots=True)
class Crashed:
    """Zygote to host: an error of its own ends it; every stage goes with it."""

    detail: str


Record = Boot | Preload | Fork | Signal | Birth | Booted | Forked | NotForked | Gone | Crashed

_TYPES: tuple[type[Record], ...] = (
    Boot,
    Preload,
    Fork,
    Signal,
    Birth,
    Booted,
    Forked,
    NotForked,
    Gone,
    Crashed,
)
_BY_NAME = {kind.__name__: kind for kind in _TYPES}
_FIELDS = {kind: tuple(item.name for item in fields(kind)) for kind in _TYPES}


def encode_record(record: Record) -> bytes:
    """A record as a frame, length prefix included.

    Example:
        >>> decode_record(encode_record(Forked(1, 4711))[4:])
        Forked(key=1, pid=4711)
    """
    kind = type(record)
    values = [getattr(record, name) for name in _FIELDS[kind]]
    return frame(pickle.dumps((kind.__name__, values), protocol=5))


def decode_record(data: bytes) -> Record:
    """Read a record's frame, without its length prefix."""
    name, values = pickle.loads(data)
    return _BY_NAME[name](*values)
