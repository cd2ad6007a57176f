"""How far a stage's snapshots reach into what it takes in, and what waits until they reach further.

A stage without snapshots has finished a batch when it has handled it, or when everything made from
it is finished. One with snapshots has finished it when a snapshot that reflects it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from actorflow.protocol.control import Link
from actorflow.records import dataclass
from actorflow.stage.incoming import Taken

if TYPE_CHECKING:
    from actorflow.stage.consuming import ConsumingHalf

__all__ = ["Covered", "Reach"]


@dataclass(frozen=True, slots=True)
class Covered:
    """What a snapshot reflects of one subscription.

    Args:
        ref: the subscription.
        seq: its last batch that is reflected.
        edge: its name over restarts (see `control.Link`).
        events: how many events of that edge are reflected.
    """

    ref: int
    seq: int
    edge: str
    events: int

    def to_wire(self) -> dict[str, Any]:
        """As `control.Snapshot` carries it."""
        return {"ref": self.ref, "seq": self.seq, "edge": self.edge, "events": self.events}


@dataclass(slots=True)
class _Input:
    """What has been handled of one subscription."""

    edge: str
    seq: int = 0
    events: int = 0
    part: int = 0
    """How many events of a message that is not handled whole."""


class Reach:
    """What was handled and is not covered yet, by subscription.

    Args:
        half: the consuming half whose input it is.
        covered: how many events of each edge the state already reflects, from a predecessor.
        exact: whether every event counts once (``exactly_once``).
    """

    def __init__(self, half: ConsumingHalf, covered: Mapping[str, int], *, exact: bool) -> None:
        self._half = half
        self._exact = exact
        self._covered = dict(covered)
        self._inputs: dict[int, _Input] = {}
        self._waiting: list[Link] = []
        self._once_opened: dict[int, Callable[[], None]] = {}

    # --- subscribing ------------------------------------------------------------------------------

    def may_open(self, link: Link) -> bool:
        """Whether a subscription can be made now.

        Not while events of an earlier ref of the same edge are in hand: the producer is told how
        far the snapshots reach, and would send them again. It is made as soon as they are covered.
        """
        if not self._exact or not self._is_uncovered(link.edge):
            return True
        self._waiting.append(link)
        return False

    def opened(self, link: Link) -> dict[str, Any]:
        """A subscription is made; returns what its producer has to know."""
        events = self._covered.get(link.edge, 0)
        self._inputs[link.ref] = _Input(link.edge, events=events)
        said: dict[str, Any] = {"durable": True}
        if self._exact:
            said |= {"edge": link.edge, "resume": events}
        return said

    def once_opened(self, ref: int, act: Callable[[], None]) -> None:
        """Do something as soon as the subscription is made that waits to be, if it is one."""
        if any(link.ref == ref for link in self._waiting):
            self._once_opened[ref] = act

    def producer_gone(self, peer: str) -> list[Link]:
        """A producer is gone; returns the links on which a subscription was still to be made."""
        gone = [link for link in self._waiting if link.peer == peer]
        for link in gone:
            self._once_opened.pop(link.ref, None)
        self._waiting = [link for link in self._waiting if link.peer != peer]
        return gone

    # --- handling ---------------------------------------------------------------------------------

    def handled(self, taken: Taken) -> None:
        """A batch has been handled; the last of a message makes that message whole."""
        known = self._inputs[taken.incoming.ref]
        known.part += len(taken.events)
        if taken.seq:
            known.seq = taken.seq
            known.events += known.part
            known.part = 0

    @property
    def whole(self) -> bool:
        """Whether no message is handled in part: only then can a snapshot say what it reflects."""
        return not any(known.part for known in self._inputs.values())

    def here(self) -> list[Covered]:
        """What a snapshot that is taken now reflects."""
        return [
            Covered(ref, known.seq, known.edge, known.events) for ref, known in self._inputs.items()
        ]

    def covered(self, here: list[Covered]) -> None:
        """A snapshot is kept: what it reflects is finished."""
        for each in here:
            self._covered[each.edge] = max(each.events, self._covered.get(each.edge, 0))
            self._half.finish(each.ref, each.seq)
            if each.ref not in self._half.subscriptions:
                self._inputs.pop(each.ref, None)
        waiting, self._waiting = self._waiting, []
        for link in waiting:
            self._half.upstream.open(link)
            # None of those that still wait.
            if link not in self._waiting and link.ref in self._once_opened:
                self._once_opened.pop(link.ref)()

    @property
    def complete(self) -> bool:
        """Whether everything handled is covered."""
        return not any(each.open_batches for each in self._half.subscriptions.values())

    def _is_uncovered(self, edge: str) -> bool:
        return any(
            known.edge == edge and self._half.subscriptions[ref].open_batches
            for ref, known in self._inputs.items()
            if ref in self._half.subscriptions
        )
