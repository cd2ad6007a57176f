"""What a `ConsumerSupervisor` says of its children."""

from __future__ import annotations

from actorflow.records import dataclass

__all__ = ["ConsumerChildCounts", "ConsumerChildInfo"]


@dataclass(frozen=True, slots=True)
class ConsumerChildInfo:
    """One row of a `ConsumerSupervisor`'s `which_children`.

    Args:
        id: its number.
        state: ``"running"``, ``"restarting"`` or ``"stopping"``.
        pid: the process it runs in, 0 while it has none.
        restarts: how often it was run again.
        by_hand: whether `start_child` started it, and no event.

    Example:
        >>> ConsumerChildInfo(id=1, state="running", pid=4711, restarts=0, by_hand=False).state
        'running'
    """

    id: int
    state: str
    pid: int
    restarts: int
    by_hand: bool


@dataclass(frozen=True, slots=True)
class ConsumerChildCounts:
    """What a `ConsumerSupervisor`'s `count_children` says.

    Args:
        specs: how many templates: 1.
        active: how many children run.
        workers: how many there are, those that wait to be started again included.
        supervisors: how many of them are supervisors: 0.
        started: how many children there have been, restarts not counted.
        finished: how many ended in good order.
        failed: how many ended badly and were not run again.
        restarted: how many times one was run again.

    Example:
        >>> counts = ConsumerChildCounts(
        ...     specs=1, active=3, workers=3, started=10, finished=6, failed=1
        ... )
        >>> counts.started == counts.active + counts.finished + counts.failed
        True
    """

    specs: int
    active: int
    workers: int
    supervisors: int = 0
    started: int = 0
    finished: int = 0
    failed: int = 0
    restarted: int = 0
