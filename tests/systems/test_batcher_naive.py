"""The scenarios' checks catch the original: the same check on both, which hangs or loses there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actorflow.stages.batcher import Size
from tests.systems.batcher_bench import Bench
from tests.systems.naive.batcher import LostReply, NaiveBatcher

TURNS = 200
"""Turns of the event loop after which nothing has anything to do any more."""


async def settled() -> None:
    """Let everything happen that can; nothing here takes time."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def shut_down_with(batcher: NaiveBatcher, before: int, late: int) -> list[Any]:
    """Items, a shutdown, more items that it still accepts; returns what became of each.

    A result, an exception's class, or None for an item that is never answered.
    """
    worker = asyncio.ensure_future(batcher.run())
    replies = [batcher.add(item) for item in range(before)]
    await settled()
    batcher.shut_down()
    replies += [batcher.add(item) for item in range(late)]
    await settled()
    outcomes: list[Any] = []
    for reply in replies:
        if not reply.done():
            outcomes.append(None)
        elif reply.exception() is not None:
            outcomes.append(type(reply.exception()))
        else:
            outcomes.append(reply.result())
    gone = worker.done()
    worker.cancel()
    await settled()
    outcomes.append("left" if gone else "hangs")
    return outcomes


@pytest.mark.parametrize(
    ("flushes", "expected"),
    [(False, [None] * 7 + ["hangs"]), (True, [*range(7), "left"])],
)
def test_c_20_a_part_of_a_batch_hangs_in_the_original(flushes: bool, expected: list[Any]) -> None:
    """Seven of ten items: the check sees the hang, and that a flush is what mends it."""
    batcher = NaiveBatcher(batch_size=10, flushes=flushes)
    assert asyncio.run(shut_down_with(batcher, 7, 0)) == expected
    ours = Bench(Size(), {"max_batch_size": 10})
    for _ in range(7):
        ours.add()
    ours.shut_down("flush")
    ours.advance(0)
    assert (len(ours.answered()), ours.left_at) == (7, 0)


@pytest.mark.parametrize(
    ("empties", "expected"),
    [(False, [LostReply, LostReply, "left"]), (True, [0, 1, "left"])],
)
def test_c_22_what_is_in_the_inbox_is_lost_in_the_original(
    empties: bool, expected: list[Any]
) -> None:
    """It has accepted them, and leaves: the check sees the loss."""
    batcher = NaiveBatcher(batch_size=1, empties_inbox=empties)
    assert asyncio.run(shut_down_with(batcher, 0, 2)) == expected
    ours = Bench(Size(), {"max_batch_size": 1, "max_batch_queue_size": 1}, process=5, waits=True)
    tokens = [ours.add() for _ in range(20)]
    ours.shut_down("flush")
    ours.advance(1000)
    assert sorted(ours.answered()) == tokens
