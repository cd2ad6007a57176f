"""Operations on subscriptions that are in place: each has a typed result or error."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from actorflow.errors import OptionError, Refused
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.reasons import plain
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.operations import ends, establish
from actorflow.supervision.wiring import Edge, Exchange

__all__ = ["edge_of", "resubscribe"]


def edge_of(core: SupervisorCore, ref: int) -> Edge:
    """The subscription that a ref means.

    Raises:
        OptionError: what was given is no ref.
        Refused: ``unknown_subscription``: there is none of that ref.
    """
    if type(ref) is not int or ref < 0:
        raise OptionError("ref", "a number, as subscribe returns it", ref)
    edge = core.wiring.by_ref(ref)
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
            complete; ``managed`` when a manager has made it; or as `subscribe`.
        NoSuchStage: there is no such stage.
    """
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
    if any(each.replaces and each.replaces.old is old for each in core.wiring.edges):
        raise Refused("replacing", f"the subscription {ref} is being replaced already")
    of, producer = ends(core, str(old.consumer), to if to is not None else str(old.producer))
    chosen = options if options is not None else old.options
    exchange = Exchange(old, plain(reason))
    return establish(core, Edge(of, producer, chosen, declared=False, replaces=exchange))
