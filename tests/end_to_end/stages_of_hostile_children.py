"""The stages of `test_hostile_children`: their processes need not import pytest."""

from __future__ import annotations

import os

from actorflow import (
    Consumer,
    Subscription,
)
from tests.end_to_end import children
from tests.end_to_end.stages import append


class Hostile(Consumer):
    """Does with its first event what `children.hostile` does."""

    def __init__(self, path: str) -> None:
        self.path = path

    def handle_events(self, events: list[str], subscription: Subscription) -> None:
        children.hostile(self.path, events[0])


class ExitsInConstructor(Consumer):
    """Never comes to life."""

    def __init__(self, path: str, how: str) -> None:
        append(path, os.getpid())
        if how == "_exit":
            os._exit(3)
        raise SystemExit(4)

    def handle_events(self, events: list[str], subscription: Subscription) -> None:
        raise AssertionError("it never lives")
