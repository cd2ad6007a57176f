"""Operations on subscriptions that are in place: each has a typed result or error."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from actorflow.errors import OptionError, Refused
from actorflow.protocol import control
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.rate import RateLimit
from actorflow.protocol.reasons import plain
from actorflow.records import dataclass
from actorflow.stage.options import EXACTLY_ONCE
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.operations import ends, ensure_open, establish, find
from actorflow.supervision.wiring import Edge, Exchange

__all__ = [
    "SubscriptionInfo",
    "edge_of",
    "pause",
    "resubscribe",
    "resume",
    "set_rate",
    "which_subscriptions",
]


@dataclass(frozen=True, slots=True)
class SubscriptionInfo:
    """One row of `which_subscriptions`.

    Args:
        ref: its name now; 0 before it was ever linked.
        consumer: who takes events, ``"count/1"``.
        producer: who gives them.
        state: ``"wanted"`` (it is made as soon as both run), ``"linked"``, ``"established"`` (the
            producer has accepted) or ``"over"``.
        options: demand, cancel mode and the others.
        paused: whether the program has paused it.
    """

    ref: int
    consumer: str
    producer: str
    state: str
    options: SubscriptionOptions
    paused: bool


def which_subscriptions(core: SupervisorCore, stage: str | None = None) -> list[SubscriptionInfo]:
    """A row for each subscription, or for each of those of one stage, on either side.

    Raises:
        NoSuchStage: there is no such stage.
    """
    which = None if stage is None else find(core, stage).id
    return [
        SubscriptionInfo(
            edge.ref,
            str(edge.consumer),
            str(edge.producer),
            edge.state.name.lower(),
            edge.options,
            edge.paused,
        )
        for edge in core.wiring.edges
        if which in (None, edge.consumer, edge.producer)
    ]


def edge_of(core: SupervisorCore, ref: int) -> Edge:
    """The subscription that a ref means: its present one, or one from before a restart.

    Raises:
        OptionError: what was given is no ref.
        Refused: ``unknown_subscription``: there is none of that ref.
    """
    if type(ref) is not int or ref < 0:
        raise OptionError("ref", "a number, as subscribe returns it", ref)
    edge = core.wiring.known(ref)
    if edge is None or edge.leaving:
        raise Refused("unknown_subscription", f"no subscription has the ref {ref!r}")
    return edge


def resubscribe(
    core: SupervisorCore,
    ref: int,
    *,
    to: str | None,
    options: SubscriptionOptions | None,
    reason: Any,
    consumer: str | None,
) -> Future[int]:
    """Replace a subscription; the future has the new ref once the producer has accepted.

    Args:
        core: the supervisor's.
        ref: the subscription.
        to: the producer of the new one, or None for the same.
        options: of the new one, or None for the same.
        reason: why the old one ends.
        consumer: whose subscription it is; when this is given, one that is unknown is no error but
            replaced all the same, which is a plain subscription.

    Raises:
        Refused: ``unknown_subscription``; ``replacing`` while an earlier replacement of it is not
            complete; ``managed`` when a manager has made it; ``exactly_once``, whose events are
            numbered by subscription; or as `subscribe`.
        NoSuchStage: there is no such stage.
    """
    if options is not None and not isinstance(options, SubscriptionOptions):
        raise OptionError("options", "a SubscriptionOptions, or None", options)
    try:
        old = edge_of(core, ref)
    except Refused:
        if consumer is None:
            raise
        if to is None:
            hint = "the subscription is unknown, so its producer is too"
            raise OptionError("to", "a stage's name", to, hint) from None
        chosen = options if options is not None else SubscriptionOptions()
        return establish(core, Edge(*ends(core, consumer, to), chosen, declared=False))
    if consumer is not None and ends(core, consumer, to or str(old.producer))[0] != old.consumer:
        detail = f"the subscription {ref} is one of {old.consumer}, not of {consumer}"
        raise Refused("not_the_consumer", detail)
    if old.via is not None:
        detail = f"the subscription {ref} is kept by {old.via}; change that one's members"
        raise Refused("managed", detail)
    if core.children[old.producer].spec.stage.options.delivery == EXACTLY_ONCE:
        detail = f"the events of subscription {ref} are counted by it, also after a restart"
        raise Refused(EXACTLY_ONCE, f"{detail}; no other can take its place")
    if any(each.replaces and each.replaces.old is old for each in core.wiring.edges):
        raise Refused("replacing", f"the subscription {ref} is being replaced already")
    of, producer = ends(core, str(old.consumer), to if to is not None else str(old.producer))
    chosen = options if options is not None else old.options
    exchange = Exchange(old, plain(reason))
    return establish(core, Edge(of, producer, chosen, declared=False, replaces=exchange))


def pause(core: SupervisorCore, ref: int) -> None:
    """Have a consumer ask for nothing more on a subscription.

    Raises:
        Refused: ``unknown_subscription``; or ``draining``, since that has to come to its end.
    """
    ensure_open(core)
    edge = edge_of(core, ref)
    if core.draining:
        raise Refused("draining", "a run that drains has nothing paused")
    edge.paused = True
    _tell(core, edge, control.PauseSubscription(edge.ref, paused=True))


def resume(core: SupervisorCore, ref: int) -> None:
    """Lift the program's pause of a subscription.

    Raises:
        Refused: ``unknown_subscription``.
    """
    edge = edge_of(core, ref)
    edge.paused = False
    _tell(core, edge, control.PauseSubscription(edge.ref, paused=False))


def set_rate(core: SupervisorCore, ref: int, rate: float | None, burst: int | None) -> None:
    """Limit the rate of a subscription, now and after restarts.

    Raises:
        OptionError: a value breaks its rule.
        Refused: ``unknown_subscription``.
    """
    RateLimit.of(rate, burst)
    edge = edge_of(core, ref)
    edge.options = replace(edge.options, rate=rate, burst=burst)
    _tell(core, edge, control.SetRate(edge.ref, rate, burst))


def _tell(core: SupervisorCore, edge: Edge, order: control.Control) -> None:
    """Tell a subscription's consumer; while there is no link, the next one says it."""
    if edge.live:
        core.tell(core.children[edge.consumer], order)
