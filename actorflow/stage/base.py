"""The base of every stage: what it is told, and the verbs that all of them have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from actorflow.errors import NotInStage
from actorflow.protocol.identity import Incarnation
from actorflow.records import dataclass
from actorflow.stage.routing import Redirect

if TYPE_CHECKING:
    from actorflow.stage.children import ChildKind, ChildRuntime, Observer
    from actorflow.stage.companions import CompanionObserver, CompanionRuntime
    from actorflow.stage.held import HeldBatch

__all__ = ["Stage", "StageContext", "Subscription"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as a stage's callbacks see it.

    Args:
        ref: its name in the run.
        side: what the peer is to this stage: ``"producer"`` or ``"consumer"``.
        peer: the other stage's incarnation.
        options: the subscription's options.

    It can be the key of a map.

    Example:
        >>> from actorflow import Producer
        >>> from actorflow.testing import StageHarness
        >>> class Knows(Producer):
        ...     def handle_subscribe(self, side, options, subscription):
        ...         self.known = (side, subscription.stage, subscription.side)
        >>> harness = StageHarness(Knows)
        >>> harness.subscribe(1, "sink", max_demand=10)
        >>> harness.behaviour.known
        ('consumer', 'sink', 'consumer')
    """

    ref: int
    side: str
    peer: Incarnation
    options: Mapping[str, Any] = field(hash=False)

    @property
    def stage(self) -> str:
        """The other stage's name."""
        return self.peer.stage.name


class StageContext(Protocol):
    """What a running stage can do; the stage machine implements it."""

    name: str
    index: int
    replicas: int

    @property
    def consumers(self) -> int:
        """How many consumers it has, those that are being restarted included."""

    @property
    def producers(self) -> int:
        """How many producers it has, or is declared to have."""

    @property
    def lowest_unfinished(self) -> int:
        """The place, in the order of emission, of the oldest event that is not finished."""

    @property
    def capacity(self) -> int:
        """How many events could leave now."""

    @property
    def finished(self) -> int:
        """How many of the events emitted are finished, at least; 0 under `at_most_once`."""

    @property
    def keeps(self) -> bool:
        """Whether events are kept until they are finished: not under `at_most_once`."""

    def watch_finished(self, observe: Callable[[], None]) -> None:
        """Have a callback of the runtime's own called when events are finished, or a consumer left.

        It is called between callbacks, also while the stage stops, and must emit nothing.
        """

    def emit(self, events: Iterable[Any]) -> None:
        """Emit events now."""

    def notify(self, message: Any) -> None:
        """Tell every consumer, in order with the events."""

    def ask(self, subscription: Subscription, count: int) -> None:
        """Ask on a manual subscription."""

    def pause(self, subscription: Subscription) -> None:
        """Ask for nothing more."""

    def resume(self, subscription: Subscription) -> None:
        """Ask again."""

    def set_mode(self, subscription: Subscription, mode: str) -> None:
        """Ask automatically, or as the stage says."""

    def set_rate(
        self, subscription: Subscription, rate: float | None, burst: int | None = None
    ) -> None:
        """Limit the rate of a subscription."""

    def cancel(self, subscription: Subscription, reason: Any) -> None:
        """End a subscription."""

    def send_after(self, seconds: float, message: Any) -> None:
        """Have `handle_info` called later."""

    def later(self) -> HeldBatch:
        """Finish the batch in hand later."""

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have a callback of the runtime's own called later."""

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """Where this stage's own children live."""

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """Where this stage's companions live."""

    def now(self) -> float:
        """Seconds on the driver's monotonic clock."""

    def stopped(self) -> None:
        """What `on_stop` left for later is done."""

    def forward(self, count: int | None) -> int:
        """Ask the producers for demand that is held."""

    def finish(self) -> None:
        """Hand over what is buffered, then end."""

    def stop(self, reason: Any) -> None:
        """End after the callback in hand."""

    def set_result(self, value: Any) -> None:
        """Keep the stage's answer."""

    def set_demand(self, mode: str) -> None:
        """Accumulate or forward."""

    def outstanding(self) -> Mapping[Subscription, int]:
        """What each consumer has asked for and not got."""

    def coming(self) -> int:
        """How many events are still to come without anything here being finished first."""

    def send_behind(self, message: Any) -> None:
        """Have `handle_info` called when what was emitted so far has left."""

    def change_members(self, change: str, stages: Iterable[str]) -> None:
        """Ask the supervisor for other members."""

    def awaits(self, stage: str, besides: Subscription) -> bool:
        """Whether more is to come from a producer of that name, on another subscription."""

    def log_record(self, level: str, event: str, values: dict[str, Any]) -> None:
        """Ship a log line to the host."""


class Stage:
    """The base of every stage. Subclass `Producer`, `ProducerConsumer` or `Consumer`, not this.

    A constructor takes what the topology's ``args`` give; it need not call ``super().__init__``.
    It runs in the stage's own process, so open files, sockets and models there or in `on_start`.
    """

    _context: StageContext | None = None
    subscribe_to: Any = ()
    """Producers to subscribe to when the topology names none: names, or maps with ``to``."""
    finishes_later: bool = False
    """Whether `handle_events` may return `actorflow.LATER`, see `Consumer.later`."""
    works_ahead: bool = False
    """Whether a producer-consumer's `handle_events` is called also while nobody wants what it
    makes. For a class that limits by itself how much it asks for."""
    at_once: int = 1
    """How many events a stage that finishes later works on at the same time: where its window
    begins under ``max_demand: auto``."""

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse constructor arguments that cannot be right, where a topology is declared.

        It runs in the program that declares, and in ``actorflow check``. The default accepts all.

        Args:
            arguments: the keyword arguments as declared.

        Raises:
            OptionError: one of them breaks a rule.
        """

    # --- who am I ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The stage's name in the topology."""
        return self._running().name

    @property
    def index(self) -> int:
        """Which of its replicas this is, from 0."""
        return self._running().index

    @property
    def replicas(self) -> int:
        """How many stages of this name there are."""
        return self._running().replicas

    @property
    def log(self) -> Any:
        """A structlog logger; its lines appear in the host's log with run, stage, index and pid."""
        from actorflow.stage.logs import stage_logger

        return stage_logger(self._running().log_record)

    # --- callbacks that any stage may override ---------------------------------------------------

    def on_start(self) -> None:
        """Called once, in the stage's process, before any event; an exception fails the start."""

    def on_stop(self, reason: Any) -> Any:
        """Called once when the stage ends in an orderly way, with the reason.

        Whoever returns `actorflow.LATER` ends with `stopped`.
        """

    def snapshot(self) -> Any:
        """The state that a successor has to begin with; define it together with `restore`.

        It is called between two callbacks, often: some hundred times a second while there is work,
        but never for more than a twentieth of the time, and once more when nothing more will come.
        What it returns is pickled at once. What it reflects is not delivered again when this
        stage's process dies, and all else is.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps no state")

    def restore(self, state: Any) -> None:
        """Go on from what a predecessor's `snapshot` returned; called once, before `on_start`."""
        raise NotImplementedError(f"{type(self).__name__} has a snapshot and no restore")

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str | Redirect | None:
        """A subscription begins; `side` is what the peer is: ``"producer"`` or ``"consumer"``.

        Returns:
            ``"automatic"`` (or None); for a producer peer also ``"manual"``: then demand is what
            `ask` says; for a consumer peer also a `Redirect`: then it subscribes to others.
        """
        return None

    def handle_cancel(self, reason: Any, subscription: Subscription) -> Iterable[Any] | None:
        """A subscription is over. `reason` is ``("cancel", why)`` or ``("down", why)``.

        A producing stage may return events.
        """
        return None

    def handle_call(self, request: Any, sender: Any) -> Any:
        """Answer a `call`; events emitted here leave before the reply."""
        raise NotImplementedError(f"stage {self.name!r} has no handle_call for {request!r}")

    def handle_cast(self, message: Any) -> Iterable[Any] | None:
        """Take a `cast`; a producing stage may return events."""
        raise NotImplementedError(f"stage {self.name!r} has no handle_cast for {message!r}")

    def handle_info(self, message: Any) -> Iterable[Any] | None:
        """Take a message from `send_after`, `info` or a notification; may return events."""
        self.log.warning("a message without a handle_info was dropped", message=repr(message))
        return None

    def handle_notification(self, message: Any, subscription: Subscription) -> None:
        """Take a producer's `notify`, in order with its events; the default is `handle_info`."""
        self.handle_info(message)

    # --- verbs ------------------------------------------------------------------------------------

    def cancel(self, subscription: Subscription, reason: Any = "normal") -> None:
        """End a subscription; the cancel mode decides what that does to its consumer."""
        self._running().cancel(subscription, reason)

    def send_after(self, seconds: float, message: Any) -> None:
        """Have `handle_info(message)` called after so many seconds, from 0."""
        self._running().send_after(seconds, message)

    def stop(self, reason: Any = "normal") -> None:
        """End this stage after the callback in hand; what is not handed over is redelivered."""
        self._running().stop(reason)

    def stopped(self) -> None:
        """What `on_stop` began, and returned `actorflow.LATER` for, is done: the stage ends."""
        self._running().stopped()

    def set_result(self, value: Any) -> None:
        """Set the stage's answer: in the run's report and in what `run.wait()` returns."""
        self._running().set_result(value)

    def _running(self) -> StageContext:
        if self._context is None:
            raise NotInStage(
                f"{type(self).__name__} is not running: a stage's verbs and names work inside a"
                " started topology; to try a stage alone use actorflow.testing.run"
            )
        return self._context
