"""What scans have in common, whoever gets which input: hosts, values, ends, failures, the end.

Pure decisions: it knows no process, clock or thread. Every entry is a *turn*: it takes what is new,
feeds whom it may, hands over the values on hand, and looks whether something is over. So a scan
that has ended, in whatever way, constrains nobody from the turn on in which its last word is read.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from actorflow.errors import Closed, NoSuchChild, OptionError, ScanCrashed, ScanFailed
from actorflow.protocol.codec import encode_value
from actorflow.protocol.failure import Failure
from actorflow.records import dataclass
from actorflow.stage.children import ChildEnd
from actorflow.stages.scans.config import ScanConfig, ScanInfo, ScanRef, ScanStageReport
from actorflow.stages.scans.hosts import Hosts
from actorflow.stages.scans.member import Element, Member, Standing
from actorflow.supervision.strategy import RestartLog

__all__ = ["Owner", "ScanCore"]

START_AGAIN = 0.1
"""Seconds until it counts as a crash that a host could not be started: processes come back."""

REMEMBERED = 1000
"""Of how many scans that have ended the report tells."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What the core needs of the stage around it.

    Args:
        now: seconds on the stage's clock.
        after: has a callback called in so many seconds.
        finished: so many inputs of a batch are finished.
        emit: emits values; when all of them have left, `left` is to be called with this token.
        leave: takes no more input: the stage is to end as if that were over.
        fail: ends the stage with this exception.
        log: writes a log line: level, event, values.
    """

    now: Callable[[], float]
    after: Callable[[float, Callable[[], None]], None]
    finished: Callable[[Any, int], None]
    emit: Callable[[list[Any], int], None]
    leave: Callable[[], None]
    fail: Callable[[Exception], None]
    log: Callable[[str, str, dict[str, Any]], None]


class ScanCore(ABC):
    """The scans of one stage.

    Args:
        config: how they are run.
        hosts: where.
        owner: the stage around it.
        workers: how many hosts there are at most, or None.
    """

    def __init__(
        self, config: ScanConfig, hosts: Hosts, owner: Owner, workers: int | None = None
    ) -> None:
        self.config = config
        self.members: dict[int, Member] = {}
        """The scans that have not ended, oldest first."""
        self.backlog: deque[Element] = deque()
        """What no scan has been given yet."""
        self.elements = self.discarded = self.values = 0
        self._hosts = hosts
        self._owner = owner
        self._workers = workers
        self._lives = itertools.count(1)
        self._ids = itertools.count(1)
        self._tokens = itertools.count(1)
        self._open: dict[int, list[Member]] = {}
        """The hosts there are, and who runs where."""
        self._out: list[Any] = []
        self._out_of: Counter[int] = Counter()
        """Of which scan how many of the values on hand are."""
        self._leaving: dict[int, Counter[int]] = {}
        """By token: of which scan how many values were emitted and have not left."""
        self._restarts = RestartLog(config.intensity)
        self._past: deque[ScanInfo] = deque(maxlen=REMEMBERED)
        self._killed: list[Any] = []
        self._failure: Exception | None = None
        self._when_over: Callable[[], None] | None = None
        self._ending: Standing | None = None
        """How all scans are to end, once they are."""
        self._left = False
        """Whether inputs are of no more use."""
        self.begun = 0
        """How many scans there were."""

    # --- what a kind of core decides --------------------------------------------------------------

    @abstractmethod
    def _pump(self) -> None:
        """Feed scans from the backlog as far as they have room."""

    @abstractmethod
    def _consumed(self, member: Member, count: int) -> None:
        """A scan has consumed inputs: some may be finished."""

    @abstractmethod
    def _departed(self, member: Member, how: str) -> None:
        """A scan has ended, and is no member any more: what becomes of the inputs it had."""

    @abstractmethod
    def _loses(self, member: Member, *, crashed: bool) -> int:
        """How many inputs go with a scan that failed or crashed, were it begun anew."""

    @abstractmethod
    def _begins_at(self) -> int:
        """The place that the inputs of a scan begin at which begins now."""

    @abstractmethod
    def _begins_anew(self, member: Member, *, crashed: bool) -> None:
        """A scan has failed or crashed and is begun anew: what becomes of the inputs it had."""

    # --- entries ----------------------------------------------------------------------------------

    def accept(self, items: Sequence[Any], batch: Any) -> None:
        """Take inputs; `owner.finished` is told of the batch as they are finished."""
        self.elements += len(items)
        self.backlog.extend(Element(item, batch) for item in items)
        self._turn()

    def said(self, host: int, messages: Sequence[Any]) -> None:
        """Take what a host says."""
        self._take(host, messages)
        self._turn()

    def gone(self, host: int, end: ChildEnd) -> None:
        """A host has ended; what it said has been taken before."""
        for member in self._open.pop(host, []):
            if member.id not in self.members:
                continue
            if member.overdue:
                self._killed.append(member.name)
                self._over(member, "killed")
            elif member.standing is Standing.ENDING:
                self._over(member, "crashed")
            else:
                self._crashed(member, end)
        self._turn()

    def left(self, token: int) -> None:
        """The values that were emitted with this token have left."""
        for number, count in self._leaving.pop(token, Counter()).items():
            member = self.members.get(number)
            if member is not None:
                member.held -= count
        self._turn()

    def add(self, pickled: bytes, name: Any = None, window: int | None = -1) -> ScanRef:
        """Begin to run a scan; it is fed from the next input on.

        Args:
            pickled: the scan.
            name: its name; None for its number.
            window: how many inputs it may have; None for any number, -1 for what the
                configuration says.

        Raises:
            Closed: the stage is about to end.
            OptionError: another scan has that name.
        """
        if self._ending is not None or self._left or self._failure is not None:
            raise Closed("the stage is about to end, and runs no more scans")
        ref = self._begin(pickled, name, window).ref
        self._turn()
        return ref

    def remove(self, number: int, mode: Literal["drain", "drop"] = "drain") -> None:
        """Feed a scan no more, and have it end behind what it has, or now.

        Raises:
            NoSuchChild: there is none, or it has ended.
            OptionError: an unknown mode.
        """
        if mode not in ("drain", "drop"):
            raise OptionError("mode", "drain or drop", mode)
        member = self.members.get(number)
        if member is None:
            raise NoSuchChild(f"there is no scan {number}, or it has ended")
        self._summon(member, Standing.DRAINING if mode == "drain" else Standing.ENDING)
        self._turn()

    def end(self, when_over: Callable[[], None]) -> None:
        """The input is over: have every scan end behind what it has, then call `when_over`."""
        self._finish(Standing.DRAINING, when_over)

    def drop_all(self, when_over: Callable[[], None]) -> None:
        """Have every scan end now, then call `when_over`."""
        self._finish(Standing.ENDING, when_over)

    def rows(self) -> list[ScanInfo]:
        """A row for each scan: those that have ended, then those that have not."""
        members = self.members.values()
        return [*self._past, *(each.info(pid=self._hosts.pid(each.host)) for each in members)]

    def report(self) -> ScanStageReport:
        """What there is to say at the end, or now."""
        return ScanStageReport(
            elements=self.elements,
            discarded=self.discarded,
            values=self.values,
            scans=tuple(self.rows()),
            killed=tuple(self._killed),
        )

    # --- a turn -----------------------------------------------------------------------------------

    def _turn(self) -> None:
        while True:
            if self._left:
                self._discard(len(self.backlog))
            elif self._failure is None and self._ending is not Standing.ENDING:
                self._pump()
            answers = self._hosts.answers()
            if not answers:
                break
            for answer in answers:
                self._take(answer.host, answer.messages)
        self._flush()
        self._conclude()

    def _flush(self) -> None:
        """Hand over the values on hand, whoever waits for whom."""
        if self._out:
            values, self._out = self._out, []
            token = next(self._tokens)
            self._leaving[token], self._out_of = self._out_of, Counter()
            self._owner.emit(values, token)

    def _conclude(self) -> None:
        if self.members:
            return
        if self._failure is not None:
            failure = self._failure
            self._let_go_of_hosts()
            self._owner.fail(failure)
        elif self._when_over is not None:
            when_over, self._when_over = self._when_over, None
            self._let_go_of_hosts()
            when_over()

    def _let_go_of_hosts(self) -> None:
        for host in list(self._open):
            self._hosts.let_go(host)
        self._open.clear()

    # --- what hosts say ---------------------------------------------------------------------------

    def _take(self, host: int, messages: Iterable[Any]) -> None:
        for message in messages:
            kind, number, *rest = message
            member = self.members.get(number)
            if member is None or member.host != host:
                continue  # said by a life of it that is over
            if kind == "did":
                self._did(member, rest[0], rest[1])
            elif kind == "unclean":
                said = "the final of a scan raised"
                self._owner.log("warning", said, {"scan": str(member.name), "error": rest[0]})
            elif rest[0] == "failed":
                self._failed(member, Failure.from_wire(rest[1]))
            else:
                self._over(member, rest[0])

    def _did(self, member: Member, consumed: int, values: list[Any]) -> None:
        member.did(consumed, len(values))
        self.values += len(values)
        if values:
            tagged = self.config.emit == "tagged"
            self._out += [(member.name, value) for value in values] if tagged else values
            self._out_of[member.id] += len(values)
        if consumed:
            self._consumed(member, consumed)
            self._watch_end(member)

    # --- ends -------------------------------------------------------------------------------------

    def _summon(self, member: Member, standing: Standing) -> None:
        """Have a scan end; it constrains nobody from here on."""
        if member.standing is Standing.ENDING or member.standing is standing:
            return
        member.standing = standing
        word = "end" if standing is Standing.DRAINING else "drop"
        self._hosts.tell([member.host], [word, member.id])
        self._watch_end(member)
        self._consumed(member, 0)

    def _watch_end(self, member: Member) -> None:
        """Give a scan that has nothing more to do its time; inputs that it has may take theirs."""
        if member.running or (member.standing is Standing.DRAINING and member.queued):
            return
        member.summons += 1
        summons = member.summons

        def look() -> None:
            if member.id in self.members and member.summons == summons:
                said = "a scan does not end in time and is killed"
                self._owner.log("warning", said, {"scan": str(member.name)})
                member.overdue = True
                self._hosts.kill(member.host)

        self._owner.after(self.config.finalize_timeout, look)

    def _over(self, member: Member, how: str) -> None:
        del self.members[member.id]
        self._past.append(member.info(how))
        self._forget_place(member)
        self._departed(member, how)

    def _forget_place(self, member: Member) -> None:
        """Its host has one scan less; one that has none is not kept, unless it is of a pool."""
        here = self._open.get(member.host)
        if here is None:
            return
        here.remove(member)
        if not here and self._workers is None:
            del self._open[member.host]
            self._hosts.let_go(member.host)

    def _finish(self, standing: Standing, when_over: Callable[[], None]) -> None:
        self._ending = standing
        self._when_over = when_over
        for member in list(self.members.values()):
            self._summon(member, standing)
        self._turn()

    def _leave(self) -> None:
        """There is nothing more to do with inputs."""
        if not self._left:
            self._left = True
            self._discard(len(self.backlog))
            self._owner.leave()

    def _discard(self, count: int) -> None:
        """Inputs that no scan is there for are finished."""
        self.discarded += count
        for _ in range(count):
            self._owner.finished(self.backlog.popleft().batch, 1)

    # --- failures ---------------------------------------------------------------------------------

    def _failed(self, member: Member, failure: Failure) -> None:
        cause = failure.exception()
        error = ScanFailed(str(member.name), member.consumed, failure.summary, cause)
        self._broken(member, error, "failed")

    def _crashed(self, member: Member, end: ChildEnd) -> None:
        match end.reason:
            case ["signal", int(number)]:
                error = ScanCrashed(str(member.name), -number)
            case ["exit", int(status)]:
                error = ScanCrashed(str(member.name), status)
            case "normal":
                error = ScanCrashed(str(member.name), 0, "it left before its scan had ended")
            case [_, detail]:
                error = ScanCrashed(str(member.name), None, str(detail))
            case other:
                error = ScanCrashed(str(member.name), None, str(other))
        self._broken(member, error, "crashed")

    def _broken(self, member: Member, error: Exception, how: str) -> None:
        """A scan has failed or crashed; the configuration says what follows."""
        on_error = self.config.on_error
        lost = self._loses(member, crashed=how == "crashed")
        member.lost += lost
        ends = member.standing is Standing.ENDING or self._failure is not None
        line = {"scan": str(member.name), "error": str(error), "lost": lost}
        if ends or on_error == "drop":
            self._owner.log("error", "a scan broke, the others go on", line)
            self._over(member, how)
        elif on_error == "restart" and self._restarts.allows(self._owner.now()):
            self._owner.log("warning", "a scan broke and is begun anew", line)
            self._begins_anew(member, crashed=how == "crashed")
            self._again(member)
        else:
            self._over(member, how)
            self._failure = error
            for other in list(self.members.values()):
                self._summon(other, Standing.ENDING)

    def _again(self, member: Member) -> None:
        self._forget_place(member)
        member.begin_anew(self._begins_at(), self._place_for(member))
        self._hosts.tell([member.host], ["add", member.id, member.pickled])
        if member.standing is Standing.DRAINING:
            self._hosts.tell([member.host], ["end", member.id])
            self._watch_end(member)

    # --- beginnings -------------------------------------------------------------------------------

    def _begin(self, pickled: bytes, name: Any, window: int | None) -> Member:
        number = next(self._ids)
        name = number if name is None else name
        if any(each.name == name for each in self.members.values()):
            raise OptionError("name", "one that no other scan of the stage has", name)
        size = self.config.window if window == -1 else window
        member = Member(
            number, name, pickled, size, self.config.max_buffer_bytes, 0, self._begins_at()
        )
        self.begun += 1
        member.host = self._place_for(member)
        self.members[number] = member
        self._hosts.tell([member.host], ["add", number, pickled])
        return member

    def _place_for(self, member: Member) -> int:
        """A host for a scan: a new one, as long as there may be more."""
        if self._workers is not None and len(self._open) >= self._workers:
            host = min(self._open, key=lambda each: len(self._open[each]))
            self._open[host].append(member)
            return host
        host = next(self._lives)
        self._open[host] = [member]
        try:
            self._hosts.start(host)
        except OSError as error:
            end = ChildEnd(["error", str(error)], normal=False)
            self._owner.after(START_AGAIN, lambda: self.gone(host, end))
        return host

    def _measure(self, item: Any) -> int:
        """How many bytes an input counts for, where they are limited."""
        return len(encode_value(item).body) if self.config.max_buffer_bytes is not None else 0
