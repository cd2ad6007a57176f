"""The supervisor's decisions: pure, turned by observations, acting through the runtime seam.

The pykka actor and the simulator drive this one object. It has no thread, clock, process or I/O of
its own; whatever takes time is a later observation. What follows from one is decided by its parts:
`linking` (subscriptions), `lives` (starting and stopping), `ends` (restarts), over one `state`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actorflow.errors import Broken, Closed, ProtocolError
from actorflow.protocol import control
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import Cast, Message, Reply
from actorflow.protocol.reasons import DONE
from actorflow.stage.behaviour import kind_of, takes_snapshots
from actorflow.stage.options import EXACTLY_ONCE
from actorflow.supervision.checkpoint import Kept
from actorflow.supervision.children import Child, ChildInfo, ChildState, End
from actorflow.supervision.dead_letters import DeadLetters, LetterBox
from actorflow.supervision.draining import Drain, stops_after
from actorflow.supervision.ends import Ends
from actorflow.supervision.events import ChildReady, Outcome, StageLogged, SupervisorEvent
from actorflow.supervision.idleness import is_idle
from actorflow.supervision.joining import Joining
from actorflow.supervision.linking import Linking
from actorflow.supervision.lives import Lives
from actorflow.supervision.recovery import InMemory, Recovery, SnapshotStore
from actorflow.supervision.redirecting import Redirecting
from actorflow.supervision.remains import Remains, StageEnd, remains_of
from actorflow.supervision.replacing import Replacing
from actorflow.supervision.revivals import Revivals
from actorflow.supervision.runtime import (
    Exited,
    Observation,
    Received,
    Runtime,
    RuntimeBroken,
    Started,
    TimerFired,
)
from actorflow.supervision.scaling import Scaling
from actorflow.supervision.specs import Plan
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.wiring import Edge

__all__ = ["SupervisorCore"]


class SupervisorCore(SupervisorState):
    """Starts, links, watches and restarts the children of a plan.

    Args:
        plan: what to run.
        runtime: where to run it; it must be open and observe into `observe`.
        report: is told of every `SupervisorEvent`, the `Outcome` last.
        store: where snapshots are kept besides; None for nowhere.
        letters: where events are kept that stages have given up; None for nowhere.
    """

    def __init__(
        self,
        plan: Plan,
        runtime: Runtime,
        report: Callable[[SupervisorEvent], None],
        store: SnapshotStore | None = None,
        letters: LetterBox | None = None,
    ) -> None:
        super().__init__(plan, runtime, report)
        self._recovery = Recovery(self, store if store is not None else InMemory())
        self._dead_letters = DeadLetters(self, letters, self._root_ended)
        self._linking = Linking(self)
        self._joining = Joining(self, self._linking)
        self._redirecting = Redirecting(self, self._linking)
        self._lives = Lives(self, self._linking)
        self._revivals = Revivals(self, self._lives)
        self._scaling = Scaling(self, self._linking, self._lives, self._joining)
        self._replacing = Replacing(self, self._lives, self._revivals)
        self._ends = Ends(self, self._lives, self._linking, self._revivals, self._root_ended)
        self._drain = Drain(self.children, self.wiring)
        self._failure: BaseException | None = None
        self._stop_status = "stopped"
        self._joining.settle()

    # --- the run ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every child; they are linked as they become ready."""
        self.begin([child for child in self.in_order() if child.end is None])
        self.check_end()

    def resume(self, kept: Mapping[str, Kept]) -> None:
        """Go on from an earlier run's checkpoint; before `start`."""
        self.resumed = True
        self._recovery.resume(kept)

    def stop(self, reason: Any = "shutdown", *, status: str = "stopped") -> None:
        """Stop every child, the last started first; then the run is over."""
        if self.stopping:
            return
        self.stopping = True
        self._stop_status = status
        for child in reversed(self.in_order()):
            self.give_up(child, reason)
        self.check_end()

    def drain(self, within: float | None = None) -> None:
        """Let the sources finish; everything in flight is processed, then the run is over.

        Args:
            within: seconds from now at which no stage is left, whatever it does; None for no limit.
                The nearest of several holds.
        """
        if within is not None:
            self._limit_drain(within)
        self.draining = True
        for child in self.children.values():
            if child.state is ChildState.RUNNING and child.kind != "producer":
                self.tell(child, control.Draining())
            elif child.state is ChildState.RUNNING and child.paused:
                self.tell(child, control.SetDemand("forward"))
            child.paused = False
        self._revivals.hurry()
        self._drain_on()

    def _limit_drain(self, within: float) -> None:
        deadline = self.runtime.now() + within
        if deadline >= self.deadline:
            return
        self.deadline = deadline
        after = stops_after(within, self.tree.root.stops_within)
        self.after(after, lambda: self._drain_overdue(deadline))

    def _drain_overdue(self, deadline: float) -> None:
        """The rest of a drain's time is for stopping what still runs."""
        if self.outcome is not None or deadline > self.deadline:
            return
        for child in self.children.values():
            if child.alive:
                self.log(child, "warning", "did not finish in the drain's time; it is stopped")
            self._lives.hurry(child)
        self.stop()

    def _drain_on(self) -> None:
        """Have those end whose turn it is."""
        if self.draining:
            for child in self._drain.finishing():
                self.tell(child, control.Finish())
            for child in self._drain.stranded():
                self._stop_stranded(child)

    def _stop_stranded(self, child: Child) -> None:
        counters = self.runtime.counters(child.id)
        left = counters["buffered"] + counters["unacknowledged"]
        if left:
            self.log(child, "warning", "dropped what nobody is left to take", events=left)
        # No deadline comes with it: one that is at its end already may take its time over that.
        self.tell(child, control.Stop("shutdown"))

    def _root_ended(self, error: BaseException | None) -> None:
        """The run's own supervisor gave up, with an error, or significant children ended it."""
        if error is not None and self._failure is None:
            self._failure = error
        self.stop("shutdown", status=DONE if error is None else "failed")

    def _broken(self, observation: RuntimeBroken) -> None:
        for child in self.children.values():
            if child.alive:
                end = End("killed", False, None, observation.detail, child.pid)
                child.end, child.state = end, ChildState.ENDED
                self.calls.down(child.incarnation, end.reason)
                self.monitors.down(child, restarting=False)
            elif child.awaited:
                child.state = ChildState.ENDED
        self.stopping = True
        self._stop_status = "failed"
        if self._failure is None:
            self._failure = Broken(observation.detail)
        self.check_end()

    def check_end(self) -> None:
        """End the run if everything has ended, or drain it if nothing more can flow."""
        if self.outcome is not None:
            return
        busy = (child.alive or child.awaited for child in self.children.values())
        ending = self.stopping or self.draining
        if any(busy) or (self.tree.lasting and not ending):
            if self.plan.ends_when_idle and not ending and is_idle(self.children, self.wiring):
                self.drain()
            return
        status = self._stop_status if self.stopping else DONE
        error = self._failure if status == "failed" else None
        self.outcome = Outcome(status, error, self.results(), self._remains())
        self.abandon(Closed(f"the run {self.plan.name!r} is over"))
        self.report(self.outcome)

    def _remains(self) -> tuple[Remains, ...]:
        """What no stage has finished."""
        ends = [
            StageEnd(
                child.id,
                child.spec.stage.options.delivery != "at_most_once",
                self.runtime.counters(child.id),
                child.unhandled,
            )
            for child in self.in_order()
        ]
        kept = self.plan.checkpoint is not None and all(
            stage.options.delivery == EXACTLY_ONCE or takes_snapshots(stage.behaviour)
            for stage in (child.spec.stage for child in self.children.values())
            if kind_of(stage.behaviour) == "producer"
        )
        return remains_of(ends, self.runtime.links(), kept=kept)

    # --- observations -----------------------------------------------------------------------------

    def observe(self, observation: Observation) -> None:
        """Take what the runtime saw."""
        self._take(observation)
        self._redirecting.settle()
        self._joining.settle()

    def _take(self, observation: Observation) -> None:
        if isinstance(observation, Received):
            self._received(observation.child, observation.message)
        elif isinstance(observation, Started):
            child = self.current(observation.child)
            if child is not None:
                child.pid = observation.pid
        elif isinstance(observation, Exited):
            self._exited(observation)
        elif isinstance(observation, TimerFired):
            self.fire(observation.token)
        elif isinstance(observation, RuntimeBroken):
            self._broken(observation)

    def _received(self, who: Incarnation, message: Message) -> None:
        child = self.current(who)
        if child is None:
            return
        try:
            if isinstance(message, Reply):
                self.calls.reply(who, message)
            elif isinstance(message, Cast) and message.scope == control.SYSTEM:
                self._told(child, control.decode_control(message))
            else:
                kind = type(message).__name__
                raise ProtocolError("unknown_message", f"{kind} is nothing for a supervisor")
        except ProtocolError as error:
            self._distrust(child, error)

    def _distrust(self, child: Child, error: ProtocolError) -> None:
        """A stage that sends its supervisor what it may not is none any more: it is killed."""
        said = "the stage sent its supervisor what it may not, and is killed"
        self.log(child, "error", said, reason=str(error))
        child.fault = str(error)
        self.runtime.signal(child.incarnation, "kill")

    def _told(self, child: Child, record: control.Control) -> None:
        if isinstance(record, control.Ready):
            self._ready(child, record.kind)
        elif isinstance(record, control.LogRecord):
            self.report(StageLogged(child.incarnation, child.pid, record))
        elif isinstance(record, control.Snapshot):
            self._recovery.take(child, record)
        elif isinstance(record, control.DeadLetter):
            self._dead_letters.take(child, record)
        elif isinstance(record, control.Exiting):
            child.exiting = record
            self.take_result(child, record.result)
        elif isinstance(record, control.Established):
            self._linking.established(child, record.ref)
        elif isinstance(record, control.SubscriptionEnded):
            self._linking.ended(child, record)
            self._drain_on()
            self.check_end()
        elif isinstance(record, control.Members):
            self._joining.requested(child, record)
        elif isinstance(record, control.Redirected):
            self._redirecting.requested(child, record)
        else:
            name = type(record).__name__
            raise ProtocolError("unknown_message", f"{name} is nothing for a supervisor")

    def _ready(self, child: Child, kind: str) -> None:
        child.kind = kind
        if child.state is not ChildState.STARTING:
            return
        child.state = ChildState.RUNNING
        child.was_ready = True
        child.fallback = None
        self.report(ChildReady(child.incarnation, child.pid))
        if child.paused and kind == "producer":
            self.tell(child, control.SetDemand("accumulate"))
        self._linking.expect(child)
        succeeds = self.resumed or child.generation > child.born
        if child.finished or (succeeds and self._ends.is_needless(child)):
            # Its predecessor's end was known to consumers, and to nobody else any more.
            self.tell(child, control.Stop(DONE))
        # What it was sent before it was there comes first: a drain may tell it to finish now.
        for message in self.take_early(child.incarnation):
            self.send(child, message)
        self._drain_on()
        self._lives.started(child)
        self.ready.resolve(child, ChildInfo.of(child))
        self.replaced.resolve(child, ChildInfo.of(child))

    def _exited(self, exited: Exited) -> None:
        child = self.current(exited.child)
        if child is None or not child.alive:
            return
        self._ends.exited(child, exited)
        self._recovery.ended(child)
        self._drain_on()
        self.check_end()

    def kill_supervisor(self, name: str) -> None:
        """A supervisor has ended badly, and its parent decides."""
        self._ends.supervisor_killed(name)
        self.check_end()

    # --- for operations ---------------------------------------------------------------------------

    def begin(self, children: Sequence[Child]) -> None:
        """Start these, which have no process, in start order."""
        self._lives.start(children)

    def give_up(self, child: Child, reason: Any = "shutdown") -> None:
        """Stop a child for good, also one that was to be started again."""
        child.terminated = True
        self._lives.give_up(child, reason)
        self._revivals.forget(child)
        self.forget_if_over(child)
        self._drain_on()
        self.check_end()

    def terminate(self, child: Child, reason: Any = "shutdown") -> None:
        """Ask a child to stop; SIGTERM at half of its `shutdown` time, SIGKILL at its end."""
        self._lives.terminate(child, reason)

    @property
    def linking(self) -> Linking:
        """Subscriptions between children."""
        return self._linking

    @property
    def joining(self) -> Joining:
        """Managers, their members and subscribers."""
        return self._joining

    @property
    def scaling(self) -> Scaling:
        """More or fewer replicas."""
        return self._scaling

    @property
    def replacing(self) -> Replacing:
        """Other arguments and options."""
        return self._replacing

    def connect(self, edge: Edge) -> None:
        """Link an edge when both ends run, or say that its producer has finished."""
        self._linking.connect(edge)
