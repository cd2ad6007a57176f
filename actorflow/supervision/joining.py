"""Managers at work: the edges between subscribers and members are made and taken away."""

from __future__ import annotations

from collections.abc import Collection

from actorflow.errors import Refused
from actorflow.protocol import control
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.records import dataclass
from actorflow.stage.behaviour import kind_of
from actorflow.stage.routing import MembersRefused
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.linking import Linking
from actorflow.supervision.routing import CHANGES, Router, Routing
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.wiring import EdgeState

__all__ = ["Joining", "RouterInfo"]

REMOVED = "removed"
"""The reason of an edge that ends because its producer is no member, or its consumer no subscriber,
any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterInfo:
    """A manager at one moment.

    Args:
        manager: the stage, ``"broker/0"``.
        members: the producers, ``"numbers/0"``, in start order.
        subscribers: the consumers, in the order in which they subscribed.
        edges: how many direct edges there are between them, linked or about to be.
        established: how many of these have been accepted by their producer.
        monitors: how many processes are watched for it: each once, however many edges it has.

    Example:
        >>> info = RouterInfo(
        ...     manager="broker/0", members=("left/0", "right/0"), subscribers=("sink/0",),
        ...     edges=2, established=2, monitors=3,
        ... )
        >>> info.edges == len(info.members) * len(info.subscribers)
        True
    """

    manager: str
    members: tuple[str, ...]
    subscribers: tuple[str, ...]
    edges: int
    established: int
    monitors: int


class Joining:
    """Keeps the wiring as the managers want it; what it does follows from how things stand.

    Args:
        state: the supervisor's.
        linking: links edges and takes them away.
    """

    def __init__(self, state: SupervisorState, linking: Linking) -> None:
        self._state = state
        self._linking = linking
        self._routing = Routing(state.plan, state.wiring)
        self._finished: set[Incarnation] = set()

    def settle(self) -> None:
        """Make the edges that are missing, and take away those that are too many."""
        if not self._routing.routers or self._state.stopping:
            return
        children = self._state.children
        changes = self._routing.changes({s: c.ended_for_good for s, c in children.items()})
        for edge in changes.dropped:
            self._linking.drop(edge, REMOVED)
        for edge in changes.added:
            self._state.wiring.add(edge)
            self._linking.connect(edge)
        for router in self._routing.routers.values():
            self._finish(router)

    def requested(self, manager: Child, record: control.Members) -> None:
        """A manager asks for other members; what it may not have is refused, and it is told."""
        try:
            self.change(manager, record.change, record.stages)
        except Refused as error:
            said = "its members cannot be changed so"
            self._state.log(manager, "error", said, reason=str(error))
            stages = tuple(record.stages)
            refused = MembersRefused(record.change, stages, str(error.reason), error.detail)
            self._state.info(manager, refused)

    def change(self, manager: Child, change: str, stages: Collection[str]) -> None:
        """Change a manager's members; `settle` makes the edges.

        Raises:
            Refused: it cannot have one of these; nothing has changed.
        """
        if change not in CHANGES:
            raise Refused("bad_option", f"change must be one of {', '.join(CHANGES)}: {change!r}")
        if manager.incarnation in self._finished:
            raise Refused("noproc", f"{manager.id} has no members left and is ending")
        if change != "remove":
            known = {
                child.id: kind_of(child.spec.stage.behaviour)
                for child in self._state.children.values()
            }
            self._routing.check(manager.id, stages, known)
        self._routing.router(manager.id).change(change, stages)

    def check_subscriber(self, consumer: StageId, manager: StageId) -> None:
        """Refuse a subscriber that feeds, over any number of stages, one of a manager's members.

        Raises:
            Refused: ``cycle``.
        """
        router = self._routing.routers.get(manager)
        for member in self._members(router) if router is not None else ():
            if self._state.wiring.reaches(consumer, member):
                raise Refused("cycle", f"{consumer} already feeds {member}, a member of {manager}")

    def managers(self) -> Collection[StageId]:
        """The stages that have members."""
        return self._routing.routers.keys()

    def members_of(self, manager: str) -> list[StageId]:
        """The members of the managers of a name; none when there is no such manager."""
        routers = [r for stage, r in self._routing.routers.items() if stage.name == manager]
        return [member for router in routers for member in self._members(router)]

    def routers(self) -> list[RouterInfo]:
        """A row for each manager."""
        return [self._info(router) for router in self._routing.routers.values()]

    # --- within -----------------------------------------------------------------------------------

    def _info(self, router: Router) -> RouterInfo:
        members = self._routing.members(router, self._state.children)
        edges = [
            edge
            for edge in self._state.wiring.edges
            if edge.via == router.manager and not edge.leaving and edge.state is not EdgeState.OVER
        ]
        return RouterInfo(
            manager=str(router.manager),
            members=tuple(map(str, members)),
            subscribers=tuple(map(str, router.subscribers)),
            edges=len(edges),
            established=sum(edge.state is EdgeState.ESTABLISHED for edge in edges),
            monitors=len({*members, *router.subscribers}),
        )

    def _finish(self, router: Router) -> None:
        """A manager of members that have all ended has nothing left to wait for."""
        manager = self._state.children.get(router.manager)
        if not router.ends_with_members or manager is None:
            return
        if manager.state is not ChildState.RUNNING or manager.incarnation in self._finished:
            return
        members = [self._state.children[s] for s in self._members(router)]
        if members and all(member.ended_for_good for member in members):
            self._finished.add(manager.incarnation)
            self._state.tell(manager, control.Finish())

    def _members(self, router: Router) -> list[StageId]:
        return self._routing.members(router, self._state.children)
