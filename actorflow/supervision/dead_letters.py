"""What a supervisor does with an event that a stage has given up: keep it, or end the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actorflow.protocol import control
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import Incarnation
from actorflow.supervision.children import Batch, Child
from actorflow.supervision.letters import DeadLetter
from actorflow.supervision.state import SupervisorState

__all__ = ["DeadLetters", "LetterBox"]

TRY_AGAIN = 1.0
"""Seconds after which a letter that could not be kept is tried again."""


class LetterBox(Protocol):
    """Where dead letters are kept."""

    def keep(self, letter: DeadLetter) -> None:
        """Keep a letter.

        Raises:
            OSError: it could not be kept now.
        """


class DeadLetters:
    """Takes dead letters for one run.

    Args:
        state: the supervisor's.
        box: where they are kept; None for nowhere.
        fail: ends the run with an error.
    """

    def __init__(
        self,
        state: SupervisorState,
        box: LetterBox | None,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._state = state
        self._box = box
        self._fail = fail

    def take(self, child: Child, record: control.DeadLetter) -> None:
        """A stage has given an event up; it goes on when it is told that the letter is kept."""
        if self._box is None:
            error = Failure.from_wire(record.failure).exception()
            tried = f"after {record.attempts} attempts" if record.attempts > 1 else "at once"
            error.add_note(
                f"stage {child.id} gave up the event {record.shown} {tried}, and the topology has"
                " no dead_letters to keep it in"
            )
            self._fail(error)
        else:
            self._keep(self._box, child.incarnation, record)

    def _keep(self, box: LetterBox, who: Incarnation, record: control.DeadLetter) -> None:
        child = self._state.current(who)
        if child is None or not child.alive:
            return  # the event is delivered again
        failure = Failure.from_wire(record.failure)
        letter = DeadLetter(
            stage=str(child.id),
            producer=record.producer,
            event=record.event,
            shown=record.shown,
            attempts=record.attempts,
            error=failure.summary,
            traceback=failure.traceback,
        )
        said = {"event_": record.shown, "attempts": record.attempts, "error": failure.summary}
        try:
            box.keep(letter)
        except OSError as error:
            said["error"] = str(error)
            self._state.log(child, "error", "a dead letter cannot be kept; the stage waits", **said)
            self._state.after(TRY_AGAIN, lambda: self._keep(box, who, record))
            return
        self._state.log(child, "error", "an event was given up, and is a dead letter", **said)
        child.buried.append(Batch(record.ref, record.seq))
        self._state.tell(child, control.DeadLetterKept(record.number))
