"""Which half of a stage takes which message, and what answers for a half that is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actorflow.errors import ProtocolError
from actorflow.protocol.messages import (
    Ask,
    Message,
    Notify,
    Route,
    RouteAgain,
    RouteEos,
    RouteLast,
    Subscribe,
    Unsubscribe,
)
from actorflow.protocol.wire import encode
from actorflow.stage.work import Port

if TYPE_CHECKING:
    from actorflow.stage.machine import StageMachine

__all__ = ["acceptors"]

Accept = Callable[[int, Any], None]


def acceptors(machine: StageMachine, port: Port) -> dict[type, Accept]:
    """Who takes each type of message, as a function of its link and the message.

    Args:
        machine: a machine whose halves are made.
        port: where the answers of a half that is missing go.
    """
    return _of_producers(machine, port) | _of_consumers(machine, port)


def _of_producers(machine: StageMachine, port: Port) -> dict[type, Accept]:
    consuming = machine.consuming
    if consuming is not None:
        return {
            Route: consuming.route,
            RouteAgain: consuming.route_again,
            RouteEos: consuming.upstream.eos,
            RouteLast: consuming.upstream.last,
            Notify: consuming.notify,
        }

    def ignore(link: int, message: Message) -> None:
        machine.count_refusal(link, f"{type(message).__name__} at a pure producer")

    def refuse(link: int, message: Message) -> None:
        ignore(link, message)
        port.send(link, encode(Unsubscribe(message.ref, "not_a_consumer")))

    # An end has no answer: two stages could go on ending each other.
    ends = dict.fromkeys((RouteEos, RouteLast), ignore)
    return {**ends, Route: refuse, RouteAgain: refuse, Notify: refuse}


def _of_consumers(machine: StageMachine, port: Port) -> dict[type, Accept]:
    half = machine.producing
    if half is not None:
        subscribers = half.subscribers

        def subscribe(link: int, message: Subscribe) -> None:
            peer = machine.peers.get(link)
            if peer is None:
                raise ProtocolError("unknown_link", f"link {link} was never announced")
            if message.ref != link:
                # Somebody else's subscription may be given this ref.
                raise ProtocolError(
                    "bad_ref", f"this link is {link}, got {message.ref}", message.ref
                )
            subscribers.subscribe(link, peer, message)

        return {Ask: half.ask, Subscribe: subscribe, Unsubscribe: subscribers.unsubscribe}

    def refuse(link: int, message: Message) -> None:
        machine.count_refusal(link, f"{type(message).__name__} at a pure consumer")
        port.send(link, encode(RouteEos(message.ref, "not_a_producer")))

    return dict.fromkeys((Ask, Subscribe, Unsubscribe), refuse)
