"""Stages that make nothing because nobody is there to take it."""

from __future__ import annotations

from actorflow.stage.base import Stage
from actorflow.stage.behaviour import Producer, ProducerConsumer
from actorflow.supervision.specs import Plan

__all__ = ["untaken"]


def untaken(plan: Plan) -> tuple[str, ...]:
    """The stages whose events no declared stage takes, so that they never begin, in start order.

    A program may have uses for them: it reads their events itself, or subscribes others. To a
    command they are a run that stands still.

    Args:
        plan: what is to be run.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> untaken(Topology("alone").stage("numbers", Range, args={"stop": 3}).plan())
        ('numbers',)
    """
    behaviours = {child.stage.id.name: child.stage.behaviour for child in plan.children}
    if any(_redirects(behaviour) for behaviour in behaviours.values()):
        return ()
    taken = {subscription.producer for subscription in plan.subscriptions}
    for router in plan.routers:
        taken.update(router.members)
    return tuple(
        name
        for name, behaviour in behaviours.items()
        if name not in taken and _waits_for_demand(behaviour)
    )


def _redirects(behaviour: type[Stage]) -> bool:
    """Whether a stage may send its consumers on to stages that nobody subscribes to by name.

    Of the ready-made ones none does.
    """
    own = behaviour.handle_subscribe.__module__.partition(".")[0] != "actorflow"
    return own and issubclass(behaviour, Producer | ProducerConsumer)


def _waits_for_demand(behaviour: type[Stage]) -> bool:
    if issubclass(behaviour, ProducerConsumer):
        return not behaviour.works_ahead
    return issubclass(behaviour, Producer) and behaviour.handle_demand is not Producer.handle_demand
