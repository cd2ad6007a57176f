"""The stages of `test_router`: their processes need not import pytest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from actorflow import (
    Producer,
    Redirect,
    Subscription,
)
from tests.end_to_end.stages import Numbers


class Measured:
    """Its result is how many seconds of processor time the process took while it ran."""

    def on_start(self) -> None:
        self.began = time.process_time()

    def on_stop(self, reason: Any) -> None:
        self.set_result(time.process_time() - self.began)  # type: ignore[attr-defined]


class MeasuredNumbers(Measured, Numbers):
    """A measured source."""


class Reception(Producer):
    """Hands every subscription on."""

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> Redirect:
        return Redirect("p0", "p1")
