"""Who is told when a stage ends."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass

from actorflow.protocol.identity import StageId
from actorflow.supervision.children import Child
from actorflow.supervision.events import DownMessage

__all__ = ["Monitors"]

_logger = logging.getLogger("actorflow.supervisor")


@dataclass(frozen=True, slots=True)
class _Monitor:
    stage: StageId
    callback: Callable[[DownMessage], None]


class Monitors:
    """Callbacks that get one `DownMessage` for each incarnation of a stage that ends.

    A monitor is over with the last one, whose stage has no successor.
    """

    def __init__(self) -> None:
        self._monitors: dict[int, _Monitor] = {}
        self._numbers = itertools.count(1)

    def add(self, child: Child, callback: Callable[[DownMessage], None]) -> int:
        """Monitor a stage; one that has ended already is told of at once, as in OTP."""
        number = next(self._numbers)
        self._monitors[number] = _Monitor(child.id, callback)
        if child.end is not None and child.ended_for_good:
            self._tell(number, child, restarting=False)
        return number

    def remove(self, number: int) -> bool:
        """Stop monitoring; returns whether there was such a monitor."""
        return self._monitors.pop(number, None) is not None

    def down(self, child: Child, *, restarting: bool) -> None:
        """An incarnation has ended."""
        for number in [n for n, each in self._monitors.items() if each.stage == child.id]:
            self._tell(number, child, restarting=restarting)

    def _tell(self, number: int, child: Child, *, restarting: bool) -> None:
        monitor = self._monitors[number]
        if not restarting:
            del self._monitors[number]
        end = child.end
        assert end is not None
        message = DownMessage(number, child.incarnation, end.reason, end.error, restarting)
        try:
            monitor.callback(message)
        except Exception:
            # The callback is the program's; its mistake must not end the run.
            _logger.exception("the monitor of %s failed", child.id)
