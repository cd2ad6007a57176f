"""The stages of `test_dispatchers`: their processes need not import pytest."""

from __future__ import annotations

import os
import time
from typing import Any

from actorflow import Subscription
from tests.end_to_end.stages import Collect, Numbers, Pass, append


class CollectApart(Collect):
    """Each replica has a file of its own."""

    def on_start(self) -> None:
        self.path += str(self.index)


class Fast(Numbers):
    """Ends when told to by a cast, after everything that it has emitted."""

    def handle_cast(self, message: Any) -> None:
        self.finish()


def remainder(event: int) -> int:
    """Which of two partitions a number belongs to."""
    return event % 2


class Notifies(Numbers):
    """Says behind each thousand that it is complete."""

    def handle_demand(self, demand: int) -> Any:
        before = self.next
        self.emit(list(super().handle_demand(demand)))
        if self.next // 100 > before // 100:
            self.notify({"hundreds": self.next // 100})


class Listens(Collect):
    """Writes notifications among the events."""

    def handle_notification(self, message: Any, subscription: Subscription) -> None:
        append(self.path, -message["hundreds"])


class LeavesAHolder(Pass):
    """Forks, in a callback, a process that keeps every descriptor open and leaves its group."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        if events[0] == 0 and not os.fork():
            os.setsid()
            time.sleep(30)
            os._exit(0)
        return events
