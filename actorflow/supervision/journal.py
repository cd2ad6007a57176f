"""What the supervisor keeps of a stage's snapshots, so that a successor goes on from the last.

Pure. The state is replaced by each snapshot; of the outputs a snapshot brings only the new ones, so
that what is under way for long is not sent again and again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from actorflow.errors import ProtocolError
from actorflow.protocol.control import Snapshot
from actorflow.records import dataclass
from actorflow.stage.restored import KeptBatch, KeptEdge, Restored

__all__ = ["Journal"]


@dataclass(slots=True)
class _Edge:
    consumer: str
    sent: int = 0
    batches: deque[KeptBatch] = field(default_factory=deque)

    def acknowledge(self, events: int) -> None:
        """Every event before this place is finished."""
        while self.batches and self.batches[0].first + self.batches[0].count <= events:
            self.batches.popleft()


class Journal:
    """The last snapshot of one stage, over all its incarnations.

    Example:
        >>> journal = Journal()
        >>> journal.take(Snapshot(1, state=b"seven"))
        >>> journal.restored().state
        b'seven'
    """

    def __init__(self) -> None:
        self.empty = True
        self._state: bytes | None = None
        self._covered: dict[str, int] = {}
        self._seqs: dict[int, int] = {}
        self._edges: dict[str, _Edge] = {}
        self._buffer: bytes | None = None
        self._finishing = False

    def take(self, snapshot: Snapshot) -> None:
        """Replace what is kept by a newer snapshot.

        Raises:
            ProtocolError: ``bad_snapshot``: a field is missing or of another type, or batches do
                not follow those that are kept. What was kept before is kept still.
        """
        try:
            covered = {str(each["edge"]): int(each["events"]) for each in snapshot.inputs}
            seqs = {int(each["ref"]): int(each["seq"]) for each in snapshot.inputs}
            edges = dict(self._edges)
            for each in snapshot.outputs:
                edge = edges.pop(str(each["edge"]), None)
                if not each.get("closed"):
                    edges[str(each["edge"])] = _appended(edge, each)
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError("bad_snapshot", f"{type(error).__name__}: {error}") from error
        self.empty = False
        self._state = snapshot.state
        self._covered |= covered
        self._seqs = seqs
        self._edges = edges
        self._buffer = snapshot.buffer
        self._finishing = bool(snapshot.finishing)

    def covers(self, ref: int) -> int:
        """The last batch of a subscription that the snapshot reflects, 0 for none."""
        return self._seqs.get(ref, 0)

    def reaches(self, edge: str) -> int | None:
        """How many events of an edge from a producer the snapshot reflects; None for unknown."""
        return self._covered.get(edge)

    @property
    def outputs(self) -> dict[str, str]:
        """The consumer of each edge that something was sent on, and that is not closed."""
        return {name: edge.consumer for name, edge in self._edges.items()}

    def restored(self) -> Restored:
        """What a successor goes on from."""
        return Restored(
            state=self._state,
            covered=dict(self._covered),
            outputs={
                name: KeptEdge(edge.consumer, edge.sent, tuple(edge.batches))
                for name, edge in self._edges.items()
            },
            buffer=self._buffer,
            finishing=self._finishing,
        )

    @classmethod
    def resumed(cls, restored: Restored) -> Journal:
        """A journal that begins where an earlier run's ended."""
        journal = cls()
        journal.empty = False
        journal._state = restored.state
        journal._covered = dict(restored.covered)
        journal._edges = {
            name: _Edge(edge.consumer, edge.sent, deque(edge.batches))
            for name, edge in restored.outputs.items()
        }
        journal._buffer = restored.buffer
        journal._finishing = restored.finishing
        return journal


def _appended(old: _Edge | None, said: Mapping[str, Any]) -> _Edge:
    """An edge with what a snapshot says of it; a copy, so that a bad snapshot changes nothing.

    Raises:
        ValueError: there is a gap between what is kept and what is new.
    """
    fresh = [
        KeptBatch(int(batch["first"]), int(batch["count"]), bytes(batch["body"]))
        for batch in said["batches"]
    ]
    sent = int(said["sent"])
    edge = _Edge(str(said["consumer"]), sent - sum(batch.count for batch in fresh))
    if old is not None:
        edge.batches.extend(old.batches)
        if old.sent != edge.sent:
            raise ValueError(f"event {edge.sent} of edge {said['edge']} follows {old.sent}")
    for batch in fresh:
        if batch.first != edge.sent:
            raise ValueError(f"event {batch.first} of edge {said['edge']} follows {edge.sent}")
        edge.batches.append(batch)
        edge.sent += batch.count
    edge.acknowledge(int(said["acked"]))
    return edge
