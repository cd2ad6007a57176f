"""Redirects: a subscription that its producer hands on to others, as one step or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from actorflow.errors import ProtocolError, Refused
from actorflow.protocol import control
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.records import dataclass
from actorflow.stage.behaviour import kind_of
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.linking import Linking
from actorflow.supervision.routing import matches
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.wiring import Edge, EdgeState

__all__ = ["Redirecting"]


@dataclass(slots=True, eq=False)
class _Redirection:
    """A redirect that is not complete.

    Args:
        consumer: whose subscription it is; in another life it asks anew.
        redirectors: the subscriptions that were handed on, the first of them the one that was
            asked for. They end when it is complete.
        pending: the new ones; the consumer asks for nothing on them until all are accepted.
    """

    consumer: Incarnation
    redirectors: list[Edge]
    pending: list[Edge] = field(default_factory=list)

    @property
    def visited(self) -> set[StageId]:
        """Who has handed it on."""
        return {edge.producer for edge in self.redirectors}


class Redirecting:
    """Makes the subscriptions that a redirector names, and ends the one to it.

    What it does next follows from how the edges stand, so a death of anybody at any step leaves
    either all of the new subscriptions or none.

    Args:
        state: the supervisor's.
        linking: links edges and takes them away.
    """

    def __init__(self, state: SupervisorState, linking: Linking) -> None:
        self._state = state
        self._linking = linking
        self._redirections: list[_Redirection] = []

    def requested(self, redirector: Child, record: control.Redirected) -> None:
        """A producer hands a subscription on.

        Raises:
            ProtocolError: ``bad_ref``: it is another's subscription.
        """
        edge = self._state.wiring.by_ref(record.ref)
        if edge is None or edge.leaving or edge.state is not EdgeState.LINKED:
            return  # it has ended in the meantime
        if edge.producer != redirector.id:
            detail = f"{record.ref} is no subscription to {redirector.id}"
            raise ProtocolError("bad_ref", detail, record.ref)
        redirection = next((each for each in self._redirections if edge in each.pending), None)
        if redirection is None:
            consumer = self._state.children[edge.consumer].incarnation
            redirection = _Redirection(consumer, [edge])
            self._redirections.append(redirection)
        else:
            redirection.pending.remove(edge)
            redirection.redirectors.append(edge)
        try:
            targets = self._targets(edge, record.stages, redirection.visited)
        except Refused as error:
            self._fail(redirection, error)
            return
        known = {each.producer for each in redirection.pending}
        for target in targets:
            if target not in known:
                new = Edge(edge.consumer, target, edge.options, declared=False, paused=True)
                redirection.pending.append(new)
                self._state.wiring.add(new)
                self._linking.connect(new)

    def settle(self) -> None:
        """Complete what all have accepted, and undo what cannot be."""
        for redirection in list(self._redirections):
            origin = redirection.redirectors[0]
            consumer = self._state.children.get(origin.consumer)
            same = consumer is not None and consumer.incarnation == redirection.consumer
            if not same or not origin.live or origin.leaving:
                self._undo(redirection)
            elif any(not edge.live for edge in redirection.redirectors):
                self._fail(redirection, Refused("noproc", "a redirector on the way has ended"))
            elif over := [e for e in redirection.pending if e.state is EdgeState.OVER]:
                edge = over[0]
                self._fail(redirection, Refused("refused", f"{edge.producer}: {edge.reason!r}"))
            elif all(edge.state is EdgeState.ESTABLISHED for edge in redirection.pending):
                self._complete(redirection)

    # --- within -----------------------------------------------------------------------------------

    def _targets(self, edge: Edge, names: Sequence[str], visited: set[StageId]) -> list[StageId]:
        """The stages that are meant; all of them can be subscribed to, as far as is known.

        Raises:
            Refused: one of them cannot.
        """
        targets: list[StageId] = []
        for name in names:
            found = [child for child in self._state.children.values() if matches(name, child.id)]
            if not found:
                raise Refused("no_such_stage", f"there is no stage {name!r}")
            for child in found:
                self._check(edge.consumer, child, visited)
            targets += [child.id for child in found]
        if not targets:
            raise Refused("no_such_stage", "it names none")
        return list(dict.fromkeys(targets))

    def _check(self, consumer: StageId, target: Child, visited: set[StageId]) -> None:
        if target.id in visited:
            raise Refused("redirect_loop", f"{target.id} has redirected it already")
        if kind_of(target.spec.stage.behaviour) == "consumer":
            raise Refused("not_a_producer", f"{target.id} is a consumer")
        if target.state is ChildState.ENDED or target.leaving:
            raise Refused("noproc", f"{target.id} has ended")
        if self._state.wiring.reaches(consumer, target.id):
            raise Refused("cycle", f"{consumer} already feeds {target.id}")

    def _complete(self, redirection: _Redirection) -> None:
        """The consumer asks on the new subscriptions, and those to the redirectors end."""
        self._redirections.remove(redirection)
        origin = redirection.redirectors[0]
        consumer = self._state.children[origin.consumer]
        for edge in redirection.pending:
            edge.paused, edge.declared = False, origin.declared
            self._state.tell(consumer, control.PauseSubscription(edge.ref, paused=False))
        self._state.established.resolve(origin, redirection.pending[0].ref)
        reason = ["redirected", *(str(edge.producer) for edge in redirection.pending)]
        for edge in redirection.redirectors:
            self._linking.drop(edge, reason)

    def _fail(self, redirection: _Redirection, error: Refused) -> None:
        """Nothing of it remains; the subscription that was asked for ends, with one reason."""
        self._undo(redirection)
        origin = redirection.redirectors[0]
        if origin.live:
            self._state.established.reject(origin, Refused("redirect_failed", str(error)))
            order = control.CancelSubscription(origin.ref, ["redirect_failed", str(error)])
            self._state.tell(self._state.children[origin.consumer], order)

    def _undo(self, redirection: _Redirection) -> None:
        self._redirections.remove(redirection)
        for edge in (*redirection.pending, *redirection.redirectors[1:]):
            if edge.state is not EdgeState.OVER:
                self._linking.drop(edge, "redirect_undone")
