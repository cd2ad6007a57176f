"""A stage that lives in the calling program: the stage loop, turned by a thread of the host.

It has the same control link, the same pipes and the same machine as a stage with a process, so the
supervisor and its peers see no difference. What is different: it shares the interpreter with the
program, which wakes it with a bell; a callback may be over later than it returns; and nobody can
end it with a signal, so it ends itself when it is told to.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, MutableSequence, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from actorflow.protocol.control import Exiting, encode_control
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.wire import encode
from actorflow.records import dataclass
from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.descriptors import keep_from_forks
from actorflow.runtime.local.entry import begin_counting
from actorflow.runtime.local.loop import LOOK_AFTER, StageLoop
from actorflow.runtime.local.pipes import PipeLink
from actorflow.runtime.local.poller import READABLE, WRITABLE, Poller, new_poller
from actorflow.stage.counters import Counter
from actorflow.stage.link_counters import LinkSlot
from actorflow.stage.place import Pending, Place
from actorflow.stage.spec import StageSpec
from actorflow.stage.work import Work

__all__ = ["HostedLoop", "HostedStage"]

_log = logging.getLogger(__name__)

LAST_WORDS = 5.0
"""Seconds that a failed stage may wait for the host to read why."""


@dataclass(slots=True)
class _InHand:
    """A callback that has returned and is not over."""

    pending: Pending
    done: Callable[[Any, float], None]
    began: int


class HostedLoop(StageLoop):
    """The loop of a stage in the program.

    Args:
        child: which incarnation of which stage this is.
        spec: what to run; its place is what it shares with the program.
        place: the same.
        control: the link to the supervisor; owned from now on.
        counters: the scoreboard slot.
    """

    def __init__(
        self,
        child: Incarnation,
        spec: StageSpec,
        place: Place,
        control: ControlSocket,
        counters: MutableSequence[int],
    ) -> None:
        super().__init__(child, spec, control, counters)
        self._place = place
        self._bell_read, self._bell_write = socket.socketpair()
        self._bell_read.setblocking(False)
        self._bell_write.setblocking(False)
        self._bell = self._bell_read.fileno()
        self._rung = False
        self._killed = False
        self._in_hand: _InHand | None = None
        self._slots: list[memoryview] = []
        self.watch(self._bell, self._heard_bell)

    def _new_poller(self, spec: StageSpec) -> Poller:
        # Whoever looks again and again in the program's own process keeps its threads from running.
        return new_poller()

    # --- from any thread --------------------------------------------------------------------------

    def ring(self) -> None:
        """Wake the loop: the place has something for it. Never blocks."""
        # The flag is raised before the byte is sent and lowered before the place is looked at, so
        # what was put there before the bell was rung, or found ringing, is seen.
        if not self._rung:
            self._rung = True
            # Full means that it rings already; closed, that this life is over.
            with suppress(OSError):
                self._bell_write.send(b"\0")

    def kill(self) -> None:
        """Have the loop end without last words, as soon as the callback in hand lets it."""
        self._killed = True
        self.ring()

    # --- on the stage's thread --------------------------------------------------------------------

    @property
    def killed(self) -> bool:
        """Whether it was told to end at once."""
        return self._killed

    def run(self) -> int:
        """Run the stage to its end, or until it is killed; returns the exit status."""
        machine = self.machine
        machine.start()
        while not (machine.ended or self._killed):
            work = self._next_work()
            if work is None:
                self._flush_dirty()
                if not machine.ended:
                    self._wait()
                continue
            finished = self._perform(self._watched(work))
            self._flush_dirty()
            if finished - self._looked > LOOK_AFTER:
                self._look(0.0)
                self._advance()
        if not self._killed:
            self._last_words(self._wait_for_room)
        return machine.exit_status

    def release(self) -> None:
        """Close every descriptor; whatever is still queued is dropped."""
        for pipe in self._links.values():
            pipe.close_reader()
            pipe.close_writer()
        self._lanes.close()
        self._links.clear()
        self._by_descriptor.clear()
        self._poller.close()
        self._bell_read.close()
        self._bell_write.close()
        self._control.socket.close()
        for slot in self._slots:
            slot.release()

    def link_counters(self, place: int, role: str) -> LinkSlot:
        """This end's half of a link's slot; given back when the life is over."""
        slot = super().link_counters(place, role)
        if isinstance(slot, memoryview):
            self._slots.append(slot)
        return slot

    def open(self, link: int) -> None:
        """Take a link's descriptors; a process that the program forks must not keep them."""
        super().open(link)
        pipe = self._links[link]
        keep_from_forks((pipe.reader, pipe.writer))

    # --- callbacks that are over later than they return -------------------------------------------

    def _next_work(self) -> Work | None:
        if self._in_hand is not None:
            if not self.machine.stopping:
                return None
            # The stage stops: what the program has in hand is not finished, and is given back.
            self._in_hand = None
        return self.machine.next_work()

    def _watched(self, work: Work) -> Work:
        """The same work; its error is kept as it is, and its end may come later."""
        work.call = partial(self._guard, work.call)
        work.done = partial(self._done, work.done)
        return work

    def _guard(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except BaseException as error:
            self._place.error = error
            raise

    def _done(self, done: Callable[[Any, float], None], result: Any, seconds: float) -> None:
        if not isinstance(result, Pending):
            self._guard(done, result, seconds)
            return
        began = time.monotonic_ns() - int(seconds * 1e9)
        self._in_hand = _InHand(result, done, began)
        self._counters[Counter.CALLBACK_SINCE] = began
        self._finish_in_hand()

    def _finish_in_hand(self) -> None:
        in_hand = self._in_hand
        if in_hand is None or not in_hand.pending.finished:
            return
        self._in_hand = None
        took = time.monotonic_ns() - in_hand.began
        self._counters[Counter.CALLBACK_SINCE] = 0
        self._busy += took
        self._counters[Counter.BUSY] = self._busy
        self._guarded(partial(self._guard, in_hand.done), in_hand.pending.result, took * 1e-9)

    # --- the bell ---------------------------------------------------------------------------------

    def _heard_bell(self, events: int = READABLE) -> None:
        with suppress(BlockingIOError):
            while self._bell_read.recv(64):
                pass
        self._rung = False
        if self._place.leaving is not None:
            self.machine.stop(self._place.leaving)
        elif self._in_hand is not None:
            self._finish_in_hand()
        else:
            self.machine.ring(self._place)

    def _wait_for_room(self, full: Sequence[PipeLink], seconds: float | None) -> bool:
        """A `WaitForRoom` that hears the bell and the supervisor, too."""
        room = new_poller()
        room.register(self._bell, READABLE)
        control = self._control
        if control.descriptor >= 0:
            # The supervisor's end of it closes when the run is over.
            room.register(control.descriptor, READABLE)
        for pipe in full:
            room.register(pipe.writer, WRITABLE)
        ready = room.wait(seconds)
        room.close()
        for descriptor, _ in ready:
            if descriptor == self._bell:
                self._heard_bell()
            elif descriptor == control.descriptor:
                control.socket.receive()
        return not (self._killed or control.socket.at_end)


class HostedStage:
    """One life of a stage in the program: its thread, and what may be done to it from outside.

    Args:
        child: which incarnation of which stage.
        spec: what to run.
        control: the stage's end of its control link; owned from now on.
        counters: its scoreboard slot, a memoryview; released when the stage has ended.
        ended: told, on the stage's thread, with which status it ended, or None when it was killed.

    Raises:
        RuntimeError: no thread is to be had.
    """

    def __init__(
        self,
        child: Incarnation,
        spec: StageSpec,
        control: ControlSocket,
        counters: Any,
        ended: Callable[[HostedStage, int | None], None],
    ) -> None:
        assert spec.place is not None
        self.child = child
        self.place = spec.place
        self._spec = spec
        self._control = control
        self._counters = counters
        self._ended = ended
        self._loop: HostedLoop | None = None
        self._killed = False
        self._thread = threading.Thread(target=self._live, name=f"actorflow: {child}", daemon=True)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        self._thread.start()

    def kill(self) -> None:
        """Have it end without last words; from any thread, never blocks."""
        self._killed = True
        loop = self._loop
        if loop is not None:
            loop.kill()

    def join(self, seconds: float) -> bool:
        """Wait for the thread; whether it has ended."""
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _live(self) -> None:
        status: int | None = 1
        try:
            status = self._run()
        except BaseException as error:  # noqa: BLE001  (whatever the stage raises ends here)
            failure = Failure.of(error)
            words = Exiting(["error", failure.summary], failure.to_wire())
            self._control.send(encode(encode_control(words)))
            self._control.flush_within(LAST_WORDS)
        finally:
            if self._loop is not None:
                self._loop.release()
            self._control.close()
            self.place.leave()
            # Nobody may count any more: the view would keep the run's memory for as long as the
            # loop, which is in a circle of references, waits for the garbage collector.
            self._counters.release()
            self._ended(self, status)

    def _run(self) -> int | None:
        begin_counting(self.child, self._counters)
        loop = HostedLoop(self.child, self._spec, self.place, self._control, self._counters)
        self._loop = loop
        if self._killed:
            # It was killed before there was a loop to tell.
            return None
        self.place.error = None
        self.place.enter(loop.ring)
        status = loop.run()
        return None if loop.killed else status
