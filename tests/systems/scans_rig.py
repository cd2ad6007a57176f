"""A stage of scans without a stage: the real core and hosts, virtual time, a seeded order.

The test plays the source, which has so many inputs under way as its window allows, and the
consumer, which takes values or does not. A gate holds a host before its work, or its words.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from actorflow.runtime.simulated.companions import SimulatedCompanions
from actorflow.stage.children import ChildEnd
from actorflow.stage.companions import CompanionObserver
from actorflow.stages.scans.broadcast import Distribution
from actorflow.stages.scans.config import ScanConfig
from actorflow.stages.scans.core import Owner, ScanCore
from actorflow.stages.scans.demux import Demultiplexing
from actorflow.stages.scans.hosts import HostsBeside
from actorflow.stages.scans.member import Member
from actorflow.stages.scans.scan import Scan, pickled_scan

STEPS = 2_000_000
"""More than any test takes: a rig that goes on is one that goes round in circles."""


class Watchdog(AssertionError):
    """The rig has come to rest, and is not over."""


class Companions(SimulatedCompanions):
    """Simulated companions with gates, which remember how each ended."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.shut: set[int] = set()
        """Those that do not work."""
        self.mute: set[int] = set()
        """Those that work, and whose words do not arrive."""
        self.ends: dict[int, ChildEnd] = {}

    def open(self, life: int) -> None:
        """Let it go on."""
        self.shut.discard(life)
        self.mute.discard(life)
        found = self._lives.get(life)
        if found is not None:
            self._stir(found)
            if found.said and not found.arriving:
                found.arriving = True
                self._after(0.0, lambda: self._arrive(found))

    def _turn(self, life: Any) -> None:
        if life.number in self.shut and not life.over:
            life.turning = False
        else:
            super()._turn(life)

    def _arrive(self, life: Any) -> None:
        if life.number in self.mute:
            life.arriving = False
            return
        if isinstance(life.said[0], ChildEnd):
            self.ends[life.number] = life.said[0]
        super()._arrive(life)


@dataclass(slots=True, eq=False)
class Batch:
    """What the source handed over at once."""

    left: int


class Rig:
    """The surroundings of one core.

    Args:
        config: how scans are run.
        source: what the source has; it may be endless.
        window: how many inputs may be under way and unfinished.
        seed: chooses how long everything takes.
        demux: the arguments of a `Demultiplexing`; a `Distribution` without them.
        next_scans: as for a `Distribution`.
        workers: how many hosts there are at most.
        deaths: one in so many pieces of work kills its host; 0 for none.
        delays: how many milliseconds things take at most.
    """

    def __init__(
        self,
        config: ScanConfig | None = None,
        source: Iterable[Any] = (),
        *,
        window: int = 1500,
        seed: int = 0,
        demux: dict[str, Any] | None = None,
        next_scans: Callable[[], Iterable[bytes]] | None = None,
        workers: int | None = None,
        deaths: int = 0,
        delays: int = 3,
    ) -> None:
        self.config = config or ScanConfig()
        self.random = random.Random(seed)
        self.time = 0.0
        self.values: list[Any] = []
        self.logs: list[tuple[str, str, dict[str, Any]]] = []
        self.pulled = self.finished = 0
        self.high_water = 0
        """How many inputs one scan had at most."""
        self.taking = True
        """Whether the consumer takes values."""
        self.left_early = self.over = False
        self.failure: Exception | None = None
        self.window = window
        self.after_each: Callable[[], None] = lambda: None
        """Called when something has happened: for invariants."""
        self._delays = delays
        self.more_to_come = False
        """Whether the source only pauses when it has nothing, see `feed`."""
        self._source: Iterator[Any] | None = iter(source)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._not_left: list[int] = []
        self._ending = False
        observer = CompanionObserver(said=self._said, ended=self._ended)
        self.companions = Companions(
            self._after,
            observer,
            self._delay,
            lambda: deaths > 0 and not self.random.randrange(deaths),
        )
        owner = Owner(
            now=lambda: self.time,
            after=self._after,
            finished=self._finished,
            emit=self._emit,
            leave=self._leave,
            fail=self._fail,
            log=lambda level, said, values: self.logs.append((level, said, values)),
        )
        hosts = HostsBeside(self.companions)
        self.core: ScanCore
        if demux is not None:
            self.core = Demultiplexing(self.config, hosts, owner, workers, **demux)
        else:
            self.core = Distribution(self.config, hosts, owner, workers, next_scans)

    # --- what tests say ---------------------------------------------------------------------------

    def add(self, *scans: Scan[Any, Any], **options: Any) -> list[Member]:
        """Run scans."""
        refs = [self.core.add(pickled_scan(scan), **options) for scan in scans]
        return [self.core.members[ref.id] for ref in refs]

    def shut(self, member: Member) -> None:
        """Have a scan's host not work."""
        self.companions.shut.add(member.host)

    def mute(self, member: Member) -> None:
        """Have a scan's host work, and its words not arrive."""
        self.companions.mute.add(member.host)

    def open(self, member: Member) -> None:
        """Let a scan's host go on."""
        self.companions.open(member.host)

    def take(self, *, taking: bool = True) -> None:
        """The consumer takes what waits, and what comes, or nothing."""
        self.taking = taking
        if taking:
            tokens, self._not_left = self._not_left, []
            for token in tokens:
                self._after(self._delay(), lambda token=token: self.core.left(token))

    def feed(self, items: Iterable[Any]) -> None:
        """The source has more, behind what it has."""
        self.more_to_come = True
        self._source = itertools.chain(self._source or (), items)

    def end_source(self) -> None:
        """The source ends behind what it has."""
        self.more_to_come = False

    def run(self, until: Callable[[], bool] | None = None, *, seconds: float = 1e6) -> Rig:
        """Let things happen until nothing does, or something is so, or so much time has passed.

        Raises:
            Watchdog: it is still going on after very many steps.
        """
        deadline = self.time + seconds
        for _ in range(STEPS):
            self._pull()
            if self.failure is not None or (until is not None and until()):
                return self
            if not self._heap or self._heap[0][0] > deadline:
                return self
            self.time, _, callback = heapq.heappop(self._heap)
            callback()
            self.after_each()
        raise Watchdog(f"still going on: {self.core.rows()}")

    def finish(self) -> list[Any]:
        """Let it come to its end; returns the values.

        Raises:
            Watchdog: it comes to rest before its end.
        """
        self.run()
        if self.failure is not None:
            raise self.failure
        if not self.over:
            raise Watchdog(f"at rest and not over: {self.core.rows()}")
        return self.values

    def tagged(self, name: Any) -> list[Any]:
        """The values of one scan, where they are tagged."""
        return [value for tag, value in self.values if tag == name]

    # --- the surroundings -------------------------------------------------------------------------

    def _pull(self) -> None:
        while (
            self._source is not None
            and not self.left_early
            and self.pulled - self.finished < self.window
        ):
            most = min(self.window - (self.pulled - self.finished), self.random.randint(1, 20))
            items = list(itertools.islice(self._source, most))
            self.pulled += len(items)
            if items:
                self.core.accept(items, Batch(len(items)))
            if len(items) < most:
                self._source = None
            if self.failure is not None:
                return
        exhausted = self._source is None and not self.more_to_come
        if (exhausted or self.left_early) and self.pulled == self.finished and not self._ending:
            self._ending = True
            self.core.end(self.ended)

    def ended(self) -> None:
        """Every scan has ended after the input had."""
        self.over = True

    def _delay(self) -> float:
        return self.random.randint(0, self._delays) / 1000 if self._delays else 0

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.time + seconds, next(self._order), callback))

    def _said(self, host: int, messages: Any) -> None:
        self.core.said(host, messages)
        self._look()

    def _ended(self, host: int, end: ChildEnd) -> None:
        self.core.gone(host, end)

    def _look(self) -> None:
        queued = [member.queued for member in self.core.members.values()]
        self.high_water = max([self.high_water, *queued])

    def _finished(self, batch: Batch, count: int) -> None:
        batch.left -= count
        assert batch.left >= 0, "an input was finished twice"
        self.finished += count

    def _emit(self, values: list[Any], token: int) -> None:
        assert values, "an empty list was emitted"
        self.values += values
        if self.taking:
            self._after(self._delay(), lambda: self.core.left(token))
        else:
            self._not_left.append(token)

    def _leave(self) -> None:
        self.left_early = True

    def _fail(self, error: Exception) -> None:
        self.failure = error
