"""The stage of `test_under_fire`: its process need not import pytest."""

from __future__ import annotations

import os
from typing import Any

from actorflow import Subscription
from configs.wordcount import Merge
from tests.end_to_end.stages import wait_for_file

AT_MOST = "MERGES_AT_MOST"
"""The variable of the environment that says how much a life merges."""


class MergeAtMost(Merge):
    """Merges so many counts, and then waits to be killed; all of them where nothing is said."""

    left = int(os.environ.get(AT_MOST, "1000000"))

    def handle_events(self, events: list[dict[str, int]], subscription: Subscription) -> Any:
        self.left -= len(events)
        if self.left < 0:
            wait_for_file(os.devnull + "/never")
        super().handle_events(events, subscription)
