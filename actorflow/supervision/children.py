"""What a supervisor knows of its children, and why each ended."""

from __future__ import annotations

import pickle
import signal
from collections import deque
from collections.abc import Mapping
from dataclasses import field, replace
from enum import Enum, auto
from typing import Any

from actorflow.errors import RunError, StageKilled, StartFailed
from actorflow.protocol.control import Exiting
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.reasons import is_normal
from actorflow.records import dataclass
from actorflow.supervision.journal import Journal
from actorflow.supervision.runtime import Exited
from actorflow.supervision.specs import ChildSpec

__all__ = ["Batch", "Child", "ChildInfo", "ChildState", "End", "InHand", "end_of"]


class ChildState(Enum):
    """Where a child stands."""

    WAITING = auto()
    """It will be started when its turn has come: its supervisor starts them one by one."""
    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()
    RESTARTING = auto()
    """Its process is gone and a successor will be started."""
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class End:
    """Why an incarnation ended.

    Args:
        reason: plain data: ``"done"``, ``"shutdown"``, ``["error", …]``, ``"killed"``, …
        normal: whether that is an orderly end.
        error: the exception to show, or None.
        detail: pid, signal or status, memory: whatever is known.
        pid: the process, 0 when there was none.
        status: its exit status, or None.
        signal: the number of the signal that it died of, or None.
    """

    reason: Any
    normal: bool
    error: BaseException | None
    detail: str
    pid: int = 0
    status: int | None = None
    signal: int | None = None
    in_hand: InHand | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch on its way.

    Args:
        ref: the subscription that it came by.
        seq: its sequence number.
    """

    ref: int
    seq: int


@dataclass(frozen=True, slots=True)
class InHand:
    """What an incarnation was handling when it ended badly.

    Args:
        batch: the batch.
        failure: how it ended, as `Failure.to_wire` has it.
    """

    batch: Batch
    failure: dict[str, Any]


@dataclass(slots=True, eq=False)
class Child:
    """A child: its specification and its current incarnation."""

    spec: ChildSpec
    state: ChildState = ChildState.ENDED
    generation: int = 0
    pid: int = 0
    kind: str = ""
    was_ready: bool = False
    restarts: int = 0
    exiting: Exiting | None = None
    end: End | None = None
    result: Any = None
    has_result: bool = False
    last_result: Any = None
    """What its present or last incarnation left behind; `result` may be of one before."""
    comes_back: bool = False
    """Stopped because its group is started again, and it with the group."""
    served: bool = False
    """Whether this incarnation has been linked with a consumer."""
    overdue: bool = False
    """Killed because its start took longer than it may."""
    finished: bool = False
    """A consumer has heard from it that nothing more comes, so that all it had is finished."""
    journal: Journal = field(default_factory=Journal)
    """What it has left for its successors."""
    buried: deque[Batch] = field(default_factory=lambda: deque(maxlen=1000))
    """What this incarnation gave up last, with dead letters; whatever is older is finished."""
    unhandled: Mapping[str, int] = field(default_factory=dict)
    """Events that this incarnation had taken and not handled at its end, by who had sent them."""
    fault: str = ""
    """What it sent that a stage may not send, for which it is killed."""
    terminated: bool = False
    """Stopped by an operation, which another may take back."""
    paused: bool = False
    """The program has paused the stage: it takes, or makes, nothing new."""
    leaving: bool = False
    """It is to finish what it has, and end; nobody succeeds it."""
    fallback: ChildSpec | None = None
    """How it was before it was replaced, until the new one is ready."""
    born: int = 1
    """Its first generation: more than 1 when there was a child of that name before."""
    dynamic: bool = False
    """Started by an operation: that its start fails is the operation's error, not the run's."""

    @property
    def id(self) -> StageId:
        """The stage."""
        return self.spec.stage.id

    @property
    def incarnation(self) -> Incarnation:
        """The current, or last, life of it."""
        return Incarnation(self.id, self.generation)

    @property
    def alive(self) -> bool:
        """Whether a process exists, as far as is known."""
        return self.state in (ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING)

    @property
    def awaited(self) -> bool:
        """Whether there is no process, and will be one."""
        return self.state in (ChildState.WAITING, ChildState.RESTARTING)

    @property
    def addressee(self) -> Incarnation:
        """The life that messages are for: the next one, while it waits for its turn to start."""
        waits = self.state is ChildState.WAITING
        return Incarnation(self.id, self.generation + 1) if waits else self.incarnation

    @property
    def ended_for_good(self) -> bool:
        """Whether it ran, has ended, and no successor is on its way."""
        return self.state is ChildState.ENDED and self.generation > 0

    def take_result(self, result: bytes | None) -> None:
        """Keep the answer that an incarnation left behind, pickled.

        Raises:
            Exception: whatever the user's class raises when its object is made again here.
        """
        if result is not None:
            self.result = self.last_result = pickle.loads(result)
            self.has_result = True

    def ended_before(self, reason: Any) -> None:
        """It had come to its orderly end before the host of an earlier run died."""
        self.generation = 1
        self.was_ready = True
        self.end = End(reason, True, None, "ended in an earlier run")


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One row of `which_children`.

    Args:
        id: the stage, ``"count/1"``.
        state: ``"waiting"`` (for its turn to start), ``"starting"``, ``"running"``, ``"stopping"``,
            ``"restarting"`` or ``"ended"``.
        kind: ``"producer"``, ``"producer_consumer"``, ``"consumer"``, or empty before it is known.
        pid: its process, 0 when there is none.
        generation: which life it is, from 1.
        restarts: how often it was restarted.
        reason: why its last life ended, or None.
        supervisor: the supervisor that it is a child of; nothing for the run's own.

    Example:
        >>> row = ChildInfo(
        ...     "count/0", "running", "stage", pid=4711, generation=2, restarts=1, reason=None
        ... )
        >>> row.id, row.restarts
        ('count/0', 1)
    """

    id: str
    state: str
    kind: str
    pid: int
    generation: int
    restarts: int
    reason: Any
    supervisor: str = ""

    @classmethod
    def of(cls, child: Child) -> ChildInfo:
        """The row of a child."""
        return cls(
            id=str(child.id),
            state=child.state.name.lower(),
            kind=child.kind,
            pid=child.pid if child.alive else 0,
            generation=child.generation,
            restarts=child.restarts,
            reason=child.end.reason if child.end else None,
            supervisor=child.spec.supervisor,
        )


def end_of(child: Child, exited: Exited, counters: Mapping[str, int]) -> End:
    """Why an incarnation ended: its last words when it left any, else what the kernel says.

    Args:
        child: whose incarnation.
        exited: how its process ended.
        counters: the stage's, which tell what it had in hand when it died without a word.
    """
    end = _end_of(child, exited, counters)
    return replace(
        end,
        pid=exited.pid or child.pid,
        status=exited.status,
        signal=exited.signal,
        in_hand=None if end.normal else _in_hand(child, end, counters),
    )


def _in_hand(child: Child, end: End, counters: Mapping[str, int]) -> InHand | None:
    same = counters["generation"] == child.generation
    if not (same and counters["callback_since"] and counters["callback_ref"]):
        return None
    if child.exiting is not None and child.exiting.failure is not None:
        failure = child.exiting.failure
    elif end.error is not None:
        # Nothing was raised there, so there is nowhere that it was raised.
        failure = replace(Failure.of(end.error), traceback="").to_wire()
    else:
        return None
    return InHand(Batch(counters["callback_ref"], counters["callback_message"]), failure)


def _end_of(child: Child, exited: Exited, counters: Mapping[str, int]) -> End:
    detail = _detail(exited)
    if child.fault:
        detail += f", killed for what it sent: {child.fault}"
    if child.exiting is not None:
        return _end_in_words(child, child.exiting, detail)
    if counters["generation"] == child.generation and counters["callback_since"]:
        detail += f", {counters['callback_events']} events in hand"
    if not exited.pid:
        return End("not_started", False, StartFailed(f"stage {child.id} {exited.detail}"), detail)
    reason = "killed" if exited.signal is not None else ["exit", exited.status]
    error: RunError = StageKilled(str(child.id), detail)
    if child.overdue:
        limit = f"start_within={child.spec.start_within:g} s"
        late = StartFailed(f"stage {child.id} was not ready within {limit} and was killed")
        late.__cause__ = error
        error = late
    return End(reason, False, error, detail)


def _end_in_words(child: Child, exiting: Exiting, detail: str) -> End:
    if exiting.failure is None:
        return End(exiting.reason, is_normal(exiting.reason), None, detail)
    place = child.spec.stage.place
    # A stage in the program raised the very object; from a process only a copy has come.
    original = place.error if place is not None else None
    error = original or Failure.from_wire(exiting.failure).exception()
    error.add_note(f"raised in stage {child.id} ({detail})")
    return End(exiting.reason, False, error, detail)


def _detail(exited: Exited) -> str:
    parts = [f"process {exited.pid}" if exited.pid else "no process"]
    if exited.signal is not None:
        parts.append(f"signal {_signal_name(exited.signal)}")
    elif exited.status is not None:
        parts.append(f"exit status {exited.status}")
    if exited.max_rss:
        parts.append(f"at most {exited.max_rss / 2**20:.0f} MiB of memory")
    if exited.detail:
        parts.append(exited.detail)
    return ", ".join(parts)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
