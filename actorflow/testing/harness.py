"""A harness for one stage: the real stage machine, with the test as its peers and its supervisor.

There is no process, pipe, thread or waiting. The test says what arrives, message by message, and
reads what the stage answered; time passes when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actorflow.errors import NotInStage
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Message
from actorflow.protocol.wire import encode
from actorflow.runtime.simulated.clock import FakeClock
from actorflow.runtime.simulated.companions import SimulatedCompanions
from actorflow.stage.behaviour import Stage
from actorflow.stage.children import ChildEnded, ChildKind, ChildRuntime, Observer
from actorflow.stage.companions import CompanionObserver, CompanionRuntime
from actorflow.stage.machine import StageMachine
from actorflow.stage.options import StageOptions
from actorflow.stage.spec import StageSpec
from actorflow.stage.work import Work, read_out
from actorflow.testing.offspring import PlayedChildren
from actorflow.testing.peers import PlayedPeers
from actorflow.testing.recording import Called
from actorflow.topology.planning import class_options

__all__ = ["StageHarness"]

ENDLESS = 100_000
"""After so many callbacks in one `StageHarness.run` a stage is taken to go round in circles."""


class StageHarness(PlayedPeers):
    """One stage, alone, with the test in the place of everybody it talks to.

    After each message the stage does all its work, unless `autorun` is off; then `run` or `step`.
    A subscription and the link that it travels on have the same number, its `ref`.

    Args:
        behaviour: the stage's class.
        arguments: its constructor's keyword arguments.
        name: the stage's name.
        index: which of its replicas it is.
        replicas: how many there are.
        generation: which life of the stage this is, from 1.
        autorun: whether the stage works as soon as something arrives.
        seconds_per_event: how long each callback takes on the harness's clock, per event in hand.
        options: the fields of `actorflow.StageOptions`; the class's own attributes count first.

    Example:
        A producer-consumer between a producer and a consumer that the test plays:

        >>> import actorflow
        >>> class Double(actorflow.ProducerConsumer):
        ...     def handle_events(self, events, subscription):
        ...         return [2 * event for event in events]
        >>> harness = StageHarness(Double)
        >>> harness.link_to_producer(1, "numbers", max_demand=4, min_demand=2)
        >>> harness.asks(1)
        [4]
        >>> harness.route(1, [10, 20, 30])
        >>> harness.subscribe(2, "sink")
        >>> harness.ask(2, 9)
        >>> harness.events(2)
        [[20, 40], [60]]
        >>> harness.asks(1)
        [4, 2]
    """

    def __init__(
        self,
        behaviour: type[Stage],
        arguments: Mapping[str, Any] | None = None,
        *,
        name: str = "stage",
        index: int = 0,
        replicas: int = 1,
        generation: int = 1,
        autorun: bool = True,
        seconds_per_event: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(Incarnation(StageId(name, index), generation))
        self.clock = FakeClock()
        self.autorun = autorun
        self.seconds_per_event = seconds_per_event
        self.error: BaseException | None = None
        """The exception that ended the stage."""
        self.offspring: PlayedChildren | None = None
        """The children of a stage that has some; the test says when and how each ends."""
        spec = StageSpec(
            id=self.child.stage,
            behaviour=behaviour,
            arguments=dict(arguments or {}),
            options=StageOptions(**{**class_options(behaviour), **options}),
            replicas=replicas,
        )
        self.machine = StageMachine(self.child, spec, self, self.slot, self.clock)
        self.machine.start()
        self._settle()

    # --- work ------------------------------------------------------------------------------------

    def step(self) -> str | None:
        """Call one callback; returns its name, or None when there is nothing to do."""
        work = None if self.machine.ended else self.machine.next_work()
        if work is None:
            return None
        self._perform(work)
        return work.label

    def run(self) -> None:
        """Do all the work there is.

        Raises:
            RuntimeError: the stage does not come to rest.
        """
        for _ in range(ENDLESS):
            if self.step() is None:
                return
        raise RuntimeError(f"{self.child} does not come to rest within {ENDLESS} callbacks")

    def advance(self, seconds: float) -> None:
        """Let time pass; timers fire in order, each at its own time, and their work is done.

        Example:
            >>> import actorflow
            >>> class Clock(actorflow.Producer):
            ...     def on_start(self):
            ...         self.send_after(2, "tick")
            ...     def handle_info(self, message):
            ...         self.log.info(message)
            >>> harness = StageHarness(Clock)
            >>> harness.advance(1.9), len(harness.log)
            (None, 0)
            >>> harness.advance(0.1), len(harness.log)
            (None, 1)
        """
        until = self.clock() + seconds
        while (due := self.machine.next_due()) is not None and due <= until:
            self.clock.advance_to(due)
            self._guarded(self.machine.advance)
            self._settle()
            if self.machine.ended:
                break
        self.clock.advance_to(until)

    # --- the wire --------------------------------------------------------------------------------

    def receive(self, link: int, message: Message | bytes) -> None:
        """Have a message, or a frame without its length, arrive on a link.

        What arrives on a link that the stage has closed is not read by anyone.
        """
        if link in self.closed:
            return
        data = message if isinstance(message, bytes) else encode(message)[4:]
        self._guarded(lambda: self.machine.receive(link, data))
        self._settle()

    def hang_up(self, link: int) -> None:
        """A link comes to its end, as when the process on its other side is gone."""
        if link not in self.closed:
            self._cut(link)
            self._settle()

    @property
    def behaviour(self) -> Any:
        """The stage's own object.

        Raises:
            NotInStage: its constructor has not returned.
        """
        found = self.machine.behaviour
        if found is None:
            raise NotInStage(f"{self.child} has not started")
        return found

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """The stage opens the place where its children live: in the test's hands."""

        def tell(endings: Sequence[ChildEnded]) -> None:
            self._guarded(lambda: observe(endings))
            self._settle()

        self.offspring = PlayedChildren(kind, self.clock, tell)
        return self.offspring

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """Where the stage's companions live: they work in `advance`, also of 0 seconds."""
        return SimulatedCompanions(self.machine.call_after, observer, lambda: 0.0, lambda: False)

    def drain(self, link: int) -> None:
        """The stage reads a dead peer's link to its end."""
        if link in self.opened:
            self._cut(link)

    # --- within ----------------------------------------------------------------------------------

    def _perform(self, work: Work) -> None:
        self.trace.append(Called(work.label, work.args))
        before = self.clock()
        try:
            result = read_out(work.call(*work.args))
            self.clock.advance(work.events * self.seconds_per_event)
            self.machine.complete(work, result, self.clock() - before)
        except Exception as error:  # noqa: BLE001  (whatever a stage raises ends the stage)
            self._fail(error)

    def _cut(self, link: int) -> None:
        self.opened.discard(link)
        self._guarded(lambda: self.machine.link_closed(link))

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  (as every driver does)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self.machine.fail(error)

    def _settle(self) -> None:
        if self.autorun:
            self.run()
