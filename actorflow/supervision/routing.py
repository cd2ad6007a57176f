"""Who is joined with whom through managers: pure decisions over the wiring.

A manager has members, which are producers, and subscribers. Each subscriber is to have one direct
edge to each member; no event passes the manager. The supervisor owns these edges as it owns the
declared ones, so whoever is restarted, the manager included, finds them as they were, and none is
ever made twice.

Source of the idea: GenStage's proposals of a router that joins M producers with N consumers, and of
a subscription in two steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import field, replace

from actorflow.errors import Refused
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.protocol.reasons import DONE
from actorflow.records import dataclass
from actorflow.supervision.specs import Plan, SubscriptionSpec
from actorflow.supervision.wiring import Edge, EdgeState, Wiring

__all__ = ["CHANGES", "Changes", "Router", "Routing", "matches"]

CHANGES = ("add", "remove", "set")
"""What may be done with a manager's members."""


@dataclass(slots=True)
class Router:
    """One manager, its members and its subscribers.

    Args:
        manager: the stage.
        members: names of producing stages, ``"numbers"`` (every replica) or ``"numbers/1"``.
        ends_with_members: whether the manager finishes when all its members have ended.
        subscribers: for each subscribed consumer, its subscription to the manager.
    """

    manager: StageId
    members: list[str]
    ends_with_members: bool
    subscribers: dict[StageId, Edge] = field(default_factory=dict)

    def change(self, change: str, stages: Collection[str]) -> None:
        """Add, remove or set members; a name that is there, or gone, already is no mistake."""
        if change == "set":
            self.members = list(dict.fromkeys(stages))
        elif change == "add":
            self.members = list(dict.fromkeys((*self.members, *stages)))
        else:
            self.members = [each for each in self.members if each not in stages]


@dataclass(frozen=True, slots=True)
class Changes:
    """What the wiring lacks, and what it has too much."""

    added: list[Edge]
    dropped: list[Edge]


def matches(name: str, stage: StageId) -> bool:
    """Whether a name means a stage: ``"numbers"`` any replica, ``"numbers/1"`` that one.

    Example:
        >>> matches("numbers", StageId("numbers", 1)), matches("numbers/0", StageId("numbers", 1))
        (True, False)
    """
    return name in (stage.name, str(stage))


class Routing:
    """The routers of one supervisor.

    Args:
        plan: says which stages are managers from the start.
        wiring: the edges; `changes` compares it with what should be there.
    """

    def __init__(self, plan: Plan, wiring: Wiring) -> None:
        self.routers: dict[StageId, Router] = {}
        self._plan = plan
        self._wiring = wiring
        for spec in plan.routers:
            for manager in (c.stage.id for c in plan.children if c.stage.id.name == spec.manager):
                router = Router(manager, list(spec.members), spec.ends_with_members)
                self.routers[manager] = router

    def router(self, manager: StageId) -> Router:
        """A stage's router; a stage that never had a member becomes a manager."""
        found = self.routers.get(manager)
        if found is None:
            found = self.routers[manager] = Router(manager, [], ends_with_members=False)
        return found

    def check(
        self, manager: StageId, stages: Collection[str], known: Mapping[StageId, str]
    ) -> None:
        """Refuse members that a manager cannot have.

        Args:
            manager: the manager.
            stages: the new members' names.
            known: every stage there is, and its kind.

        Raises:
            Refused: ``no_such_stage``, ``not_a_producer`` or ``cycle``; nothing has changed.
        """
        subscribers = [
            edge.consumer
            for edge in self._wiring.downstream(manager)
            if edge.state is not EdgeState.OVER
        ]
        for name in stages:
            found = [stage for stage in known if matches(name, stage)]
            if not found:
                raise Refused("no_such_stage", f"{name!r} cannot be a member of {manager}")
            for stage in found:
                if stage == manager or known[stage] == "consumer":
                    why = "is the manager itself" if stage == manager else "is a consumer"
                    raise Refused("not_a_producer", f"{stage} {why}: it is no member for {manager}")
                for consumer in subscribers:
                    if self._wiring.reaches(consumer, stage):
                        raise Refused("cycle", f"{consumer} already feeds {stage}")

    def members(self, router: Router, stages: Collection[StageId]) -> list[StageId]:
        """The stages that a router's members are, in start order."""
        return [s for s in stages if any(matches(name, s) for name in router.members)]

    def changes(self, stages: Mapping[StageId, bool]) -> Changes:
        """What has to be done so that each subscriber has one edge to each member.

        Args:
            stages: every stage there is, and whether it has ended for good.
        """
        changes = Changes([], [])
        for router in self.routers.values():
            self._refresh(router, stages)
            changes.dropped.extend(self._superfluous(router, stages))
        for router in self.routers.values():
            changes.added.extend(self._missing(router, stages, changes.added))
        return changes

    # --- within -----------------------------------------------------------------------------------

    def _refresh(self, router: Router, stages: Mapping[StageId, bool]) -> None:
        """Who is subscribed: a subscription that ended with its manager's stream still counts."""
        for edge in self._wiring.downstream(router.manager):
            if edge.state is not EdgeState.OVER and not edge.leaving:
                router.subscribers[edge.consumer] = edge
        manager_ended = stages.get(router.manager, True)
        for consumer, edge in list(router.subscribers.items()):
            over = edge.state is EdgeState.OVER
            left = edge.leaving or (over and edge.reason != DONE and not manager_ended)
            if left or consumer not in stages:
                del router.subscribers[consumer]

    def _superfluous(self, router: Router, stages: Mapping[StageId, bool]) -> Iterator[Edge]:
        members = set(self.members(router, stages))
        for edge in self._wiring.edges:
            if edge.via != router.manager or edge.leaving:
                continue
            if edge.consumer not in router.subscribers or edge.producer not in members:
                yield edge

    def _missing(
        self, router: Router, stages: Mapping[StageId, bool], coming: list[Edge]
    ) -> Iterator[Edge]:
        for consumer, subscription in router.subscribers.items():
            if subscription.state is EdgeState.OVER or stages[consumer]:
                continue  # at its end: it keeps what it has and gets nothing new
            taken = {edge.producer for edge in self._wiring.upstream(consumer)}
            taken |= {edge.producer for edge in coming if edge.consumer == consumer}
            for member in self.members(router, stages):
                # One that is leaving is waited for: a producer may have a consumer only once.
                if member not in taken and member != consumer:
                    yield self._edge(router, subscription, consumer, member)

    def _edge(self, router: Router, subscription: Edge, consumer: StageId, member: StageId) -> Edge:
        options = self._options(subscription, consumer, member)
        return Edge(consumer, member, options, via=router.manager)

    def _options(
        self, subscription: Edge, consumer: StageId, member: StageId
    ) -> SubscriptionOptions:
        """Those of the subscription to the manager; only a shared fate makes an end contagious."""
        options = subscription.options
        if subscription.shared_fate is not True:
            options = replace(options, cancel="temporary")
        spec = SubscriptionSpec(consumer=consumer.name, producer=member.name, options=options)
        return self._plan.options_for(spec, consumer.index)
