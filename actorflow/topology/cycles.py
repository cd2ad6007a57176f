"""Cycles: stages each of which would wait for the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from actorflow.topology.drafts import Draft
from actorflow.topology.edges import Edge
from actorflow.topology.members import directly
from actorflow.topology.report import Report

__all__ = ["check_cycles"]


def check_cycles(
    edges: Mapping[str, Sequence[Edge]], drafts: Mapping[str, Draft], report: Report
) -> None:
    """Report each cycle once, at the subscription of the stage that was declared first."""
    place = {name: index for index, name in enumerate(edges)}
    reported: set[frozenset[str]] = set()
    # A Producer that subscribes, or a Consumer that is subscribed to, has been reported as such.
    passing = {
        name: list(directly((edge.subscription.to for edge in of), drafts))
        for name, of in edges.items()
        if drafts[name].kind in (None, "producer_consumer")
    }
    for cycle in _cycles(passing):
        if frozenset(cycle) in reported:
            continue
        reported.add(frozenset(cycle))
        # `cycle` goes from consumer to producer; people read in the direction of the events.
        first = min(cycle, key=place.__getitem__)
        start = cycle.index(first)
        turned = cycle[start:] + cycle[:start]
        producer = turned[1 % len(turned)]
        flow = [first, *reversed(turned[1:]), first]
        edge = next(
            edge for edge in edges[first] if producer in directly([edge.subscription.to], drafts)
        )
        message = f"a cycle: {' → '.join(flow)}; each would wait for the one before it"
        edge.add(report, "to", message)


def _cycles(producers: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """Cycles, at least one through every stage that is on any; without recursion."""
    done: set[str] = set()
    for root in producers:
        trail: list[str] = [root] if root not in done else []
        pending = [iter(producers[root])] if trail else []
        on_trail = set(trail)
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                left = trail.pop()
                on_trail.discard(left)
                done.add(left)
            elif following in on_trail:
                yield trail[trail.index(following) :]
            elif following in producers and following not in done:
                trail.append(following)
                on_trail.add(following)
                pending.append(iter(producers[following]))
