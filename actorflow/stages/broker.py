"""The broker: it joins producers with consumers, and has a word for all of them."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from actorflow.errors import EventNotEncodable, Refused
from actorflow.records import dataclass
from actorflow.stage.behaviour import Producer
from actorflow.stage.calls import LATER, Sender

__all__ = ["Broker"]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A caller that waits until its event has left."""

    number: int
    event: Any
    sender: Sender


@dataclass(frozen=True, slots=True)
class _Left:
    """Behind an event: when this comes, the event has left."""

    number: int


class Broker(Producer):
    """Joins its members, which are producers, with the consumers that subscribe to it.

    The topology's ``members`` say who they are; `add_members`, `remove_members` and `set_members`
    change that while it runs. Each consumer is linked directly with each member: asks and events
    travel on these links, and none of them through the broker. The broker's ``dispatcher`` is the
    strategy: each member that has none of its own deals its events by it.

    What the broker itself is told goes to every consumer with demand for it at that moment:
    ``run.notify(broker, event)`` and ``run.sync_notify(broker, event)``, or a stage's cast and
    call. They leave in the order in which they came. While nobody has demand they wait, at most
    `buffer_size` of them; one more is refused. What waits in a broker that dies is lost.

    It finishes when all its members have ended.

    Source of the idea: GenStage's proposals GenRouter and GenBroker.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Items
        >>> from actorflow.testing.topologies import Sink
        >>> topology = (
        ...     Topology("example")
        ...     .stage("left", Items, args={"items": [1, 2]})
        ...     .stage("right", Items, args={"items": [3]})
        ...     .stage("broker", Broker, members=["left", "right"])
        ...     .stage("sink", Sink, replicas=2, subscribe_to=["broker"])
        ... )
        >>> from actorflow.testing import simulate
        >>> sorted(simulate(topology).handled("sink"))
        [1, 2, 3]
    """

    buffer_keep = "first"

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: deque[_Waiting] = deque()

    def handle_demand(self, demand: int) -> None:
        """It has events only when it is told something; what waits goes out by itself."""

    def handle_cast(self, message: Any) -> None:
        """Pass it on to every consumer with demand."""
        self.emit([message])

    def handle_call(self, request: Any, sender: Sender) -> Any:
        """Pass it on to every consumer with demand; the answer, None, says that it has left.

        Raises to the caller:
            EventNotEncodable: the event cannot leave this process.
            Refused: ``overloaded``: `buffer_size` events wait for demand already.
        """
        number = next(self._numbers)
        self._waiting.append(_Waiting(number, request, sender))
        try:
            self.emit([request])
        except EventNotEncodable as error:
            self._answer(number, error)
        else:
            self.send_behind(_Left(number))
        return LATER

    def handle_info(self, message: Any) -> Any:
        """An event has left: whoever waits for that is told."""
        if not isinstance(message, _Left):
            return super().handle_info(message)
        self._answer(message.number)
        return None

    def handle_discarded(self, events: list[Any]) -> bool | None:
        """Those who wait for events that found no room are told so."""
        for event in events:
            waiting = [each for each in self._waiting if each.event is event]
            if waiting:
                detail = f"{len(self._waiting)} events wait for demand already"
                self._answer(waiting[-1].number, Refused("overloaded", detail))
        return True

    def on_stop(self, reason: Any) -> None:
        """Nobody waits for what will not happen."""
        for each in list(self._waiting):
            self._answer(each.number, Refused("stopped", f"the broker {self.name} has ended"))

    def _answer(self, number: int, error: BaseException | None = None) -> None:
        for each in [each for each in self._waiting if each.number == number]:
            self._waiting.remove(each)
            if error is None:
                each.sender.reply(None)
            else:
                each.sender.fail(error)
