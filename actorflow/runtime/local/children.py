"""Which of the ways to run a stage's children a kind calls for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.runtime.local.offspring import Loop
from actorflow.stage.children import ChildKind, ChildRuntime, Observer

__all__ = ["children_of_kind"]


def children_of_kind(
    kind: ChildKind,
    stage: str,
    loop: Loop,
    observe: Observer,
    log: Callable[[str, str, dict[str, Any]], None],
) -> ChildRuntime:
    """Where children of this kind live. What a kind needs is imported when it is first used.

    Args:
        kind: how they live.
        stage: whose they are.
        loop: that stage's loop.
        observe: is told of ends.
        log: writes a log line: level, event, values.
    """
    if kind.name == "process":
        from actorflow.runtime.local.fresh import FreshProcesses

        return FreshProcesses(stage, loop, observe, log)
    if kind.name == "thread":
        from actorflow.supervision.threads import Threads

        return Threads(loop.post, observe)
    if kind.name == "task":
        from actorflow.supervision.tasks import Tasks

        return Tasks(loop.post, observe)
    from actorflow.runtime.local.workers import WarmWorkers

    return WarmWorkers(stage, kind, loop, observe, log)
