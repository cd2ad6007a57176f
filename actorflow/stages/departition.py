"""The opposite of a partition: the parts of a result that partitions hold become one result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from actorflow.dispatch.functions import function_of
from actorflow.errors import OptionError, PartitionLost, SkewExceeded
from actorflow.protocol.reasons import is_normal
from actorflow.stage.behaviour import ProducerConsumer, Subscription

__all__ = ["Departition"]


class Departition(ProducerConsumer):
    """Merges what each partition reports of a window into one result per window.

    An event that it takes is one partition's report of one window; a partition is a stage that it
    is subscribed to. When the last of `partitions` has reported a window, the reports are merged in
    the order of the partitions' names, whatever order they came in, and one event is emitted. Give
    it the dispatcher ``broadcast`` to hand each result to several writers.

    A partition that ends without a report that others wait for ends this stage with
    `PartitionLost`. One that is being restarted is waited for, `patience` seconds at most. Reports
    of windows that are not complete are part of this stage's snapshot.

    Args:
        partitions: how many stages report, from 1.
        merge: a function of the merged value so far and a report that returns the merged value.
        init: a function without arguments that makes the first merged value.
        finish: a function of the merged value that returns the event to emit.
        window: a function of an event that returns the window it reports, something hashable. Left
            out, there is one window, and each partition reports once.
        report: a function of an event that returns what is merged; left out, the event itself.
        patience: seconds that a dead partition may take to come back, from 0.
        max_open: how many windows may be incomplete at once, from 1. More end this stage with
            `SkewExceeded`: a partition is too far behind. As many of the last complete windows are
            remembered, so that a report that is delivered again does not begin a window anew.

    Each function may be given as ``"module:name"``, as a topology in YAML has to.

    Raises:
        OptionError: an argument breaks its rule.
        PartitionLost: a window will not be complete.
        SkewExceeded: too many windows are incomplete.

    Example:
        >>> from actorflow.testing import run
        >>> args = {"partitions": 1, "init": int, "merge": max, "window": len}
        >>> run(Departition, [[1, 2], [5]], args={**args, "report": sum})
        [3, 5]

    Idea from: Flow's ``departition``.
    """

    def __init__(
        self,
        *,
        partitions: int,
        merge: Callable[[Any, Any], Any] | str,
        init: Callable[[], Any] | str,
        finish: Callable[[Any], Any] | str | None = None,
        window: Callable[[Any], Any] | str | None = None,
        report: Callable[[Any], Any] | str | None = None,
        patience: float = 30.0,
        max_open: int = 10_000,
    ) -> None:
        for name, value in (("partitions", partitions), ("max_open", max_open)):
            if type(value) is not int or value < 1:
                raise OptionError(name, "an integer of at least 1", value)
        if type(patience) not in (int, float) or not 0 <= patience < math.inf:
            raise OptionError("patience", "a number of seconds from 0", patience)
        self._partitions = partitions
        self._merge = function_of("merge", merge)
        self._init = function_of("init", init)
        self._finish = function_of("finish", finish) if finish is not None else _same
        self._window = function_of("window", window) if window is not None else _one_window
        self._report = function_of("report", report) if report is not None else _same
        self._patience = patience
        self._max_open = max_open
        self._open: dict[Any, dict[str, Any]] = {}
        self._complete: dict[Any, None] = {}
        self._known: set[str] = set()
        self._ended: dict[str, Any] = {}
        self._away: dict[str, Any] = {}
        self._losses = 0

    # --- partitions come and go -------------------------------------------------------------------

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> None:
        """A partition is there, or there again."""
        if side != "producer":
            return
        name = str(subscription.peer.stage)
        self._known.add(name)
        self._away.pop(name, None)
        self._ended.pop(name, None)
        if len(self._known) > self._partitions:
            raise OptionError(
                "partitions", f"at least {len(self._known)}, as so many report", self._partitions
            )

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """A partition has ended, in order or not."""
        if subscription.side != "producer":
            return
        name, why = str(subscription.peer.stage), reason[1]
        self._known.add(name)
        if is_normal(why):
            self._ended[name] = why
            for window in list(self._open):
                self._expect_report(name, window)
        else:
            # Whether a successor comes is not known yet.
            self._away[name] = why
            self._losses += 1
            self.send_after(self._patience, ["away", name, self._losses])

    def handle_info(self, message: Any) -> None:
        """A dead partition has had its time to come back."""
        match message:
            case ["away", str(name), int(loss)] if loss == self._losses and name in self._away:
                raise PartitionLost(name, self._away[name], self._waiting_for(name))
            case ["away", str(name), int()] if name in self._away:
                self.send_after(self._patience, ["away", name, self._losses])

    def on_stop(self, reason: Any) -> None:
        """What was not complete when the input ended will never be."""
        if not is_normal(reason) and self._away:
            name, why = next(iter(self._away.items()))
            raise PartitionLost(name, why, self._waiting_for(name))
        if self._open:
            self.log.warning("stopped with incomplete windows", windows=len(self._open))

    # --- reports ----------------------------------------------------------------------------------

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        """Take reports; returns the results of the windows that they complete."""
        partition = str(subscription.peer.stage)
        results = []
        for event in events:
            window = self._window(event)
            if window in self._complete or partition in self._open.get(window, ()):
                # Delivered again: its first life's report counts.
                self.log.debug("a repeated report was left out", partition=partition)
                continue
            reports = self._open.setdefault(window, {})
            reports[partition] = self._report(event)
            if len(reports) == self._partitions:
                results.append(self._complete_window(window))
            elif len(self._open) > self._max_open:
                raise SkewExceeded(self._max_open, "incomplete windows", self._laggard())
            else:
                for name in self._ended:
                    self._expect_report(name, window)
        return results

    def _complete_window(self, window: Any) -> Any:
        reports = self._open.pop(window)
        self._complete[window] = None
        if len(self._complete) > self._max_open:
            del self._complete[next(iter(self._complete))]
        merged = self._init()
        for partition in sorted(reports):
            merged = self._merge(merged, reports[partition])
        return self._finish(merged)

    def _expect_report(self, ended: str, window: Any) -> None:
        """A partition that has ended must have reported.

        At a shutdown all end, and nobody is at fault.
        """
        why = self._ended[ended]
        orderly = why in ("done", "normal")
        if orderly and ended not in self._open[window]:
            raise PartitionLost(ended, why, self._waiting_for(ended))

    def _waiting_for(self, partition: str) -> list[Any]:
        return [window for window, reports in self._open.items() if partition not in reports]

    def _laggard(self) -> str:
        """Whom most windows wait for."""
        return max(sorted(self._known), key=lambda name: len(self._waiting_for(name)))

    # --- state ------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """The reports of incomplete windows, and which windows are complete."""
        return self._open, self._complete, self._ended

    def restore(self, state: Any) -> None:
        """Go on from there."""
        self._open, self._complete, self._ended = state


def _same(value: Any) -> Any:
    return value


def _one_window(event: Any) -> None:
    return None
