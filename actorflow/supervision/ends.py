"""What follows when a child's process has ended: nothing, a restart, or the end of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.errors import IntensityExceeded, StartFailed
from actorflow.protocol import control
from actorflow.protocol.reasons import DONE
from actorflow.supervision.children import Child, ChildState, End, end_of
from actorflow.supervision.events import ChildEnded, ChildRestarting
from actorflow.supervision.linking import Linking
from actorflow.supervision.lives import Lives
from actorflow.supervision.runtime import Exited
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.strategy import RestartLog, restart_group, wants_restart

__all__ = ["Ends"]


class Ends:
    """Decides, for each child that has ended, who is started again and who is told what.

    Args:
        state: the supervisor's.
        lives: starts and stops children.
        linking: passes verdicts to peers.
        fail: is called with the error that ends the run.
    """

    def __init__(
        self,
        state: SupervisorState,
        lives: Lives,
        linking: Linking,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._state = state
        self._lives = lives
        self._linking = linking
        self._fail = fail
        self._restart_log = RestartLog(state.plan.intensity)

    def exited(self, child: Child, exited: Exited) -> None:
        """A child's process is gone."""
        if not child.pid:
            child.pid = exited.pid
        asked = child.state is ChildState.STOPPING
        end = end_of(child, exited, self._state.runtime.counters(child.id))
        child.end = end
        child.state = ChildState.ENDED
        who = child.incarnation
        self._state.report(
            ChildEnded(who, child.pid, end.reason, end.normal, end.error, end.detail)
        )
        self._state.calls.down(who, end.reason)
        self._state.take_early(who)
        self._decide(child, exited, end, asked=asked)
        failed = StartFailed(f"stage {child.id} did not start: {end.reason} ({end.detail})")
        failed.__cause__ = end.error
        self._state.ready.reject(child, failed)
        self._state.gone.resolve(child, None)
        self._restart_when_all_gone()

    def _decide(self, child: Child, exited: Exited, end: End, *, asked: bool) -> None:
        """Say what becomes of it."""
        started = child.was_ready
        comes_back = child.comes_back
        child.in_group = child.comes_back = False
        if comes_back:
            child.state = ChildState.RESTARTING
            self._down(child, end.reason, restarting=True)
        elif asked or self._state.stopping:
            self._down(child, end.reason, restarting=False)
        elif not started and child.dynamic:
            self._down(child, end.reason, restarting=False)
            if child.generation == 1:
                self._state.remove(child)
        elif not started and child.generation == 1 and (exited.signal is None or child.overdue):
            self._down(child, end.reason, restarting=False)
            self._start_failed(child, end)
        else:
            self._ended_by_itself(child, end)
            if child.ended_for_good and end.normal:
                self._release_producers(child)

    def _ended_by_itself(self, child: Child, end: End) -> None:
        if _cannot_begin_again(child, end):
            self._down(child, end.reason, restarting=False)
            self._start_failed(child, end)
        elif (
            not wants_restart(child.spec.restart, normal=end.normal)
            or (self._state.draining and end.normal)
            or self._is_needless(child)
        ):
            self._down(child, end.reason, restarting=False)
        elif self._restart_log.allows(self._state.runtime.now()):
            self._restart(child, end)
        else:
            self._down(child, end.reason, restarting=False)
            self._fail(self._intensity_error(child, end))

    # --- restarts ---------------------------------------------------------------------------------

    def _restart(self, failed: Child, end: End) -> None:
        """Begin to start a child's group again: whoever of it lives has to stop first.

        A temporary child stops with its group and is not started again (OTP).
        """
        failed.state = ChildState.RESTARTING
        self._down(failed, end.reason, restarting=True)
        for child in reversed(self._group_of(failed)):
            lasting = child.spec.restart != "temporary"
            if child.alive:
                child.in_group = True
                child.comes_back = lasting
                self._lives.terminate(child)
            elif child.ended_for_good and lasting:
                child.state = ChildState.RESTARTING

    def _group_of(self, failed: Child) -> list[Child]:
        children = self._state.children
        group = restart_group(self._state.plan.strategy, list(children), failed.id)
        return [children[stage] for stage in group]

    def _restart_when_all_gone(self) -> None:
        """Start the group again, in start order, once all of it has stopped."""
        children = list(self._state.children.values())
        if self._state.stopping or any(child.in_group for child in children):
            return
        for child in children:
            if child.state is ChildState.RESTARTING:
                child.restarts += 1
                self._state.rewire(child)
                self._lives.spawn(child)
                self._state.report(ChildRestarting(child.incarnation, child.restarts))

    def _down(self, child: Child, reason: Any, *, restarting: bool) -> None:
        """An incarnation has ended: tell everyone linked with it and everyone who monitors it."""
        self._linking.verdict(child, reason, restarting=restarting)
        self._state.monitors.down(child, restarting=restarting)

    # --- nobody needs it any more -----------------------------------------------------------------

    def _release_producers(self, consumer: Child) -> None:
        """Let a successor end that nobody has subscribed to, and nobody will any more.

        Its predecessor may have told its consumers that it was done; then they end, although they
        have been linked with the successor.
        """
        for edge in self._state.wiring.upstream(consumer.id):
            producer = self._state.children[edge.producer]
            if producer.generation == 1 or not producer.alive or not self._is_needless(producer):
                continue
            if not producer.served or self._consumers_are_done(producer):
                self._state.tell(producer, control.Stop(DONE))

    def _is_needless(self, child: Child) -> bool:
        """Whether all that a producer was for has come to its end.

        Its consumers have ended in order, so everything they took is finished; it, or a successor
        when it died on its way out, would wait for subscriptions that nobody makes.
        """
        if self._group_of(child) != [child]:
            return False
        consumers = self._consumers_of(child)
        return bool(consumers) and all(
            each.ended_for_good and each.end is not None and each.end.normal for each in consumers
        )

    def _consumers_are_done(self, producer: Child) -> bool:
        """Whether all its consumers had their whole input; none left for a reason of its own."""
        ends = [each.end for each in self._consumers_of(producer)]
        return all(end is not None and end.reason == DONE for end in ends)

    def _consumers_of(self, producer: Child) -> list[Child]:
        edges = self._state.wiring.downstream(producer.id)
        return [self._state.children[edge.consumer] for edge in edges]

    # --- errors -----------------------------------------------------------------------------------

    def _start_failed(self, child: Child, end: End) -> None:
        if end.reason == "ignore":
            return
        if end.error is not None:
            self._fail(end.error)
        else:
            self._fail(StartFailed(f"stage {child.id} stopped in its start: {end.reason}"))

    def _intensity_error(self, child: Child, end: End) -> BaseException:
        """The error of the run: the original exception, with a note of what was tried."""
        allowed = self._state.plan.intensity
        note = (
            f"stage {child.id} ended more often than the supervisor allows: more than"
            f" max_restarts={allowed.max_restarts} restarts in max_seconds={allowed.max_seconds:g}"
        )
        if end.error is not None:
            end.error.add_note(note)
            return end.error
        return IntensityExceeded(f"{note}; it last ended with {end.reason!r}")


def _cannot_begin_again(child: Child, end: End) -> bool:
    """Whether this bad end is the run's, as what the stage reads can be consumed only once."""
    place = child.spec.stage.place
    final = place is not None and place.final and child.spec.restart != "temporary"
    return final and not end.normal
