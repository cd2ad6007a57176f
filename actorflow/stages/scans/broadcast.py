"""Every input to every scan, at the pace of the slowest of those that run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from actorflow.records import dataclass
from actorflow.stages.scans.config import ScanConfig
from actorflow.stages.scans.core import Owner, ScanCore
from actorflow.stages.scans.hosts import Hosts
from actorflow.stages.scans.member import Member, Standing

__all__ = ["Distribution"]


@dataclass(slots=True)
class _Share:
    """Inputs of one batch, next to each other in the stream."""

    batch: Any
    count: int


class Distribution(ScanCore):
    """Distributes a stream: it goes on when every running scan has room.

    An input is finished when every scan that got it has consumed it, or has ended.

    Args:
        config: how scans are run.
        hosts: where.
        owner: the stage around it.
        workers: how many hosts there are at most, or None.
        next_scans: called before each input; the pickled scans that it returns are added, and see
            that input first. None when nobody adds any like this.

    Idea from: streamly's ``parDistributeScanM``.
    """

    def __init__(
        self,
        config: ScanConfig,
        hosts: Hosts,
        owner: Owner,
        workers: int | None = None,
        next_scans: Callable[[], Iterable[bytes]] | None = None,
    ) -> None:
        super().__init__(config, hosts, owner, workers)
        self._next_scans = next_scans
        self._asked_at = -1
        """For which input `next_scans` was called last."""
        self._distributed = 0
        self._settled = 0
        self._shares: deque[_Share] = deque()
        """What was distributed and is not finished, oldest first."""

    def _pump(self) -> None:
        while self.backlog and not self._left:
            self._renew()
            live = [member for member in self.members.values() if member.running]
            if not live:
                if not self._without_scans():
                    return
                continue
            count = self._room_of(live)
            if not count:
                self._note_waiting(live)
                return
            self._feed(live, count)
        if self._all_done:
            self._leave()

    def _renew(self) -> None:
        if self._next_scans is None or self._asked_at == self._distributed:
            return
        self._asked_at = self._distributed
        for pickled in self._next_scans():
            self._begin(pickled, None, -1)

    def _without_scans(self) -> bool:
        """No scan runs; false when the next input has to wait."""
        self._asked_at = -1
        if self._all_done or self.config.empty == "stop":
            self._leave()
        elif self.config.empty == "hold":
            return False
        else:
            self._discard(1 if self._next_scans is not None else len(self.backlog))
        return True

    @property
    def _all_done(self) -> bool:
        done = self.begun > 0 and not self.members
        return done and self.config.stop_when == "all_done" and self._ending is None

    def _room_of(self, live: list[Member]) -> int:
        """How many inputs every one of them may have: the minimum decides."""
        room = min(member.room for member in live)
        count = max(0, int(min(room, len(self.backlog))))
        if self._next_scans is not None:
            count = min(count, 1)
        if self.config.max_buffer_bytes is None:
            return count
        for number in range(count):
            size = self._measure(self.backlog[number].item)
            if not all(member.fits(size) for member in live):
                return number
            for member in live:
                member.sizes.append(size)
        return count

    def _note_waiting(self, live: list[Member]) -> None:
        for member in live:
            if member.waiting_since is None and (member.room < 1 or member.sizes):
                member.waiting_since = self._owner.now()

    def _feed(self, live: list[Member], count: int) -> None:
        elements = [self.backlog.popleft() for _ in range(count)]
        for element in elements:
            if self._shares and self._shares[-1].batch is element.batch:
                self._shares[-1].count += 1
            else:
                self._shares.append(_Share(element.batch, 1))
        self._distributed += count
        for member in live:
            member.fed(count)
        hosts = sorted({member.host for member in live})
        self._hosts.tell(hosts, ["feed", [element.item for element in elements]])
        if all(member.window is None for member in live):
            self._settle()

    # --- what is finished -------------------------------------------------------------------------

    def _consumed(self, member: Member, count: int) -> None:
        self._settle()

    def _departed(self, member: Member, how: str) -> None:
        self._settle()

    def _loses(self, member: Member, *, crashed: bool) -> int:
        return member.queued  # the others have them, and nobody keeps a copy for it

    def _begins_at(self) -> int:
        return self._distributed

    def _begins_anew(self, member: Member, *, crashed: bool) -> None:
        member.position = member.reach
        self._settle()

    def _settle(self) -> None:
        """Finish what nobody has any more."""
        holding = (
            member.position
            for member in self.members.values()
            if member.queued
            and member.window is not None
            and member.standing is not Standing.ENDING
        )
        lowest = min(holding, default=self._distributed)
        while self._settled < lowest:
            share = self._shares[0]
            count = min(share.count, lowest - self._settled)
            share.count -= count
            self._settled += count
            if not share.count:
                self._shares.popleft()
            self._owner.finished(share.batch, count)
