"""The closing report of a run: one record, as a table for a person or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from actorflow.errors import IntensityExceeded
from actorflow.observe.edges import EdgeStatistics
from actorflow.observe.statistics import RunStatistics, StageStatistics
from actorflow.protocol.failure import Failure
from actorflow.records import dataclass
from actorflow.supervision.events import Outcome
from actorflow.supervision.remains import Remains

__all__ = ["Report", "table"]

EDGES_SHOWN = 20
"""How many edges a report shows a person."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did.

    Args:
        statistics: the stages' counters at the end.
        outcome: how it ended, with the results.
    """

    statistics: RunStatistics
    outcome: Outcome

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: how it ended, stages, edges, what remains of them, and results."""
        error = self.outcome.root_cause
        failure = Failure.of(error) if error is not None else None
        given_up = isinstance(self.outcome.error, IntensityExceeded)
        seconds = self.statistics.seconds
        return {
            "name": self.statistics.name,
            "status": self.outcome.status,
            "error": failure.summary if failure is not None else None,
            "gave_up": str(self.outcome.error) if given_up else None,
            "seconds": round(seconds, 6),
            "stages": [
                {
                    **asdict(stage),
                    "rate_in": _rate(stage.events_in, seconds),
                    "rate_out": _rate(stage.events_out, seconds),
                    "busy_share": _share(stage, "busy"),
                    "starved_share": _share(stage, "starved"),
                    "blocked_share": _share(stage, "blocked"),
                }
                for stage in self.statistics.stages
            ],
            "edges": [asdict(edge) for edge in self.statistics.edges],
            "remains": [asdict(left) for left in self.outcome.remains],
            "results": self.outcome.results,
        }

    def as_json(self) -> str:
        """One JSON object; records are objects too, and what JSON does not know is its repr."""
        return json.dumps(_jsonable(self.as_dict()), ensure_ascii=False, allow_nan=False)

    def as_text(self) -> str:
        """The results, a table of the stages, one of the edges, and what was not handled."""
        seconds = self.statistics.seconds
        rows = [
            [
                stage.stage,
                f"{stage.events_in:,}",
                f"{stage.events_out:,}",
                f"{_rate(max(stage.events_in, stage.events_out), seconds):,.0f}",
                f"{_share(stage, 'busy'):.0%}",
                f"{_share(stage, 'starved'):.0%}",
                f"{_share(stage, 'blocked'):.0%}",
                f"{stage.restarts:,}",
                f"{stage.redelivered:,}",
                f"{stage.discarded:,}",
            ]
            for stage in self.statistics.stages
        ]
        head = ["stage", "in", "out", "per second", "busy", "starved", "blocked"]
        head += ["restarts", "redelivered", "discarded"]
        parts = [_result_text(name, value) for name, value in self.outcome.results.items()]
        parts.append(table(head, rows))
        if self.statistics.edges:
            parts.append(_edges_text(self.statistics.edges))
        missing = [line for stage in self.statistics.stages for line in _missing(stage)]
        missing += [line for left in self.outcome.remains for line in _remaining(left)]
        if missing:
            parts.append("\n".join(missing))
        parts.append(f"{self.statistics.name}: {self.outcome.status} in {seconds:.2f} s")
        return "\n\n".join(parts)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right.

    Example:
        >>> print(table(["a", "b"], [["x", "10"]]))
        a   b
        x  10
    """
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _edges_text(edges: Sequence[EdgeStatistics]) -> str:
    """A table of the edges, those with the most events when there are many."""
    most = sorted(edges, key=lambda edge: -edge.events_sent)[:EDGES_SHOWN]
    rows = [
        [
            _edge_name(edge),
            f"{edge.events_received:,}",
            f"{edge.batches_received:,}",
            f"{edge.asks_received:,}",
            f"{edge.in_flight:,}",
            f"{edge.undelivered:,}",
            "" if edge.latency is None else f"{edge.latency * 1000:,.2f} ms",
        ]
        for edge in edges
        if edge in most
    ]
    head = ["edge", "events", "batches", "asks", "in flight", "undelivered", "latency"]
    left = len(edges) - len(rows)
    return table(head, rows) + (f"\n… and {left} more edges, in --json" if left else "")


def _missing(stage: StageStatistics) -> list[str]:
    """What became of events that nobody has handled, a line each; nothing when all is well."""
    counted = {
        "given up, and skipped as on_error says": stage.skipped,
        "given up, and kept as dead letters": stage.dead_lettered,
        "lost with a consumer that is gone for good": stage.lost,
    }
    return [
        f"{stage.stage}: {number:,} {_events(number)} {what}"
        for what, number in counted.items()
        if number
    ]


def _remaining(left: Remains) -> list[str]:
    """What a stage had not finished when the run was made to end, and what becomes of it."""
    parts = {"emitted, and not finished": left.unfinished, "taken, and not handled": left.unhandled}
    said = [f"{number:,} {_events(number)} {what}" for what, number in parts.items() if number]
    where = "kept in the checkpoint" if left.kept else "handed back"
    if left.lost == left.unfinished + left.unhandled:
        where = "lost, under at_most_once"
    elif left.lost:
        where += f", but for {left.lost:,} that are lost, under at_most_once"
    return [f"{left.stage}: {'; '.join(said)}: {where}"]


def _events(number: int) -> str:
    return "event" if number == 1 else "events"


def _edge_name(edge: EdgeStatistics) -> str:
    partition = "" if edge.partition is None else f" ({edge.partition})"
    return f"{edge.producer} → {edge.consumer}{partition}"


def _rate(events: int, seconds: float) -> float:
    return round(events / seconds, 1) if seconds > 0 else 0.0


def _share(stage: StageStatistics, what: str) -> float:
    known = stage.busy + stage.starved + stage.blocked
    return round(getattr(stage, what) / known, 4) if known > 0 else 0.0


def _result_text(name: str, value: Any) -> str:
    """A result for a person: maps line by line, lists of pairs as a table."""
    if not isinstance(value, dict):
        return f"{name}: {value!r}"
    lines = [f"{name}:"]
    for key, item in value.items():
        if _is_pairs(item):
            rows = [[str(left), f"{right:,}"] for left, right in item]
            lines.append(f"  {key}:")
            lines += ["    " + line for line in table(["", ""], rows).splitlines()[1:]]
        else:
            lines.append(f"  {key}: {item:,}" if type(item) is int else f"  {key}: {item}")
    return "\n".join(lines)


def _is_pairs(item: Any) -> bool:
    return (
        isinstance(item, list)
        and bool(item)
        and all(isinstance(each, list | tuple) and len(each) == 2 for each in item)
        and all(type(each[1]) is int for each in item)
    )


def _jsonable(value: Any) -> Any:
    """A value as JSON can say it; keys become text, records maps, what is unknown its repr."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)  # JSON has no word for these, and Python's would not be read elsewhere
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _jsonable(getattr(value, each.name)) for each in fields(value)}
    return repr(value)
