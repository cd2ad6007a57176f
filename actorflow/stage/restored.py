"""What a stage goes on from when its predecessor has left a snapshot: plain data, as it was kept.

An *edge* is a subscription over all restarts of its two stages. Its events are numbered from 0, so
that both sides can say how far they have got although every restart makes a new ref.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from actorflow.records import dataclass

__all__ = ["KeptBatch", "KeptEdge", "Restored"]


@dataclass(frozen=True, slots=True)
class KeptBatch:
    """Events that were sent on an edge and are not acknowledged.

    Args:
        first: the place of the first one on its edge.
        count: how many they are.
        body: the list of them, pickled.
    """

    first: int
    count: int
    body: bytes


@dataclass(frozen=True, slots=True)
class KeptEdge:
    """An edge to a consumer.

    Args:
        consumer: the consumer's stage, such as ``"count/1"``.
        sent: how many events were sent on it.
        batches: those that are not acknowledged, oldest first.
    """

    consumer: str
    sent: int
    batches: tuple[KeptBatch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A stage's last snapshot.

    Args:
        state: what `snapshot` returned, pickled, or None.
        covered: for each edge to a producer, how many of its events that state reflects.
        outputs: for each edge to a consumer, what may not have arrived there.
        buffer: the events that nobody had asked for, a list, pickled, or None.
        finishing: whether the stage had finished, and only handed over what was left.
    """

    state: bytes | None = None
    covered: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, KeptEdge] = field(default_factory=dict)
    buffer: bytes | None = None
    finishing: bool = False
