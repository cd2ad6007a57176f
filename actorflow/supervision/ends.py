"""What follows when a child's process has ended: nothing, a restart, or the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actorflow.errors import IntensityExceeded, StartFailed
from actorflow.protocol import control
from actorflow.protocol.reasons import DONE
from actorflow.stage.on_error import OnError
from actorflow.supervision.causes import intensity_error
from actorflow.supervision.children import Child, ChildState, End, InHand, end_of
from actorflow.supervision.events import ChildEnded, SupervisorEnded
from actorflow.supervision.linking import Linking
from actorflow.supervision.lives import Lives
from actorflow.supervision.revivals import Revivals
from actorflow.supervision.runtime import Exited
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.tree import Decision

__all__ = ["Ends"]


class Ends:
    """Decides, for each child that has ended, who is started again and who is told what.

    Args:
        state: the supervisor's.
        lives: starts and stops children.
        linking: passes verdicts to peers.
        revivals: starts groups again.
        over: is called when the run's own supervisor ends: with the error, or None for an orderly
            end.
    """

    def __init__(
        self,
        state: SupervisorState,
        lives: Lives,
        linking: Linking,
        revivals: Revivals,
        over: Callable[[BaseException | None], None],
    ) -> None:
        self._state = state
        self._lives = lives
        self._linking = linking
        self._revivals = revivals
        self._over = over

    def exited(self, child: Child, exited: Exited) -> None:
        """A child's process is gone."""
        if not child.pid:
            child.pid = exited.pid
        asked = child.state is ChildState.STOPPING
        end = end_of(child, exited, self._state.runtime.counters(child.id))
        child.end = end
        child.unhandled = self._unhandled(child, end)
        child.state = ChildState.ENDED
        who = child.incarnation
        words = end.reason, end.normal, end.error, end.detail
        self._state.report(ChildEnded(who, child.pid, *words, child.last_result))
        self._state.calls.down(who, end.reason)
        self._state.take_early(who)
        fell_back = self._decide(child, exited, end, asked=asked)
        failed = StartFailed(f"stage {child.id} did not start: {end.reason} ({end.detail})")
        failed.__cause__ = end.error
        self._state.ready.reject(child, failed)
        if fell_back or child.state is ChildState.ENDED:
            self._state.replaced.reject(child, failed)
        self._lives.ended(child)
        self._state.gone.resolve(child, None)
        if child.leaving:
            self._state.retire(child)
        self._revivals.gone(child.id)
        if child.ended_for_good:
            self._state.wiring.forget_ended(child.id)
        self._state.forget_if_over(child)

    def _unhandled(self, child: Child, end: End) -> Mapping[str, int]:
        """What it had taken and not handled: as it said, or what is known to have been in hand."""
        counts = dict(child.exiting.unhandled) if child.exiting is not None else {}
        if end.in_hand is None:
            return counts
        # The subscription may be over, as its producer has ended before.
        for edge in self._state.wiring.upstream(child.id):
            if edge.ref == end.in_hand.batch.ref:
                sender = str(edge.producer)
                in_hand = self._state.runtime.counters(child.id)["callback_events"]
                counts[sender] = counts.get(sender, 0) + in_hand
        return counts

    def _decide(self, child: Child, exited: Exited, end: End, *, asked: bool) -> bool:
        """Say what becomes of it; returns whether one as before takes the place of a new one."""
        started = child.was_ready
        comes_back = child.comes_back
        child.comes_back = False
        if comes_back:
            child.state = ChildState.RESTARTING
            self._down(child, end.reason, restarting=True)
        elif asked or child.leaving or self._state.stopping:
            self._down(child, end.reason, restarting=False)
        elif child.fallback is not None:
            child.spec, child.fallback, child.was_ready = child.fallback, None, True
            self._revivals.again(child)
            self._down(child, end.reason, restarting=True)
            return True
        elif not started and child.dynamic:
            self._down(child, end.reason, restarting=False)
            if child.generation == child.born:
                self._state.remove(child)
        elif not started and child.generation == 1 and (exited.signal is None or child.overdue):
            self._down(child, end.reason, restarting=False)
            self._start_failed(child, end)
        else:
            self._ended_by_itself(child, end)
            if child.ended_for_good and end.normal:
                self._release_producers(child)
        return False

    def _ended_by_itself(self, child: Child, end: End) -> None:
        if _cannot_begin_again(child, end):
            self._down(child, end.reason, restarting=False)
            self._start_failed(child, end)
            return
        draining = self._state.draining
        decision = self._state.tree.ended(
            child.id,
            normal=end.normal,
            now=self._state.runtime.now(),
            # What it had as its state is its result, which a successor can still give.
            wanted=not (draining and end.normal)
            and not (child.journal.empty and self._is_alone(child) and self.is_needless(child)),
            patient=not draining,
            counted=not (end.in_hand is not None and self._suspect(child, end.in_hand)),
        )
        comes_back = child.id in decision.restart
        if comes_back:
            child.state = ChildState.RESTARTING
        self._down(child, end.reason, restarting=comes_back)
        self._carry_out(decision, lambda: intensity_error(self._state, child, end, decision))

    def _suspect(self, child: Child, in_hand: InHand) -> bool:
        """Have what a child had in hand delivered one by one; is its death part of a search?

        It is where an event that ends its consumer's life is given up after some deliveries: then
        each such death brings the end of one nearer, and there is no need to count them.
        """
        batch = in_hand.batch
        edge = self._state.wiring.by_ref(batch.ref)
        producer = None if edge is None else self._state.children[edge.producer]
        if producer is None or not producer.alive:
            return False
        self._state.tell(producer, control.Suspect(batch.ref, batch.seq, in_hand.failure))
        alone = self._is_alone(child)
        sends_again = producer.spec.stage.options.delivery != "at_most_once"
        return alone and sends_again and self._gives_up(child)

    def _gives_up(self, child: Child) -> bool:
        """Whether there is an end to the deliveries of one event, and somewhere for it to go."""
        options = child.spec.stage.options
        kept = self._state.plan.dead_letters is not None
        then = OnError.of(options.on_error).then
        return options.max_deliveries is not None and (kept or then == "skip")

    def supervisor_killed(self, name: str) -> None:
        """A supervisor was made to end badly."""
        now, draining = self._state.runtime.now(), self._state.draining
        decision = self._state.tree.killed(name, now=now, patient=not draining)
        self._state.report(SupervisorEnded(name, "killed", name in decision.revived))
        said = f"supervisor {name!r} was killed, and restarting it was one restart too many"
        self._carry_out(decision, lambda: IntensityExceeded(said))

    def _carry_out(self, decision: Decision, error: Callable[[], BaseException]) -> None:
        for supervisor in decision.gave_up:
            again = supervisor.name in decision.revived
            self._state.report(SupervisorEnded(supervisor.name, "gave_up", again))
        for name in decision.shut_down:
            self._state.report(SupervisorEnded(name, "shutdown", name in decision.revived))
        if decision.run == "failed":
            self._over(error())
        elif decision.run:
            self._over(None)
        elif decision.restart or decision.stop:
            self._revivals.begin(decision)

    def _down(self, child: Child, reason: Any, *, restarting: bool) -> None:
        """An incarnation has ended: tell everyone linked with it and everyone who monitors it."""
        self._linking.verdict(child, reason, restarting=restarting)
        self._state.monitors.down(child, restarting=restarting)

    # --- nobody needs it any more -----------------------------------------------------------------

    def _release_producers(self, consumer: Child) -> None:
        """Let a successor end that nobody has subscribed to, and nobody will any more.

        Its predecessor may have told its consumers that it was done; then they end, although they
        have been linked with the successor. In a resumed run every stage is one.
        """
        for edge in self._state.wiring.upstream(consumer.id):
            producer = self._state.children[edge.producer]
            first = producer.generation == 1 and not self._state.resumed
            # One that starts still is told as soon as it is ready.
            running = producer.state is ChildState.RUNNING
            if first or not running or not self.is_needless(producer):
                continue
            if not producer.served or self._consumers_are_done(producer):
                self._state.tell(producer, control.Stop(DONE))

    def is_needless(self, child: Child) -> bool:
        """Whether all that a producer was for has come to its end.

        Its consumers have ended in order, so everything they took is finished; it, or a successor
        when it died on its way out, would wait for subscriptions that nobody makes. One that was
        started again for another's sake may have had more to give to who was only stopped: it has
        nothing to do when they had their whole input.
        """
        consumers = self._consumers_of(child)
        if any(each.dynamic for each in consumers):
            return False  # where one has subscribed while the run goes on, another may
        if not consumers or not all(each.ended_for_good for each in consumers):
            return False
        if not self._is_alone(child):
            return self._consumers_are_done(child)
        return all(each.end is not None and each.end.normal for each in consumers)

    def _is_alone(self, child: Child) -> bool:
        """Whether nobody else is started again with it."""
        return self._state.tree.group(child.id) == [child.id]

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
            self._over(end.error)
        else:
            self._over(StartFailed(f"stage {child.id} stopped in its start: {end.reason}"))


def _cannot_begin_again(child: Child, end: End) -> bool:
    """Whether this bad end is the run's, as what the stage reads can be consumed only once."""
    place = child.spec.stage.place
    final = place is not None and place.final and child.spec.restart != "temporary"
    return final and not end.normal
