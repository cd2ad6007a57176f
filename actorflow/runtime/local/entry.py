"""Where a stage's own life begins, in the process that has become it."""

from __future__ import annotations

import time
from collections.abc import MutableSequence
from typing import Any

from actorflow.protocol.identity import Incarnation
from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.kernel import wait_for_turns
from actorflow.runtime.local.loop import StageLoop
from actorflow.stage.counters import Counter
from actorflow.supervision.specs import StageSpec

__all__ = ["begin_counting", "run_stage"]


def run_stage(child: Incarnation, spec: StageSpec, control: ControlSocket, counters: Any) -> int:
    """Run a stage in this process until it ends; returns the exit status."""
    if spec.options.scheduling == "batch":
        wait_for_turns()
    begin_counting(child, counters)
    return StageLoop(child, spec, control, counters).run()


def begin_counting(child: Incarnation, counters: MutableSequence[int]) -> None:
    """A new life of a stage writes to its slot from now on."""
    counters[Counter.GENERATION] = child.generation
    counters[Counter.STARTED_SINCE] = time.monotonic_ns()
    for counter in (Counter.ENDED, Counter.CALLBACK_SINCE, Counter.CALLBACK_EVENTS):
        counters[counter] = 0
    for counter in (Counter.BUFFERED, Counter.QUEUED, Counter.UNACKNOWLEDGED, Counter.HELD):
        counters[counter] = 0
