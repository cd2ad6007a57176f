"""The floor of the pipelines: forked processes that pass the same batches over bare pipes."""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise

from benchmarks._kinds import KINDS, Kind
from benchmarks._pipes import Crew, Pipe, window_of

__all__ = ["run_floor"]


def _source(kind: Kind, asks: Pipe, out: Pipe, events: int) -> None:
    position = 0
    while position < events:
        end = min(events, position + asks.receive())
        out.send(list(kind.make(position, end)), kind.coding)
        position = end


def _between(kind: Kind, source: Pipe, ask: Pipe, asks: Pipe, out: Pipe) -> None:
    credit = 0
    while (events := source.receive(kind.coding)) is not None:
        while credit < len(events):
            more = asks.receive()
            if more is None:
                return
            credit += more
        credit -= len(events)
        out.send(kind.change(events), kind.coding)
        ask.ask(len(events))


def _sink(kind: Kind, source: Pipe, ask: Pipe, answer: Pipe) -> None:
    total, first, last = 0, 0.0, 0.0
    while (events := source.receive(kind.coding)) is not None:
        first = first or time.perf_counter()
        total += kind.value(events)
        last = time.perf_counter()
        ask.ask(len(events))
    answer.send([total, last - first])


def run_floor(
    events: int, max_demand: int, kind: str = "integers", between: int = 1
) -> list[float]:
    """One run; returns the total and the seconds, from the sink's first batch to its last.

    Args:
        events: how many.
        max_demand: the window of each pair of neighbours.
        kind: one of `KINDS`.
        between: how many stages there are between the source and the sink, each of which changes
            every event.
    """
    what = KINDS[kind]
    with Crew() as crew:
        links = [(crew.pipe(), crew.pipe()) for _ in range(between + 1)]
        answer = crew.pipe()
        for _, ask in links:
            for count in window_of(max_demand):
                ask.send(count)
        out, asks = links[0]
        crew.fork(partial(_source, what, asks, out, events), {asks.reading, out.writing})
        for (source, ask), (to, wanted) in pairwise(links):
            crew.fork(
                partial(_between, what, source, ask, wanted, to),
                {source.reading, ask.writing, wanted.reading, to.writing},
            )
        last, ask_last = links[-1]
        crew.fork(
            partial(_sink, what, last, ask_last, answer),
            {last.reading, ask_last.writing, answer.writing},
        )
        crew.keep({answer.reading})
        return list(answer.receive())
