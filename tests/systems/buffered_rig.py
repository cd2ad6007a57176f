"""An `AsyncStage` alone, with the test as its source, as the end of each call, and as its body."""

from __future__ import annotations

from typing import Any

from actorflow.protocol.codec import decode_events
from actorflow.protocol.messages import Ask, Route
from actorflow.stages.buffered import AsyncStage, CallCounts
from actorflow.testing import StageHarness
from actorflow.testing.offspring import PlayedChild
from actorflow.testing.recording import Sent

SOURCE, BODY = 1, 2


async def select(item: Any) -> Any:
    """Never runs here: the test says how each call ends."""


class Rig:
    """The source sends what it is asked for; calls and bodies end when the test says so.

    Args:
        concurrency: the stage's.
        items: how many the source has.
        bodies: how many the body stage takes at a time.
        arguments: further arguments of the stage.
    """

    def __init__(
        self, concurrency: int | None = 5, *, items: int = 1_000, bodies: int = 1, **arguments: Any
    ) -> None:
        arguments = {"run": select, "concurrency": concurrency, **arguments}
        self.harness = StageHarness(AsyncStage, arguments)
        self.takes = 0
        """How many items the source has given away."""
        self.items = items
        self.processed: list[Any] = []
        """What the bodies have finished."""
        self.delivered: list[Any] = []
        """Everything that the body stage has got."""
        self._ends: list[int] = []
        """How many of them there were at the end of each batch."""
        self._asked = 0
        self._looked = 0
        self.harness.subscribe(BODY, "body", max_demand=bodies)
        self.harness.link_to_producer(SOURCE, "queue")
        self.harness.ask(BODY, bodies)
        self.feed()

    # --- the source -------------------------------------------------------------------------------

    def feed(self) -> None:
        """Send what was asked for and not sent, as far as there is something."""
        while not self.harness.machine.ended:
            self._look()
            wanted = min(self._asked, self.items) - self.takes
            if not wanted:
                return
            first = self.takes + 1
            self.takes += wanted
            self.harness.route(SOURCE, range(first, first + wanted))

    def end_of_source(self) -> None:
        """There is nothing more."""
        self.harness.eos(SOURCE)

    # --- the calls --------------------------------------------------------------------------------

    @property
    def calls(self) -> dict[Any, PlayedChild]:
        """The calls in flight, by item."""
        assert self.harness.offspring is not None
        running = self.harness.offspring.running.values()
        return {child.arguments[-1]: child for child in running if child.life > 0}

    @property
    def in_flight(self) -> list[Any]:
        """Their items."""
        return list(self.calls)

    def returns(self, *items: Any) -> None:
        """These calls return, one after the other; each its item's text."""
        for item in items:
            assert self.harness.offspring is not None
            self.harness.offspring.returns(self.calls[item].life, result=f"row {item}")
        self.feed()

    def raises(self, item: Any, error: BaseException | None = None) -> None:
        """This call raises."""
        assert self.harness.offspring is not None
        self.harness.offspring.raises(self.calls[item].life, error=error)
        self.feed()

    @property
    def signalled(self) -> list[int]:
        """The lives of the calls that were cancelled."""
        assert self.harness.offspring is not None
        return [life for life, _ in self.harness.offspring.signals]

    # --- the bodies -------------------------------------------------------------------------------

    @property
    def in_body(self) -> list[Any]:
        """What the body stage has got and not finished."""
        self._look()
        return self.delivered[len(self.processed) :]

    def body_ends(self) -> None:
        """The oldest body ends: that is acknowledged, and one more is asked for."""
        self.processed.append(self.in_body[0])
        finished = sum(end <= len(self.processed) for end in self._ends)
        self.harness.ask(BODY, 1, finished)
        self.feed()

    def _look(self) -> None:
        """Read what the stage has sent since."""
        trace = self.harness.trace
        for each in trace[self._looked :]:
            if not isinstance(each, Sent):
                continue
            if each.link == SOURCE and isinstance(each.message, Ask):
                self._asked += each.message.count
            elif each.link == BODY and isinstance(each.message, Route):
                self.delivered += decode_events(each.message.codec, each.message.body)
                self._ends.append(len(self.delivered))
        self._looked = len(trace)

    # --- looking ----------------------------------------------------------------------------------

    @property
    def counts(self) -> CallCounts:
        """What the stage says of itself."""
        found: CallCounts = self.harness.call("counts")
        return found

    @property
    def ended(self) -> bool:
        """Whether the stage has ended, when it has done all that it can do now."""
        self.harness.advance(0)
        return self.harness.exiting is not None

    def acknowledged(self) -> int:
        """Up to which of its messages the source has been told that all is finished."""
        self.harness.advance(1)
        return self.harness.acked(SOURCE)
