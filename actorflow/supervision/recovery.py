"""What stages leave for their successors: taken from them, kept, and handed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from actorflow.errors import ProtocolError
from actorflow.protocol.control import LogRecord, Snapshot, SnapshotStored
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.reasons import DONE
from actorflow.stage.spec import StageSpec
from actorflow.supervision.checkpoint import Kept
from actorflow.supervision.children import Child
from actorflow.supervision.events import StageLogged
from actorflow.supervision.journal import Journal
from actorflow.supervision.state import SupervisorState

__all__ = ["InMemory", "Recovery", "SnapshotStore"]


class SnapshotStore(Protocol):
    """Where snapshots are kept beyond the supervisor's own memory. No method blocks or raises."""

    def keep(self, stage: str, snapshot: Snapshot, stored: Callable[[], None]) -> None:
        """Keep a snapshot, in the order of these calls; then call `stored`, in any thread."""

    def keep_end(self, stage: str, reason: Any, result: bytes | None) -> None:
        """A stage has come to its orderly end, with this result, pickled."""


class InMemory(SnapshotStore):
    """Without a checkpoint file: the supervisor's own memory is all there is."""

    def keep(self, stage: str, snapshot: Snapshot, stored: Callable[[], None]) -> None:
        """It is kept already."""
        stored()

    def keep_end(self, stage: str, reason: Any, result: bytes | None) -> None:
        """The supervisor knows."""


class Recovery:
    """Keeps each child's last snapshot.

    Args:
        state: the supervisor's.
        store: where else snapshots are kept.
    """

    def __init__(self, state: SupervisorState, store: SnapshotStore) -> None:
        self._state = state
        self._store = store

    def resume(self, kept: Mapping[str, Kept]) -> None:
        """Go on from an earlier run's checkpoint: before anything is started."""
        for child in self._state.children.values():
            found = kept.get(str(child.id))
            if found is None:
                continue
            if found.restored is not None:
                child.journal = Journal.resumed(found.restored)
            if found.ended:
                child.ended_before(found.reason)
                self._state.take_result(child, found.result)
                self._note_finished(child)
        for name, found in kept.items():
            who = Incarnation.parse(f"{name}#1")
            if who.stage not in self._state.children and found.restored is not None:
                self._leave(who, Journal.resumed(found.restored))

    def _leave(self, who: Incarnation, journal: Journal) -> None:
        """Keep what a stage had that an earlier run had added, and say that it is not there."""
        self._state.unclaimed[who.stage] = journal
        said = "is in the checkpoint and not in this run; added again, it goes on from there"
        self._state.report(StageLogged(who, 0, LogRecord("warning", said)))

    def _note_finished(self, consumer: Child) -> None:
        """One that has ended as its input had: those it took from had told it so."""
        end = consumer.end
        if end is not None and end.reason == DONE:
            for edge in self._state.wiring.upstream(consumer.id):
                if edge.options.cancel == "permanent":
                    self._state.children[edge.producer].finished = True

    def take(self, child: Child, snapshot: Snapshot) -> None:
        """Keep a snapshot and say so. A child that sends what is none is killed: it would wait."""
        try:
            child.journal.take(snapshot)
        except ProtocolError as error:
            self._state.log(child, "error", "a snapshot was refused", reason=str(error))
            self._state.runtime.signal(child.incarnation, "kill")
            return
        who, number = child.incarnation, snapshot.number

        def stored() -> None:
            living = self._state.current(who)
            if living is not None:
                self._state.tell(living, SnapshotStored(number))

        self._store.keep(str(child.id), snapshot, stored)

    def ended(self, child: Child) -> None:
        """A child has come to its end; when that was an orderly one it has no successor."""
        end = child.end
        if self._state.draining or self._state.stopping:
            return  # it was made to end, and goes on in the next run
        if end is not None and end.normal and child.ended_for_good:
            result = child.exiting.result if child.exiting is not None else None
            self._store.keep_end(str(child.id), end.reason, result)

    @staticmethod
    def spec_of(child: Child) -> StageSpec:
        """What to start: the child as declared, going on from its last snapshot."""
        stage = child.spec.stage
        if child.journal.empty:
            return stage
        return replace(stage, restored=child.journal.restored())
