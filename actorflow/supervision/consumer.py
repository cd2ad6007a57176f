"""The stages that start a child for each event: ConsumerSupervisor and its producing sibling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actorflow.errors import NoSuchChild, OptionError
from actorflow.stage.behaviour import Consumer, ProducerConsumer, Stage, Subscription
from actorflow.stage.calls import LATER, Sender
from actorflow.stage.children import ChildEnd, ChildEnded, ChildTemplate
from actorflow.stage.held import HeldBatch
from actorflow.supervision.consumer_calls import (
    CountChildren,
    ReplaceTemplate,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from actorflow.supervision.consumer_core import ConsumerCore, Owner
from actorflow.supervision.specs import Intensity

__all__ = ["ConsumerSupervisor", "ProducerConsumerSupervisor"]


class _OneChildPerEvent(Stage):
    """What both supervisors share: the core, and what it has to do with batches."""

    finishes_later = True
    _core: ConsumerCore | None = None

    def __init__(
        self,
        template: ChildTemplate | Mapping[str, Any] | Any,
        *,
        strategy: str = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
    ) -> None:
        self.template = ChildTemplate.of(template)
        self.at_once = self.template.at_once
        self._intensity = _intensity(strategy, max_restarts, max_seconds)
        self._finished: dict[HeldBatch, _Share] = {}
        self._results: list[Any] = []

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse a template that breaks a rule where the topology is declared."""
        super().check_arguments(arguments)
        if "template" in arguments:
            ChildTemplate.of(arguments["template"])
        given = {
            key: arguments[key]
            for key in ("strategy", "max_restarts", "max_seconds")
            if key in arguments
        }
        _intensity(**given)

    # --- callbacks --------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Open the place where children live."""
        running = self._running()
        # What cannot be imported fails here; and a worker that is forked now has it.
        _ = self.template.function
        self._runtime = running.children(self.template.child_kind, self._observe)
        owner = Owner(
            now=running.now,
            after=running.after,
            finished=self._note,
            emptied=self._emptied,
            log=running.log_record,
        )
        self._core = ConsumerCore(self.template, self._intensity, self._runtime, owner)

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        """Start a child for each event; the batch is finished when all of them have ended."""
        batch = self._running().later()
        start = self._children.start
        for event in events:
            start(event, batch)
        self._flush()
        return LATER

    def handle_call(self, request: Any, sender: Sender) -> Any:
        """Answer the operations of `ConsumerSupervisorHandle`; a subclass may answer others."""
        operation = _OPERATIONS.get(type(request))
        if operation is None:
            return super().handle_call(request, sender)
        try:
            return operation(self, request, sender)
        except (NoSuchChild, OptionError, OSError) as error:
            # The caller's mistake, or the system's want of processes: no reason to end.
            sender.fail(error)
            return LATER

    def on_stop(self, reason: Any) -> Any:
        """End every child by its `shutdown`, then end."""
        if self._core is None:
            return None
        self._core.stop()
        return LATER

    # --- operations -------------------------------------------------------------------------------

    def _which_children(self, request: WhichChildren, sender: Sender) -> Any:
        return self._children.which_children()

    def _count_children(self, request: CountChildren, sender: Sender) -> Any:
        return self._children.count_children()

    def _start_child(self, request: StartChild, sender: Sender) -> Any:
        return self._children.start_by_hand(request.arguments)

    def _terminate_child(self, request: TerminateChild, sender: Sender) -> Any:
        self._children.terminate(request.id, lambda: sender.reply(None))
        self._flush()
        return LATER

    def _replace_template(self, request: ReplaceTemplate, sender: Sender) -> Any:
        self._children.replace_template(request.template)

    # --- within -----------------------------------------------------------------------------------

    @property
    def _children(self) -> ConsumerCore:
        assert self._core is not None, "on_start of the base class has not been called"
        return self._core

    def _observe(self, endings: Sequence[ChildEnded]) -> None:
        try:
            self._children.ended(endings)
        finally:
            # Also when too many restarts end this stage: what is finished is finished.
            self._flush()

    def _note(self, batch: HeldBatch, end: ChildEnd) -> None:
        share = self._finished.get(batch)
        if share is None:
            share = self._finished[batch] = _Share()
        share.count += 1
        share.seconds += end.seconds
        if end.result is not None:
            self._results.append(end.result)

    def _flush(self) -> None:
        """Emit results, then return credit: an acknowledgement must not overtake an output."""
        results, self._results = self._results, []
        if results:
            self._take_results(results)
        finished, self._finished = self._finished, {}
        for batch, share in finished.items():
            self._finish(batch, share.count, share.seconds)

    def _finish(self, batch: HeldBatch, count: int, seconds: float) -> None:
        """Return credit for events of a batch, and acknowledge it with its last."""
        batch.finished(count, seconds=seconds)

    def _take_results(self, results: list[Any]) -> None:
        """A consumer has no use for them."""

    def _emptied(self) -> None:
        self._runtime.close()
        self.stopped()


_OPERATIONS: dict[type, Callable[[_OneChildPerEvent, Any, Sender], Any]] = {
    WhichChildren: _OneChildPerEvent._which_children,
    CountChildren: _OneChildPerEvent._count_children,
    StartChild: _OneChildPerEvent._start_child,
    TerminateChild: _OneChildPerEvent._terminate_child,
    ReplaceTemplate: _OneChildPerEvent._replace_template,
}


class _Share:
    """What has ended of one batch since credit was last returned."""

    __slots__ = ("count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0


class ConsumerSupervisor(_OneChildPerEvent, Consumer):
    """Starts one child for each event: GenStage's ConsumerSupervisor.

    At most `max_demand` of its subscription run at the same time; when no more than `min_demand`
    run or are under way it asks for what makes it `max_demand` again. An event is acknowledged when
    its child has ended.

    Args:
        template: a `ChildTemplate`, or a map of its fields, or only what is to be run.
        strategy: ``"one_for_one"``; there is no other.
        max_restarts: more restarts of children than this within `max_seconds` end this stage.
        max_seconds: the time that `max_restarts` is about, above 0.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> ConsumerSupervisor("operator:neg").template.restart
        'transient'
    """


class ProducerConsumerSupervisor(_OneChildPerEvent, ProducerConsumer):
    """A `ConsumerSupervisor` whose children's results are events for its own consumers.

    Each result that is not None is emitted as one event when its child ends, so the order is that
    of the ends. Arguments are those of `ConsumerSupervisor`.

    Example:
        >>> ProducerConsumerSupervisor("operator:neg").buffer_size is None
        True
    """

    def _take_results(self, results: list[Any]) -> None:
        self.emit(results)


def _intensity(
    strategy: object = "one_for_one", max_restarts: int = 3, max_seconds: float = 5.0
) -> Intensity:
    if strategy != "one_for_one":
        hint = "children of events have no order in which others could be restarted with them"
        raise OptionError("strategy", "one_for_one", strategy, hint)
    return Intensity(max_restarts=max_restarts, max_seconds=max_seconds)
