"""Each input to the scan of its key, which is made when the key is first seen."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from itertools import groupby
from typing import Any, Literal

from actorflow.errors import OptionError, ScanFailed
from actorflow.stages.scans.config import ScanConfig
from actorflow.stages.scans.core import Owner, ScanCore
from actorflow.stages.scans.hosts import Hosts
from actorflow.stages.scans.member import Element, Member, Standing

__all__ = ["RESTARTS", "Demultiplexing", "Restart"]

Restart = Literal["fresh", "ignore", "error"]
RESTARTS = ("fresh", "ignore", "error")


class Demultiplexing(ScanCore):
    """One scan per key.

    It holds every input until its scan has consumed it. When a scan is done, the inputs that it had
    and did not consume go back to the front, so that the rule for finished keys, `restart`, is the
    same for them as for later ones, whenever the scan's last word arrives.

    Args:
        config: how scans are run.
        hosts: where.
        owner: the stage around it.
        workers: how many hosts there are at most, or None.
        key: whose an input is.
        make: makes the pickled scan of a key, or None: then the input is discarded.
        restart: an input of a key whose scan is done begins a ``"fresh"`` scan, is ``"ignore"``d,
            or is an ``"error"``.

    Idea from: streamly's ``parDemuxScanM``.
    """

    def __init__(
        self,
        config: ScanConfig,
        hosts: Hosts,
        owner: Owner,
        workers: int | None = None,
        *,
        key: Callable[[Any], Hashable],
        make: Callable[[Any], bytes | None],
        restart: Restart = "fresh",
    ) -> None:
        super().__init__(config, hosts, owner, workers)
        self._key = key
        self._make = make
        self._restart = restart
        self._by_key: dict[Hashable, Member] = {}
        self._finished: set[Hashable] = set()
        """The keys whose scans are done, where that matters later."""

    def _pump(self) -> None:
        giving: dict[int, list[Any]] = {}
        while self.backlog and not self._left and self._failure is None:
            element = self.backlog[0]
            if not element.looked:
                element.key, element.looked = self._key(element.item), True
            member = self._by_key.get(element.key) or self._newcomer(element.key)
            if member is None:
                if self._failure is None:
                    self._discard(1)
                continue
            size = self._measure(element.item)
            if member.room < 1 or not member.running or not member.fits(size):
                if member.waiting_since is None:
                    member.waiting_since = self._owner.now()
                break
            self.backlog.popleft()
            member.fed(1)
            member.elements.append(element)
            if member.window_bytes is not None:
                member.sizes.append(size)
            giving.setdefault(member.id, []).append(element.item)
            if member.window is None:
                self._finish_elements([element])
        for number, items in giving.items():
            member = self.members[number]
            self._hosts.tell([member.host], ["give", number, items])
            if self._ending is Standing.DRAINING and member.running:
                self._summon(member, Standing.DRAINING)

    def _newcomer(self, key: Hashable) -> Member | None:
        """The scan of a key that has none now, or None when its inputs are discarded."""
        if key in self._finished:
            if self._restart == "error":
                summary = "an input came after it was done"
                self._failure = ScanFailed(str(key), 0, summary)
            return None
        pickled = self._make(key)
        if pickled is None:
            return None
        member = self._begin(pickled, key, -1)
        self._by_key[key] = member
        return member

    # --- what is finished -------------------------------------------------------------------------

    def _consumed(self, member: Member, count: int) -> None:
        self._finish_elements([member.elements.popleft() for _ in range(count)])

    def _finish_elements(self, elements: Iterable[Element]) -> None:
        """They are finished, those that were when they were handed over excepted."""
        for batch, part in groupby(elements, key=lambda element: element.batch):
            if batch is not None:
                count = 0
                for element in part:
                    element.batch = None
                    count += 1
                self._owner.finished(batch, count)

    def _departed(self, member: Member, how: str) -> None:
        del self._by_key[member.name]
        if how == "done" and self._restart != "fresh":
            self._finished.add(member.name)
        if how == "crashed":
            self._give_up(member)
        else:
            self._put_back(member)

    def _loses(self, member: Member, *, crashed: bool) -> int:
        return member.queued if crashed else 0

    def _begins_at(self) -> int:
        return 0

    def _begins_anew(self, member: Member, *, crashed: bool) -> None:
        if crashed:
            self._give_up(member)
        else:
            self._put_back(member)

    def _give_up(self, member: Member) -> None:
        """Which of its inputs killed it is not known; none of them is tried again."""
        self._finish_elements(member.elements)
        member.elements.clear()

    def _put_back(self, member: Member) -> None:
        """What it did not consume was there before everything in the backlog."""
        self.backlog.extendleft(reversed(member.elements))
        member.elements.clear()


def checked_restart(restart: object) -> Restart:
    """The rule for finished keys.

    Raises:
        OptionError: there is no such rule.
    """
    if restart not in RESTARTS:
        raise OptionError("restart", f"one of {', '.join(RESTARTS)}", restart)
    return restart  # type: ignore[return-value]  # mypy does not narrow by a tuple
