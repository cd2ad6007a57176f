"""More or fewer replicas of a stage, while events flow."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from actorflow.errors import Refused
from actorflow.protocol import control
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.stage.options import EXACTLY_ONCE
from actorflow.supervision.children import Child, ChildInfo, ChildState
from actorflow.supervision.joining import Joining
from actorflow.supervision.linking import Linking
from actorflow.supervision.lives import Lives
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.waiting import when_all
from actorflow.supervision.wiring import Edge, EdgeState, fated

__all__ = ["Scaling"]

LEAVING = ("shutdown", "scaled_down")
"""The reason of a replica's subscriptions when it leaves."""


class Scaling:
    """Adds replicas of a stage, and has the last ones leave.

    Args:
        state: the supervisor's.
        linking: takes the subscriptions of those that leave away.
        lives: starts and stops children.
        joining: knows the members of managers.
    """

    def __init__(
        self, state: SupervisorState, linking: Linking, lives: Lives, joining: Joining
    ) -> None:
        self._state = state
        self._linking = linking
        self._lives = lives
        self._joining = joining

    def scale(self, name: str, replicas: int, within: float) -> Future[list[ChildInfo]]:
        """Have so many replicas of a stage; the future is done when all of them are as they should.

        Args:
            name: the stage, without an index.
            replicas: how many, from 1.
            within: seconds that one that leaves may take to finish what it has in hand.

        Raises:
            Refused: ``busy``, ``partitions``, ``not_scalable``, or ``exactly_once`` for fewer;
                nothing has changed.
        """
        current = sorted(
            (child for child in self._state.children.values() if child.id.name == name),
            key=lambda child: child.id.index,
        )
        self._check(name, current, replicas)
        taken = {child.id.index for child in current}
        missing = [index for index in range(replicas) if index not in taken]
        added = [self._add(current[0], index, replicas) for index in missing]
        leaving = [child for child in current if child.id.index >= replicas]
        futures: list[Future[Any]] = [self._ready(child) for child in added]
        futures += [self._gone(child) for child in leaving]
        done = when_all(futures)
        for child in current:
            self._count(child, replicas)
        self._lives.start(added)
        for child in reversed(leaving):
            self._leave(child, within)
        result: Future[list[ChildInfo]] = Future()
        done.add_done_callback(lambda over: self._finish(over, name, result))
        self._joining.settle()
        return result

    # --- what is allowed --------------------------------------------------------------------------

    def _check(self, name: str, current: Sequence[Child], replicas: int) -> None:
        leaving = [str(child.id) for child in current if child.leaving]
        if leaving:
            raise Refused("busy", f"{', '.join(leaving)} has not left yet")
        if replicas < len(current) and current[0].spec.stage.options.delivery == EXACTLY_ONCE:
            detail = f"a replica of {name} has a part of what was counted, and cannot leave with it"
            raise Refused(EXACTLY_ONCE, detail)
        if current[0].spec.stage.place is not None:
            raise Refused("not_scalable", f"{name} lives in the program, and there is one of it")
        if replicas > 1 and any(child.id in self._joining.managers() for child in current):
            raise Refused("not_scalable", f"{name} has members, and there is one of it")
        for subscription in self._state.plan.subscriptions:
            if subscription.consumer != name:
                continue
            members = self._joining.members_of(subscription.producer)
            for producer in {subscription.producer, *(member.name for member in members)}:
                self._check_partitions(name, producer, subscription.options.extra, replicas)

    def _check_partitions(self, name: str, producer: str, extra: Any, replicas: int) -> None:
        names = self._state.plan.partitions.get(producer)
        if names is None:
            return
        wanted = 1 if "partition" in extra else len(names)
        if replicas != wanted:
            why = f"takes the partition {extra['partition']!r}" if wanted == 1 else "takes one each"
            detail = (
                f"{producer} has {len(names)} partitions, and {name} {why}:"
                f" it must have {wanted} replicas, not {replicas}"
            )
            raise Refused("partitions", detail)

    # --- more -------------------------------------------------------------------------------------

    def _add(self, like: Child, index: int, replicas: int) -> Child:
        """Make room for one more replica, with the declared subscriptions."""
        stage = replace(like.spec.stage, id=StageId(like.id.name, index), replicas=replicas)
        child = self._state.add(replace(like.spec, stage=stage))
        child.dynamic = True
        child.paused = like.paused
        for subscription in self._state.plan.subscriptions:
            fate = subscription.shared_fate
            if subscription.consumer == like.id.name:
                options = fated(self._state.plan.options_for(subscription, index), fate)
                for producer in self._named(subscription.producer):
                    self._wire(Edge(child.id, producer.id, options, shared_fate=fate))
            elif subscription.producer == like.id.name:
                for consumer in self._named(subscription.consumer):
                    if consumer.ended_for_good:
                        continue
                    options = self._state.plan.options_for(subscription, consumer.id.index)
                    self._wire(Edge(consumer.id, child.id, options, shared_fate=fate))
        return child

    def _wire(self, edge: Edge) -> None:
        self._state.wiring.add(edge)

    def _named(self, name: str) -> list[Child]:
        """The replicas of a stage, but for those that leave."""
        return [
            child
            for child in self._state.children.values()
            if child.id.name == name and not child.leaving
        ]

    def _count(self, child: Child, replicas: int) -> None:
        """Tell a replica how many there are, and its successors."""
        stage = replace(child.spec.stage, replicas=replicas)
        child.spec = replace(child.spec, stage=stage)
        if child.state is ChildState.RUNNING:
            self._state.tell(child, control.Replicas(replicas))
        elif child.state is ChildState.STARTING:
            self._state.when_ready(child, control.encode_control(control.Replicas(replicas)))

    # --- fewer ------------------------------------------------------------------------------------

    def _leave(self, child: Child, within: float) -> None:
        """Have a replica take no more, finish what it has, and end.

        What it does not finish is delivered to others: under the verdict that nobody succeeds it.
        """
        child.leaving = True
        for edge in self._state.wiring.of(child.id):
            # Its consumers take what it has left, also one that is still to be linked: of a
            # broadcast nobody else gets what is for that one.
            if edge.consumer == child.id:
                self._linking.drop(edge, LEAVING)
            elif not (edge.live or self._takes_what_is_left(edge)):
                self._linking.withdraw(edge, LEAVING)
        if child.state is ChildState.RUNNING:
            incarnation = child.incarnation
            self._state.tell(child, control.Retire())
            self._state.after(within, lambda: self._overdue(incarnation))
        elif child.state is ChildState.STOPPING:
            child.comes_back = False
        elif child.state is ChildState.ENDED:
            self._state.gone.resolve(child, None)
            self._state.retire(child)
        else:
            awaited = child.awaited
            self._lives.give_up(child, LEAVING)
            if awaited:
                self._state.gone.resolve(child, None)
                self._state.retire(child)

    def _takes_what_is_left(self, edge: Edge) -> bool:
        """Whether a consumer still to be linked is to get what a replica may have for it."""
        producer = self._state.children[edge.producer]
        consumer = self._state.children[edge.consumer]
        has = producer.state is ChildState.RUNNING
        comes = not (consumer.leaving or consumer.ended_for_good)
        return has and comes and edge.state is EdgeState.WANTED and not edge.leaving

    def _overdue(self, incarnation: Incarnation) -> None:
        child = self._state.current(incarnation)
        if child is not None and child.leaving:
            said = "did not finish in time what it had in hand; it is stopped"
            self._state.log(child, "warning", said)
            self._lives.terminate(child, LEAVING)

    # --- the answer -------------------------------------------------------------------------------

    def _ready(self, child: Child) -> Future[Any]:
        future: Future[Any] = Future()
        self._state.ready.add(child, future)
        return future

    def _gone(self, child: Child) -> Future[Any]:
        future: Future[Any] = Future()
        self._state.gone.add(child, future)
        return future

    def _finish(self, over: Future[Any], name: str, result: Future[list[ChildInfo]]) -> None:
        """Answer; if some could not be started the others know how many they are."""
        if not result.set_running_or_notify_cancel():
            return
        there = self._named(name)
        error = over.exception()
        if error is None:
            result.set_result([ChildInfo.of(child) for child in there])
            return
        if not self._state.stopping:
            for child in there:
                self._count(child, len(there))
        result.set_exception(error)
