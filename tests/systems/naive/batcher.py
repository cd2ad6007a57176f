"""The original batcher's shutdown, and its Size policy: what hangs, and what loses items.

An asyncio worker as the seed describes it: an inbox, one open batch, a flag that asks it to end.
Its timers and policies are left out; what is here is here with its faults.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LostReply", "NaiveBatcher"]


class LostReply(Exception):
    """The worker was gone before it answered; the original calls it Rx."""


@dataclass
class NaiveBatcher:
    """Starts a batch when it is full, and never otherwise.

    Args:
        batch_size: items in a batch.
        empties_inbox: whether the worker looks at its inbox once more before it leaves.
        flushes: whether a part of a batch starts when the worker has been asked to leave.
    """

    batch_size: int
    empties_inbox: bool = False
    flushes: bool = False
    inbox: asyncio.Queue[tuple[Any, asyncio.Future[Any]] | None] = field(
        default_factory=asyncio.Queue
    )
    _open: list[tuple[Any, asyncio.Future[Any]]] = field(default_factory=list)
    _asked: bool = False

    def add(self, item: Any) -> asyncio.Future[Any]:
        """Accept an item, also while it shuts down."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.inbox.put_nowait((item, reply))
        return reply

    def shut_down(self) -> None:
        """Set the flag, and wake the worker."""
        self._asked = True
        self.inbox.put_nowait(None)

    async def run(self) -> None:
        """The worker; what is left in the inbox when it leaves is dropped with an error."""
        while not (
            self._asked and not self._open and (self.inbox.empty() or not self.empties_inbox)
        ):
            message = await self.inbox.get()
            if message is not None:
                self._open.append(message)
            if len(self._open) >= self.batch_size or (self._asked and self.flushes):
                await self._process()
        while not self.inbox.empty():
            left = self.inbox.get_nowait()
            if left is not None:
                left[1].set_exception(LostReply("the worker is gone"))

    @property
    def _may_leave(self) -> bool:
        emptied = self.inbox.empty() or not self.empties_inbox
        return self._asked and not self._open and emptied

    async def _process(self) -> None:
        batch, self._open = self._open, []
        await asyncio.sleep(0)
        for item, reply in batch:
            reply.set_result(item)
