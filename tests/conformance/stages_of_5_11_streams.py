"""The stages of `test_5_11_streams`: their processes need not import pytest."""

from __future__ import annotations

from typing import Any

from actorflow import (
    Consumer,
    Producer,
)


class Leave(Consumer):
    """Ends with its first batch."""

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        self.stop("normal")


class Refusing(Producer):
    """Cancels whoever subscribes."""

    def handle_subscribe(self, side: str, options: Any, subscription: Any) -> None:
        self.cancel(subscription, "no_thanks")

    def handle_demand(self, demand: int) -> None:
        return None
