"""Events that a stage cannot handle: tried again, skipped, or given up as dead letters.

Drives a `Treatment` with the stage's own callbacks. While one is under way nothing else of the
stage is called: to everybody else it is as busy as if the callback had not returned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from actorflow.protocol.codec import dump
from actorflow.protocol.control import DeadLetter
from actorflow.protocol.failure import Failure
from actorflow.protocol.reasons import brief
from actorflow.records import dataclass
from actorflow.stage.callbacks import HANDLE_EVENTS, Callbacks
from actorflow.stage.counters import Counter
from actorflow.stage.incoming import Taken
from actorflow.stage.on_error import DoNext, OnError, Step, Treatment

__all__ = ["Failed", "Failing", "Owner"]


@dataclass(frozen=True, slots=True)
class Failed:
    """What a guarded callback returns in place of what it raised."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Owner:
    """What the handling of failures needs of the machine around it.

    Args:
        who: the stage.
        handled: a batch is over; it takes what was made of it, and the seconds it took.
        after: have something called in so many seconds.
        send: tell the supervisor.
        log: write a log line.
        rest: take no further input, or take it again.
    """

    who: str
    handled: Callable[[Taken, Any, float], None]
    after: Callable[[float, Callable[[], None]], None]
    send: Callable[[DeadLetter], None]
    log: Callable[[str, str, dict[str, Any]], None]
    rest: Callable[[bool], None]


@dataclass(slots=True)
class _Case:
    """A batch that is being treated.

    Args:
        taken: the batch.
        treatment: what has been done with it.
        failure: what came of the last time.
        error: the same, as it was raised here; None when it ended the life of another process.
        seconds: how long its callbacks took.
        before: how often it was delivered before.
    """

    taken: Taken
    treatment: Treatment
    failure: dict[str, Any]
    error: BaseException | None
    seconds: float
    before: int = 0

    @property
    def tried(self) -> int:
        """How often the event in hand was tried, everywhere."""
        return self.before + self.treatment.tried


class Failing:
    """The failing events of one stage.

    Args:
        rule: what becomes of them.
        max_deliveries: how often an event may be delivered that ends its consumer's life.
        callbacks: the stage's.
        counters: its scoreboard slot.
        owner: the machine around it.
    """

    def __init__(
        self,
        rule: OnError,
        max_deliveries: int | None,
        callbacks: Callbacks,
        counters: Any,
        owner: Owner,
    ) -> None:
        self._rule = rule
        self._max_deliveries = max_deliveries
        self._callbacks = callbacks
        self._counters = counters
        self._owner = owner
        self._case: _Case | None = None
        self._letters = 0

    @property
    def in_hand(self) -> Taken | None:
        """The batch that is being treated."""
        return self._case.taken if self._case is not None else None

    # --- batches ----------------------------------------------------------------------------------

    def take(self, taken: Taken) -> None:
        """Have a batch handled; what it raises is met here."""
        self._callbacks.guarded_events(taken, self._done, self._guard)

    def take_again(self, taken: Taken, take: Callable[[Taken], None]) -> None:
        """Take an event whose consumer died of it, or may have: by `take`, unless it is given up.

        It is given up in its turn, so that what was made of the events before it is out.
        """
        attempt = taken.attempt
        assert attempt is not None
        if attempt.buried:
            self._callbacks.in_turn(taken, lambda t: self._owner.handled(t, None, 0.0), None)
            return
        if not self._rule.gives_up(attempt, self._max_deliveries):
            take(taken)
            return
        error = Failure.from_wire(attempt.failure).exception()
        self._callbacks.in_turn(taken, self._begin_giving_up, Failed(error))

    def kept(self, number: int) -> None:
        """The supervisor keeps the dead letter of this number."""
        case = self._case
        if case is not None and number == self._letters:
            self._counters[Counter.DEAD_LETTERED] += 1
            self._do(case, case.treatment.given_up())

    # --- within -----------------------------------------------------------------------------------

    def _guard(self, handle_events: Callable[..., Any], *arguments: Any) -> Any:
        try:
            # What it makes leaves here: a generator fails while it is read, and an event while it
            # is encoded or dealt, and both belong to the batch.
            self._callbacks.returned(handle_events(*arguments), HANDLE_EVENTS)
        except Exception as error:  # noqa: BLE001  (whatever it raises, the rule says what follows)
            return Failed(error)
        return None

    def _done(self, taken: Taken, failed: Failed | None, seconds: float) -> None:
        if failed is None:
            self._owner.handled(taken, None, seconds)
            return
        before = taken.attempt.number - 1 if taken.attempt is not None else 0
        treatment = Treatment(len(taken.events), self._rule, self._owner.who)
        wire = Failure.of(failed.error).to_wire()
        case = _Case(taken, treatment, wire, failed.error, seconds, before)
        self._begin(case, treatment.failed())

    def _begin_giving_up(self, taken: Taken) -> None:
        attempt = taken.attempt
        assert attempt is not None
        # Whatever the rule: it is not handled, and no life ends with it.
        treatment = Treatment(1, OnError("dead_letter"), self._owner.who)
        case = _Case(taken, treatment, attempt.failure, None, 0.0, attempt.number - 2)
        self._begin(case, treatment.failed())

    def _begin(self, case: _Case, step: Step) -> None:
        self._case = case
        self._callbacks.hold()
        self._owner.rest(True)
        self._do(case, step)

    def _do(self, case: _Case, step: Step) -> None:
        while step.do is DoNext.GIVE_UP and self._rule.then == "skip":
            self._skip(case, case.taken.events[step.first])
            step = case.treatment.given_up()
        if step.do is DoNext.GIVE_UP:
            self._bury(case, case.taken.events[step.first])
        elif step.do is DoNext.CALL and step.pause:
            self._owner.after(step.pause, lambda: self._call(case, step))
        elif step.do is DoNext.CALL:
            self._call(case, step)
        else:
            self._end(case, step)

    def _call(self, case: _Case, step: Step) -> None:
        events = case.taken.events[step.first : step.last]
        if case is self._case:
            self._counters[Counter.RETRIED] += len(events)
            done = partial(self._called, case)
            self._callbacks.events_now(case.taken, events, done, self._guard)

    def _called(self, case: _Case, failed: Failed | None, seconds: float) -> None:
        case.seconds += seconds
        if failed is None:
            self._do(case, case.treatment.succeeded())
        else:
            case.error, case.failure = failed.error, Failure.of(failed.error).to_wire()
            self._do(case, case.treatment.failed())

    def _skip(self, case: _Case, event: Any) -> None:
        self._counters[Counter.SKIPPED] += 1
        error = case.failure.get("summary")
        said = {"event_": brief(event), "attempts": case.tried, "error": error}
        self._owner.log("error", "an event was given up, and is skipped", said)

    def _bury(self, case: _Case, event: Any) -> None:
        """Give an event to the supervisor; it goes on when it is kept."""
        self._letters += 1
        taken = case.taken
        self._owner.send(
            DeadLetter(
                self._letters,
                taken.incoming.ref,
                taken.message,
                producer=str(taken.incoming.handle.peer.stage),
                event=dump(event),
                shown=brief(event),
                attempts=case.tried,
                failure=case.failure,
            )
        )

    def _end(self, case: _Case, step: Step) -> None:
        if step.do is DoNext.RESTART and case.error is not None:
            # Out of the callback's completion, so that the driver leaves the batch in hand on the
            # scoreboard, where the supervisor looks for it.
            raise case.error
        self._callbacks.over(case.taken, self._over)

    def _over(self, taken: Taken) -> None:
        case, self._case = self._case, None
        assert case is not None
        self._owner.rest(False)
        self._callbacks.release()
        self._owner.handled(taken, None, case.seconds)
