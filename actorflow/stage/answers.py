"""What a producer-consumer's `handle_demand` may answer beside events."""

from __future__ import annotations

from enum import Enum

__all__ = ["FORWARD", "HOLD", "Answer"]


class Answer(Enum):
    """Answers that are no events, of a producer-consumer's `handle_demand`.

    The idea is of GenStage's users, who wished for a cache between producer and consumer (issues
    61 and 214 of elixir-lang/gen_stage).

    Example:
        >>> from actorflow import FORWARD, HOLD, ProducerConsumer
        >>> from actorflow.testing import run
        >>> class Cache(ProducerConsumer):
        ...     known = ["known"]
        ...     def handle_demand(self, demand):
        ...         known, self.known = self.known[:demand], self.known[demand:]
        ...         return known or FORWARD
        ...     def handle_events(self, events, subscription):
        ...         return events
        >>> run(Cache, ["fetched"]), HOLD
        (['known', 'fetched'], actorflow.HOLD)
    """

    FORWARD = "forward"
    HOLD = "hold"

    def __repr__(self) -> str:
        return f"actorflow.{self.name}"


FORWARD = Answer.FORWARD
"""Subscriptions go by their own windows, as without the callback, until another answer."""

HOLD = Answer.HOLD
"""Nothing is asked of producers now; later events, or `forward`, meet the demand."""
