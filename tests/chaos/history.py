"""Histories: what each life of a stage emitted, took, finished, and was told to be finished.

A real stage appends lines to a file of its own, each in one write, so that a SIGKILL leaves what it
had said; a simulated one is watched. The checker reads both in the same form.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actorflow.protocol.messages import Ask
from actorflow.stage.producing import ProducingHalf

__all__ = [
    "ACKED",
    "DONE",
    "EMITTED",
    "TAKEN",
    "HistoryFile",
    "Life",
    "Record",
    "acknowledged_by",
    "read_histories",
    "tap_acknowledgements",
]

EMITTED, TAKEN, DONE, ACKED = "emitted", "taken", "done", "acked"


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened in a stage.

    Args:
        time: when, on a clock that all stages share.
        kind: `EMITTED`, about to be sent; `TAKEN`, about to be handled; `DONE`, handled; or
            `ACKED`, a consumer says that it has finished.
        peer: of what was acknowledged, the consumer, such as ``"sink0/1"``.
        events: which.
    """

    time: float
    kind: str
    peer: str
    events: tuple[str, ...]


@dataclass(slots=True)
class Life:
    """One incarnation of a stage.

    Args:
        part: the stage's name.
        index: which replica.
        records: what happened in it, in order.
    """

    part: str
    index: int
    records: list[Record] = field(default_factory=list)

    @property
    def stage(self) -> str:
        """Name and replica, such as ``"sink0/1"``."""
        return f"{self.part}/{self.index}"

    def events(self, kind: str) -> list[str]:
        """The events of all records of a kind, in order."""
        return [event for each in self.records if each.kind == kind for event in each.events]


class HistoryFile:
    """The history of the life that this process is.

    Args:
        folder: where histories are.
        part: the stage's name.
        index: which replica.
        life: what tells this life from others.
    """

    def __init__(self, folder: str, part: str, index: int, life: str) -> None:
        path = Path(folder) / f"{part}-{index}-{life}.history"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)

    def add(self, kind: str, events: Iterable[str], peer: str = "") -> None:
        """Append a record."""
        line = json.dumps([time.monotonic_ns(), kind, peer, list(events)]) + "\n"
        os.write(self._file, line.encode())

    def close(self) -> None:
        """Let go of the file; a process that ends need not."""
        os.close(self._file)


def read_histories(folder: Path) -> list[Life]:
    """What the stages of a run have written; the cut line of one that was killed is left out."""
    return [_read(path) for path in sorted(folder.glob("*.history"))]


def _read(path: Path) -> Life:
    part, index, _ = path.stem.split("-")
    life = Life(part, int(index))
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            moment, kind, peer, events = json.loads(line)
            life.records.append(Record(moment, kind, peer, tuple(events)))
    return life


def acknowledged_by(half: ProducingHalf, message: Ask) -> tuple[str, list[Any]]:
    """Which consumer says with this message that it has finished which events, if any."""
    outgoing = half.subscriptions.get(message.ref)
    if outgoing is None or not message.acked:
        return "", []
    batches: Sequence[Any] = outgoing.store.kept
    events = [event for batch in batches if batch.seq <= message.acked for event in batch.events]
    return str(outgoing.handle.peer.stage), events


def tap_acknowledgements(add: Callable[[str, Iterable[str], str], None]) -> None:
    """Have acknowledgements written down in this process, before they are believed."""
    believe = ProducingHalf.ask

    def ask(self: ProducingHalf, link: int, message: Ask) -> None:
        consumer, events = acknowledged_by(self, message)
        if events:
            add(ACKED, events, consumer)
        believe(self, link, message)

    ProducingHalf.ask = ask  # type: ignore[method-assign]
