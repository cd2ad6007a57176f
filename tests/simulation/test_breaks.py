"""The checkers can fail: each deliberate break of the core is caught, and by the law it breaks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from actorflow.dispatch.base import Dispatched
from actorflow.dispatch.broadcast import BroadcastDispatcher
from actorflow.dispatch.demand import DemandDispatcher
from actorflow.dispatch.partition import PartitionDispatcher
from actorflow.protocol.delivery import Unfinished
from actorflow.protocol.demand import Window
from actorflow.protocol.messages import RouteEos
from actorflow.protocol.wire import decode
from actorflow.runtime.simulated.channel import Channel
from actorflow.runtime.simulated.stall import Endless, Stalled
from actorflow.stage.asking import Asking
from actorflow.stage.buffer import Buffer
from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.producing import ProducingHalf
from actorflow.stage.subscribers import Subscribers
from actorflow.testing.experiments import Experiment, Misdelivered
from actorflow.testing.laws import LawBroken
from tests.seeds import seeds
from tests.simulation.breaks import (
    INTERPRETED_ONLY,
    Break,
    acknowledged_on_arrival,
    break_it,
    end_without_waiting,
    finished_when_handled,
    unfinished_batches_forgotten,
)

pytestmark = INTERPRETED_ONLY

SEEDS = 600
"""How many experiments a break may take to be caught; most take one to ten."""


def credit_returned_twice(right: Any) -> Any:
    """A refill is asked for twice."""

    def handled(self: Any, taken: Any, seconds: float, emitted: int) -> None:
        right(self, taken, seconds, emitted)
        if taken.ask and not taken.incoming.ended:
            self.asking.ask(taken.incoming, taken.ask)

    return handled


def credit_forgotten(right: Any) -> Any:
    """An ask counts one less than it says."""

    def ask(self: Any, ref: int, count: int) -> None:
        right(self, ref, count - 1 if count > 1 else count)

    return ask


def only_the_oldest_batch_counts(right: Any) -> Any:
    """What was sent again behind newer batches is overlooked."""
    return property(lambda self: self._positions[0] if self._positions else None)


def buffer_lost_with_the_link(right: Any) -> Any:
    """A consumer that leaves takes the buffer with it."""

    def link_closed(self: Any, link: int) -> None:
        right(self, link)
        self._half.buffer = Buffer(None)

    return link_closed


def end_overtakes_events(right: Any) -> Any:
    """The end travels ahead of the events before it."""

    def write(self: Any, head: bytes, body: bytes = b"") -> None:
        if self.link and not self.in_pipe and isinstance(decode((head + body)[4:]), RouteEos):
            self.data[:0] = head + body
            self._ready.add(self.writing)
        else:
            right(self, head, body)

    return write


def one_more_than_credit(right: Any) -> Any:
    """A consumer gets one event more than it asked for."""

    def dispatch(self: Any, events: list[Any], position: int) -> Dispatched:
        for entry in self._entries[:1]:
            entry.credit += 1
            self.capacity += 1
        return right(self, events, position)

    return dispatch


def last_place_left_out(right: Any) -> Any:
    """A broadcast's third consumer gets nothing."""

    def dispatch(self: Any, events: list[Any], position: int) -> Dispatched:
        dispatched = right(self, events, position)
        return Dispatched(dispatched.deliveries[:2], dispatched.leftover)

    return dispatch


def wrong_partition(right: Any) -> Any:
    """Events go to the partition next to theirs."""

    def route(self: Any, events: list[Any]) -> Any:
        groups, taken = right(self, events)
        names = list(self._partitions)
        after = dict(zip(names, [*names[1:], names[0]], strict=True))
        return {after[name]: group for name, group in groups.items()}, taken

    return route


def batches_one_too_long(right: Any) -> Any:
    """A message is cut into batches one event too long."""

    def split(self: Any, count: int) -> Any:
        self.max_demand += 1
        batches = right(self, count)
        self.max_demand -= 1
        return batches

    return split


def a_byte_lost_at_a_cut(right: Any) -> Any:
    """Where a frame is cut, a byte is lost."""

    def take(self: Any, count: int) -> str:
        detail: str = right(self, count)
        if self.link and self._decoder.pending and self.in_pipe > 1:
            del self.data[:1]
            self.in_pipe -= 1
        return detail

    return take


def demand_not_passed_on(right: Any) -> Any:
    """A source is not asked for all that is wanted."""

    def release(self: Any, at_most: int | None = None) -> None:
        if self.emitted < 3:
            right(self, at_most)

    return release


def acknowledgements_kept_back(right: Any) -> Any:
    """An acknowledgement waits for an ask that never comes."""
    return lambda self: None


def newest_first(right: Any) -> Any:
    """The buffer turns events round."""

    def put(self: Any, events: list[Any], position: int) -> list[Any]:
        return right(self, events[::-1], position)

    return put


HANGS = ("Stalled", "Endless")
OVERDRAWN = ("never more than asked", "credit is conserved")
LOST = ("no event evaporates", "Misdelivered")
BREAKS: dict[str, Break] = {
    broken.by.__name__: broken
    for broken in (
        Break(ConsumingHalf, "handled", credit_returned_twice, ("the window holds",)),
        Break(DemandDispatcher, "ask", credit_forgotten, ("credit is conserved",)),
        Break(ConsumingHalf, "route", acknowledged_on_arrival, ("acknowledged is finished",)),
        Break(
            ProducingHalf, "lowest_unfinished", finished_when_handled, ("acknowledged is finished",)
        ),
        Break(
            Unfinished,
            "first_position",
            only_the_oldest_batch_counts,
            ("acknowledged is finished",),
            first=340,
        ),
        Break(Subscribers, "link_closed", buffer_lost_with_the_link, LOST),
        Break(Unfinished, "give_back", unfinished_batches_forgotten, LOST, first=30),
        Break(ProducingHalf, "flushed", end_without_waiting, ("the end comes last",)),
        Break(
            Channel,
            "write",
            end_overtakes_events,
            ("first in, first out", "Misdelivered"),
            first=43,
        ),
        Break(DemandDispatcher, "dispatch", one_more_than_credit, OVERDRAWN),
        Break(
            BroadcastDispatcher,
            "dispatch",
            last_place_left_out,
            ("Misdelivered", "credit is conserved"),
            first=29,
        ),
        Break(PartitionDispatcher, "_route", wrong_partition, ("Misdelivered",)),
        Break(Window, "split", batches_one_too_long, ("the window holds",)),
        Break(Channel, "_take", a_byte_lost_at_a_cut, ("first in, first out", "Misdelivered")),
        Break(ProducingHalf, "release", demand_not_passed_on, ("demand is released",)),
        Break(Asking, "acknowledge", acknowledgements_kept_back, HANGS),
        Break(Buffer, "put", newest_first, ("Misdelivered",), first=13),
    )
}


def caught_by(chosen: Iterable[int]) -> set[str]:
    """What the first experiment that fails is failed by."""
    for seed in chosen:
        try:
            Experiment.of(seed).run()
        except LawBroken as broken:
            return {broken.law}
        except (Stalled, Endless, Misdelivered) as error:
            return {type(error).__name__}
    return set()


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a few seeds, by the law that it breaks."""
    broken = BREAKS[name]
    break_it(broken, monkeypatch)
    found = caught_by(range(broken.first, broken.first + SEEDS))
    assert found
    assert found <= set(broken.caught)


def test_without_a_break_nothing_is_caught() -> None:
    """The same experiments are fine as long as nothing is broken."""
    assert caught_by(seeds(60)) == set()
