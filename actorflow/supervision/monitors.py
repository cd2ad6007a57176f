"""Who is told when a stage ends."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeGuard

import pykka

from actorflow.errors import OptionError
from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.supervision.children import Child
from actorflow.supervision.events import DownMessage, RunDown

__all__ = ["DownQueue", "MonitorTarget", "Monitors", "OwnerTarget", "teller"]

_logger = logging.getLogger("actorflow.supervisor")


class DownQueue(Protocol):
    """A queue for messages from another thread, such as `queue.Queue` and `queue.SimpleQueue`."""

    def put_nowait(self, item: Any) -> None:
        """Take a message, or raise when there is no room."""


MonitorTarget = Callable[[DownMessage], object] | DownQueue | pykka.ActorRef[Any]
"""Where a `DownMessage` may go."""

OwnerTarget = Callable[[RunDown], object] | DownQueue | pykka.ActorRef[Any]
"""Where a `RunDown` may go."""


def teller(target: MonitorTarget | OwnerTarget, option: str = "target") -> Callable[[Any], object]:
    """The function that hands a message to a monitor's target.

    Args:
        target: a callback, a queue, or the reference of a pykka actor.
        option: what it was passed as.

    Raises:
        OptionError: it is none of them.

    Example:
        >>> import queue
        >>> downs = queue.SimpleQueue()
        >>> teller(downs)("a message")
        >>> downs.get_nowait()
        'a message'
    """
    if isinstance(target, pykka.ActorRef):
        return target.tell
    if _is_queue(target):
        return target.put_nowait
    if callable(target):
        tell: Callable[[Any], object] = target
        return tell
    rule = "a callback, a queue with put_nowait, or a pykka actor's reference"
    hint = ""
    if _is_of_asyncio(target):
        hint = "it belongs to one thread; give a callback that uses loop.call_soon_threadsafe"
    raise OptionError(option, rule, target, hint)


def _is_queue(target: object) -> TypeGuard[DownQueue]:
    return hasattr(target, "put_nowait") and not _is_of_asyncio(target)


def _is_of_asyncio(target: object) -> bool:
    return any(each.__module__.partition(".")[0] == "asyncio" for each in type(target).__mro__)


@dataclass(frozen=True, slots=True)
class _Monitor:
    stage: StageId
    tell: Callable[[DownMessage], object]


class Monitors:
    """Who gets one `DownMessage` for each incarnation of a stage that ends.

    A monitor is over with the last one, whose stage has no successor.
    """

    def __init__(self) -> None:
        self._monitors: dict[int, _Monitor] = {}
        self._numbers = itertools.count(1)

    def add(self, child: Child, target: MonitorTarget) -> int:
        """Monitor a stage; of one that has ended already it is told at once, as in OTP.

        Raises:
            OptionError: the target is none.
        """
        monitor = _Monitor(child.id, teller(target))
        number = next(self._numbers)
        self._monitors[number] = monitor
        if child.end is not None and not child.alive:
            self._tell(number, child, restarting=child.awaited)
        return number

    def remove(self, number: int) -> bool:
        """Stop monitoring; returns whether there was such a monitor."""
        return self._monitors.pop(number, None) is not None

    def down(self, child: Child, *, restarting: bool) -> None:
        """An incarnation has ended."""
        for number in [n for n, each in self._monitors.items() if each.stage == child.id]:
            self._tell(number, child, restarting=restarting)

    def forget(self, stage: StageId) -> None:
        """A stage is gone with its name: nothing of it can end any more."""
        for number in [n for n, each in self._monitors.items() if each.stage == stage]:
            del self._monitors[number]

    def _tell(self, number: int, child: Child, *, restarting: bool) -> None:
        monitor = self._monitors.get(number)
        if monitor is None:
            return  # a callback before it, for the same end, has removed it
        if not restarting:
            del self._monitors[number]
        end = child.end
        assert end is not None
        message = DownMessage(
            number,
            child.incarnation,
            end.reason,
            end.error,
            restarting,
            pid=end.pid,
            status=end.status,
            signal=end.signal,
            detail=end.detail,
            result=child.last_result,
        )
        try:
            monitor.tell(message)
        except pykka.ActorDeadError:
            _logger.warning("the monitor of %s is an actor that has ended", child.id)
        except (Exception, SystemExit, KeyboardInterrupt):
            # The callback or queue is the program's; its mistake must not end the run.
            _logger.exception("the monitor of %s failed", child.id)
