"""What a run leaves unfinished when it is made to end: pure, from what is known of each stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.supervision.runtime import LinkCounters

__all__ = ["Remains", "StageEnd", "remains_of"]


@dataclass(frozen=True, slots=True)
class Remains:
    """What one stage had not finished when its run ended.

    Args:
        stage: ``"count/1"``.
        unfinished: events that it had emitted, and of which it did not know that they were
            finished: they waited in it, were on their way, or in the hands of others.
        unhandled: events that it had taken and not handled. Of a stage that had to be killed, only
            those in the callback in hand are known.
        lost: those of both that nobody delivers again, as their mode is ``at_most_once``. The
            others are handed back: whoever had emitted them had kept them.
        kept: whether the same command goes on with them, from the checkpoint file.

    Example:
        >>> Remains("count/0", unfinished=3, unhandled=2, lost=0, kept=True).kept
        True
    """

    stage: str
    unfinished: int
    unhandled: int
    lost: int
    kept: bool


@dataclass(frozen=True, slots=True)
class StageEnd:
    """A stage at the end of its run.

    Args:
        stage: its name.
        keeps: whether what it sends is kept until it is acknowledged.
        counters: its scoreboard.
        unhandled: events that it had taken and not handled, by the stage that had sent them.
    """

    stage: StageId
    keeps: bool
    counters: Mapping[str, int]
    unhandled: Mapping[str, int]


def remains_of(
    ends: Sequence[StageEnd], links: Iterable[LinkCounters], *, kept: bool
) -> tuple[Remains, ...]:
    """What is left, stage by stage; those that had finished everything are not in it.

    Args:
        ends: every stage of the run.
        links: what was counted on every link.
        kept: whether the run has a checkpoint file that every source goes on from.

    Example:
        >>> counters = {"buffered": 2, "queued": 0, "unacknowledged": 3}
        >>> end = StageEnd(StageId("numbers"), True, counters, {})
        >>> remains_of([end], [], kept=True)
        (Remains(stage='numbers/0', unfinished=5, unhandled=0, lost=0, kept=True),)
    """
    keeps = {str(end.stage): end.keeps for end in ends}
    on_their_way: Counter[str] = Counter()
    for link in links:
        # What was lost with a consumer has been counted then, these among them.
        gone = link.producing["events"] - link.consuming["events"] - link.producing["lost"]
        on_their_way[str(link.producer)] += max(0, gone)
    found = (_remains(end, keeps, on_their_way[str(end.stage)], kept=kept) for end in ends)
    return tuple(each for each in found if each.unfinished or each.unhandled)


def _remains(end: StageEnd, keeps: Mapping[str, bool], on_their_way: int, *, kept: bool) -> Remains:
    counters = end.counters
    waiting = counters["buffered"] + counters["queued"]
    unfinished = waiting + (counters["unacknowledged"] if end.keeps else on_their_way)
    not_kept = sum(count for sender, count in end.unhandled.items() if not keeps.get(sender, True))
    return Remains(
        str(end.stage),
        unfinished,
        sum(end.unhandled.values()),
        not_kept + (0 if end.keeps else unfinished),
        kept,
    )
