"""The synchronous loop: turns a stage machine with real pipes, on one thread.

One iteration does one work item, flushes what it caused, and looks at the links when there is
nothing to do or when it last looked some time ago. Nothing in it waits but the poll.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, MutableSequence
from typing import TYPE_CHECKING, Any

from actorflow.compiled import mypyc_attr
from actorflow.errors import ProtocolError
from actorflow.protocol.identity import Incarnation
from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.control_link import ControlLink
from actorflow.runtime.local.handover import WaitForRoom, hand_over, wait_for_room
from actorflow.runtime.local.lanes import Lanes
from actorflow.runtime.local.linkboard import half_view
from actorflow.runtime.local.pipes import CHUNK, PipeLink
from actorflow.runtime.local.poller import (
    READABLE,
    WRITABLE,
    Poller,
    busy_poller,
)
from actorflow.runtime.local.posting import Mailbox
from actorflow.stage.children import ChildKind, ChildRuntime, Observer
from actorflow.stage.companions import CompanionObserver, CompanionRuntime
from actorflow.stage.counters import Counter
from actorflow.stage.link_counters import LinkSlot
from actorflow.stage.machine import StageMachine
from actorflow.stage.work import CONTROL_LINK, Work, read_out
from actorflow.supervision.specs import StageSpec

if TYPE_CHECKING:
    from actorflow.protocol.blobs import BlobSource, BlobSpace

__all__ = ["LOOK_AFTER", "StageLoop"]

LOOK_AFTER = 2_000_000
"""Nanoseconds of uninterrupted work after which the links are looked at: a stop or a cancellation
is seen this soon between two batches."""

COOL = 7
"""After a read in vain, so many reads that were announced pass before one is tried in advance."""

_BUSY = int(Counter.BUSY)
_STARVED = int(Counter.STARVED)
_BLOCKED = int(Counter.BLOCKED)
_SINCE = int(Counter.CALLBACK_SINCE)
_IN_HAND = int(Counter.CALLBACK_EVENTS)
_REF = int(Counter.CALLBACK_REF)
_MESSAGE = int(Counter.CALLBACK_MESSAGE)


@mypyc_attr(allow_interpreted_subclasses=True)
class StageLoop:
    """The driver and the port of one stage machine.

    Args:
        child: which incarnation of which stage this is.
        spec: what to run.
        control: the link to the supervisor; owned from now on.
        counters: the scoreboard slot.
    """

    def __init__(
        self,
        child: Incarnation,
        spec: StageSpec,
        control: ControlSocket,
        counters: MutableSequence[int],
    ) -> None:
        self._counters = counters
        self._links: dict[int, PipeLink] = {}
        self._by_descriptor: dict[int, PipeLink] = {}
        self._dirty: list[PipeLink] = []
        self._poller = self._new_poller(spec)
        self._watchers: dict[int, Callable[[int], None]] = {}
        self._control = ControlLink(control, self)
        self._looked = 0
        self._hot: PipeLink | None = None
        """A link that may have more, and is read before anything is waited for."""
        self._lucky = False
        """Whether that has found something since the link was hot."""
        self._cool = 0
        """How many reads are to pass before a link is hot again."""
        self._lanes = Lanes(counters, self)
        self._mailbox: Mailbox | None = None
        # Added up here and stored there, which costs less than adding up in the shared memory.
        self._busy = counters[_BUSY]
        self._starved = counters[_STARVED]
        self._blocked = counters[_BLOCKED]
        self.machine = StageMachine(child, spec, self, counters, time.monotonic)
        self._timers = self.machine.timers

    def run(self) -> int:
        """Run the stage to its end; returns the exit status."""
        machine = self.machine
        machine.start()
        next_work = machine.next_work
        while not machine.ended:
            work = next_work()
            if work is None:
                if self._dirty:
                    self._flush_dirty()
                if not machine.ended:
                    self._wait()
                continue
            finished = self._perform(work)
            if self._dirty:
                self._flush_dirty()
            if finished - self._looked > LOOK_AFTER:
                self._look(0.0)
                self._advance()
        self._last_words(wait_for_room)
        return machine.exit_status

    def _last_words(self, wait: WaitForRoom) -> None:
        failed = self.machine.exit_status != 0
        dropped = hand_over(self._control.socket, [*self._links.values()], failed=failed, wait=wait)
        self._counters[Counter.MESSAGES_DROPPED] += dropped

    def _new_poller(self, spec: StageSpec) -> Poller:
        return busy_poller(spec.options.busy_poll)

    # --- the machine's port -----------------------------------------------------------------------

    def send(self, link: int, head: bytes, body: bytes = b"") -> None:
        """Queue a frame; it leaves when the work item in hand is done."""
        if link == CONTROL_LINK:
            self._control.send(head + body if body else head)
            return
        pipe = self._links.get(link)
        # A link that is closed has no reader who would miss it: its end was seen, or was our doing.
        if pipe is not None and not pipe.closing:
            pipe.outbox.append(head)
            pipe.backlog += len(head)
            if body:
                pipe.outbox.append(body)
                pipe.backlog += len(body)
            self._dirty.append(pipe)

    def open(self, link: int) -> None:
        """Take the descriptors that came with the announcement in hand."""
        reader, writer, *lane = self._control.socket.take_descriptors(2, 3)
        if lane:
            self._lanes.add(link, lane[0])
        pipe = PipeLink(link, reader, writer)
        self._links[link] = pipe
        self._by_descriptor[reader] = pipe
        self._by_descriptor[writer] = pipe
        self._poller.register(reader, READABLE)

    def blob_space(self, size: int) -> BlobSpace | None:
        """Memory that the stage shares with its consumers, made when there is use for it."""
        return self._lanes.space(size)

    def blobs(self, link: int) -> BlobSource | None:
        """The memory that the producer on a link shares, as soon as it offers any."""
        return self._lanes.blobs(link)

    def link_counters(self, place: int, role: str) -> LinkSlot:
        """This end's half of a link's slot, in the same memory as the stage's own."""
        return half_view(self._counters, place, role)

    def close(self, link: int) -> None:
        """Close a link once what is queued on it has left."""
        pipe = self._links.get(link)
        if pipe is not None and not pipe.closing:
            pipe.closing = True
            self._dirty.append(pipe)

    def drain(self, link: int) -> None:
        """Read a dead peer's link to its end, or until nothing is there.

        Another process may still hold a copy of the peer's descriptor; then the end never comes.
        """
        pipe = self._links.get(link)
        if pipe is None:
            return
        while pipe.reader >= 0:
            data = pipe.read()
            if not data:
                self._at_end(pipe)
                return
            self._feed(pipe, data)

    # --- what else there is to wait for -----------------------------------------------------------

    def watch(
        self, descriptor: int, callback: Callable[[int], None], events: int = READABLE
    ) -> None:
        """Have `callback` called when a descriptor is ready; what it raises ends the stage."""
        self._watchers[descriptor] = callback
        self._poller.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """Watch a descriptor no more; to be called before it is closed."""
        del self._watchers[descriptor]
        self._poller.unregister(descriptor)

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have `callback` called in so many seconds."""
        self.machine.call_after(seconds, callback)

    def post(self, callback: Callable[[], None]) -> None:
        """Have `callback` called soon, from any thread; `_open_mailbox` has made the way for it."""
        if self._mailbox is not None:
            self._mailbox.post(callback)

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """Where the stage's own children live."""
        from actorflow.runtime.local.children import children_of_kind

        if kind.name in ("thread", "task"):
            self._open_mailbox()
        stage = self.machine.child.stage
        return children_of_kind(kind, str(stage), self, observe, self.machine.log)

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """Where the stage's companions live."""
        from actorflow.runtime.local.companions import CompanionProcesses, CompanionThreads

        if place == "thread":
            self._open_mailbox()
            return CompanionThreads(self.post, observer)
        return CompanionProcesses(str(self.machine.child.stage), self, observer)

    def sleep_at_once(self) -> None:
        """Look no more for messages that may come soon: others are to have the processor."""
        self._poller.sleep_at_once()

    def _open_mailbox(self) -> None:
        if self._mailbox is None:
            self._mailbox = Mailbox()
            self.watch(self._mailbox.fileno(), self._take_posted)

    def _take_posted(self, events: int) -> None:
        assert self._mailbox is not None
        for callback in self._mailbox.take():
            callback()

    @property
    def congested(self) -> bool:
        """Whether the host does not keep up with reading the control link."""
        return self._control.congested

    # --- work -------------------------------------------------------------------------------------

    def _perform(self, work: Work) -> int:
        """Do one work item; returns the time after it, in nanoseconds."""
        counters = self._counters
        machine = self.machine
        started = time.monotonic_ns()
        counters[_IN_HAND] = work.events
        counters[_REF] = work.ref
        counters[_MESSAGE] = work.message
        counters[_SINCE] = started
        try:
            result = work.call(*work.args)
            if result is not None and type(result) is not list:
                result = read_out(result)
        except Exception as error:  # noqa: BLE001  (whatever a callback raises ends its stage)
            # What was in hand stays on the scoreboard: the supervisor asks for it.
            machine.fail(error)
            return time.monotonic_ns()
        finished = time.monotonic_ns()
        counters[_SINCE] = 0
        counters[_BUSY] = self._busy = self._busy + finished - started
        try:
            machine.complete(work, result, (finished - started) * 1e-9)
        except Exception as error:  # noqa: BLE001  (what the result breaks ends the stage too)
            counters[_SINCE] = started
            machine.fail(error)
        return finished

    def _guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        """What the machine raises is the behaviour's error, or ours: it ends the stage."""
        try:
            act(*arguments)
        except Exception as error:  # noqa: BLE001  (it reaches the supervisor, with its traceback)
            self.machine.fail(error)

    def _flush_dirty(self) -> None:
        dirty = self._dirty
        if not dirty:
            return
        self._dirty = []
        for pipe in dirty:
            if pipe.writer < 0:
                continue
            if pipe.flush():
                if pipe.waits:
                    pipe.waits = False
                    self._poller.unregister(pipe.writer)
                if pipe.closing:
                    self._forget(pipe)
            elif not pipe.waits:
                pipe.waits = True
                self._poller.register(pipe.writer, WRITABLE)

    # --- links ------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Nothing to do: sleep until a link, or a timer, has something."""
        hot = self._hot
        if hot is not None and hot.reader >= 0:
            # A link that had more last time often has more now; a read that succeeds saves a poll.
            data = hot.read()
            if data:
                self._lucky = True
                self._feed(hot, data)
                return
            self._hot = None
            if not self._lucky:
                # Batches come one by one: to try costs more than to be told.
                self._cool = COOL
            if data is not None:
                self._at_end(hot)
                return
        due = self._timers.next_due
        before = time.monotonic_ns()
        # The same clock as the timers' own, read once.
        self._look(None if due is None else max(0.0, due - before * 1e-9))
        if self.machine.blocked:
            self._counters[_BLOCKED] = self._blocked = self._blocked + self._looked - before
        else:
            self._counters[_STARVED] = self._starved = self._starved + self._looked - before
        if due is not None and due <= self._looked * 1e-9:
            self._advance()

    def _advance(self) -> None:
        due = self._timers.next_due
        if due is not None and due <= time.monotonic():
            self._guarded(self.machine.advance)

    def _look(self, seconds: float | None) -> None:
        """Poll once and see to every descriptor that is ready."""
        ready = self._poller.wait(seconds)
        self._looked = time.monotonic_ns()
        for descriptor, events in ready:
            pipe = self._by_descriptor.get(descriptor)
            if pipe is None:
                watcher = self._watchers.get(descriptor)
                # None: it was closed by what an earlier one of this round brought.
                if watcher is not None:
                    self._guarded(watcher, events)
            elif descriptor == pipe.reader:
                self._read(pipe)
            else:
                self._dirty.append(pipe)
                self._flush_dirty()

    def _read(self, pipe: PipeLink) -> None:
        try:
            data = os.read(pipe.reader, CHUNK)
        except BlockingIOError:
            return
        if data:
            if self._cool:
                self._cool -= 1
            else:
                self._hot = pipe
                self._lucky = False
            self._feed(pipe, data)
        else:
            self._at_end(pipe)

    def _feed(self, pipe: PipeLink, data: bytes) -> None:
        machine = self.machine
        number = pipe.number
        try:
            frames = pipe.decoder.feed(data)
        except ProtocolError as error:
            # Not a frame of ours: the stream has no beginning any more.
            machine.refuse(number, error)
            # The refusal leaves before the link is closed, or the peer would not know why.
            self._flush_dirty()
            self._at_end(pipe)
            return
        try:
            for frame in frames:
                machine.receive(number, frame)
        except Exception as error:  # noqa: BLE001  (it reaches the supervisor, with its traceback)
            machine.fail(error)

    def _at_end(self, pipe: PipeLink) -> None:
        """The peer's end is closed and everything it wrote has been read."""
        if self._links.pop(pipe.number, None) is None:
            return
        self._release(pipe)
        self._guarded(self.machine.link_closed, pipe.number)

    def _forget(self, pipe: PipeLink) -> None:
        self._links.pop(pipe.number, None)
        self._release(pipe)

    def _release(self, pipe: PipeLink) -> None:
        # Out of the poller before the descriptors are closed: a number may be given out again.
        if pipe.reader >= 0:
            self._poller.unregister(pipe.reader)
            self._by_descriptor.pop(pipe.reader, None)
            pipe.close_reader()
        if pipe.writer >= 0:
            if pipe.waits:
                self._poller.unregister(pipe.writer)
            self._by_descriptor.pop(pipe.writer, None)
            pipe.close_writer()
        self._lanes.release(pipe.number)
        if self._hot is pipe:
            self._hot = None
        if pipe.dropped:
            # Its events are delivered again, or counted as lost, when the supervisor's verdict is
            # here; what was to be told besides concerned nobody any more.
            self._counters[Counter.MESSAGES_DROPPED] += pipe.dropped
            dropped = {"link": pipe.number, "messages": pipe.dropped}
            self.machine.log("debug", "messages were dropped, their reader is gone", dropped)
