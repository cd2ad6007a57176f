"""A simulated process: one incarnation of a stage, its links, and what it is busy with."""

from __future__ import annotations

import pickle
from collections.abc import Callable, MutableSequence
from contextvars import ContextVar
from typing import Any

from actorflow.errors import ProtocolError
from actorflow.protocol.control import Exiting, encode_control
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.wire import encode
from actorflow.runtime.simulated.actors import Actor
from actorflow.runtime.simulated.channel import Channel
from actorflow.runtime.simulated.children import SimulatedChildren
from actorflow.runtime.simulated.companions import SimulatedCompanions
from actorflow.runtime.simulated.ends import Ends, LinkEnd
from actorflow.runtime.simulated.setting import (
    LAST_WORDS,
    NANOSECONDS,
    SIGKILL,
    CountedLink,
    Killed,
    Life,
    Setting,
)
from actorflow.stage.children import ChildKind, ChildRuntime, Observer
from actorflow.stage.companions import CompanionObserver, CompanionRuntime
from actorflow.stage.counters import Counter
from actorflow.stage.link_counters import LinkSlot
from actorflow.stage.machine import StageMachine
from actorflow.stage.place import Place
from actorflow.stage.work import Work, read_out
from actorflow.supervision.specs import StageSpec

__all__ = ["SimulatedProcess", "current_process"]


_current: ContextVar[SimulatedProcess | None] = ContextVar("actorflow_simulated", default=None)


def current_process() -> SimulatedProcess | None:
    """The simulated process whose callback is running, or None outside a simulation."""
    return _current.get()


class SimulatedProcess:
    """One incarnation; it is the `Port` of its stage machine.

    Args:
        child: who it is.
        pid: its number.
        setting: what all processes share.
        down: its control link from the supervisor.
        up: its control link to the supervisor.
        counters: its stage's counters, the same for each incarnation.
        hosted: whether it is a thread of the program, and no process at all.
    """

    def __init__(
        self,
        child: Incarnation,
        pid: int,
        setting: Setting,
        *,
        down: Channel,
        up: Channel,
        counters: MutableSequence[int],
        hosted: bool = False,
    ) -> None:
        self.child = child
        self.hosted = hosted
        self.pid = pid
        self.life = Life.ORDERED
        self.status: int | None = None
        self.signal: int | None = None
        self.machine: StageMachine | None = None
        self.ends = Ends(down, up)
        self.counters = counters
        self.work: Work | None = None
        self.busy_until = 0.0
        self.parked: str | None = None
        """The gate that its callback waits at."""
        self.spent = 0.0
        self.turn = Actor(f"turn {child}", self._can_turn, self._turn)
        self.alarm = Actor(f"timer {child}", self._can_alarm, self._alarm)
        self.leave = Actor(f"exit {child}", self._can_leave, self._leave)
        self.leave_by = 0.0
        """When a process that is leaving gives up on what it still has to write."""
        self._setting = setting
        self._place: Place | None = None
        self._result: object = None
        self._raised: Exception | None = None
        self._began = 0.0
        self._speed = setting.schedule.speed()
        self._stirred = False
        self._nested = 0

    def __str__(self) -> str:
        return str(self.child)

    # --- birth and death --------------------------------------------------------------------------

    def fork(self, spec: bytes | StageSpec) -> None:
        """Become the stage; its class and arguments are unpickled anew for each incarnation."""
        self.life = Life.ALIVE
        counters = self.counters
        counters[Counter.GENERATION] = self.child.generation
        counters[Counter.PID] = self.pid
        counters[Counter.STARTED_SINCE] = int(self._setting.clock() * NANOSECONDS)
        for gauge in (Counter.BUFFERED, Counter.QUEUED, Counter.UNACKNOWLEDGED, Counter.HELD):
            counters[gauge] = 0
        counters[Counter.ENDED] = counters[Counter.CALLBACK_SINCE] = 0
        self.ends.down.attach(self)
        try:
            stage = spec if isinstance(spec, StageSpec) else pickle.loads(spec)
            self.machine = StageMachine(self.child, stage, self, counters, self._setting.clock)
        except Exception as error:  # noqa: BLE001 - unpickling runs the user's code
            # What a real process does whose specification cannot be read: last words, and exit.
            failure = Failure.of(error)
            words = Exiting(["error", failure.summary], failure.to_wire())
            self.ends.up.write(encode(encode_control(words)))
            self._begin_leaving(1)
            return
        self._place = stage.place
        if self._place is not None:
            self._place.error = None
        self.machine.start()
        self._stir()

    def die(self, *, signal: int | None = None, status: int | None = None) -> None:
        """End at once: nothing more is written, what is in the pipes is delivered."""
        if self.life is Life.GONE:
            return
        self.life = Life.GONE
        self.signal, self.status = signal, status
        if self._place is not None:
            self._place.leave()
        self.work, self.parked = None, None
        self.ends.release_all()
        self._setting.witness.died(self)

    def give(self, link: int, end: LinkEnd) -> None:
        """Descriptors are on their way to this process; with a dead one they are closed."""
        if self.life is Life.GONE:
            end.release()
        else:
            self.ends.give(link, end)

    # --- the stage's port -------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        """Whether the supervisor does not keep up with reading the control link."""
        return self.ends.up.outbox > 0

    def send(self, link: int, head: bytes, body: bytes = b"") -> None:
        """Put a frame into the link's outbox."""
        channel = self.ends.outbound(link)
        if channel is not None:
            self._setting.witness.sent(self, link, head + body)
            self.ends.write(channel, head, body)

    def open(self, link: int) -> None:
        """Take the descriptors that arrived beside the message in hand."""
        self.ends.open(link, self)

    def counted_link(self, ref: int) -> CountedLink | None:
        """What is counted at both ends of a link, for checkers."""
        return self._setting.links.get(ref)

    def link_counters(self, place: int, role: str) -> LinkSlot:
        """This end's half of what is counted on a link."""
        link = self._setting.links.get(place)
        if link is None:
            return None
        return link.producing if role == "producer" else link.consuming

    def blob_space(self, size: int) -> None:
        """Large buffers travel in the bodies."""

    def blobs(self, link: int) -> None:
        """Large buffers are in the bodies."""

    def close(self, link: int) -> None:
        """Close both ends once the outbox has left; until then, what arrives is still read."""
        self.ends.close(link)

    def drain(self, link: int) -> None:
        """Read what a dead peer has left, and its end."""
        end = self.ends.opened.get(link)
        if end is not None:
            self._nested += 1
            try:
                end.inbound.drain()
            finally:
                self._nested -= 1

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """Where children of the stage live: in virtual time."""
        machine, schedule = self.machine, self._setting.schedule
        assert machine is not None

        def lasts() -> float:
            # One in three takes no time; a stage that restarts them must not depend on it.
            return schedule.among(3) and schedule.among(100) / 1000

        deaths = self._setting.child_deaths
        return SimulatedChildren(
            self._setting.clock,
            machine.call_after,
            observe,
            lasts,
            lambda: deaths > 0 and not schedule.among(deaths),
        )

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """Where companions of the stage live: in virtual time, wherever they asked to be."""
        machine, schedule = self.machine, self._setting.schedule
        assert machine is not None
        deaths = self._setting.child_deaths
        return SimulatedCompanions(
            machine.call_after,
            observer,
            lambda: schedule.among(3) and schedule.among(20) / 1000,
            lambda: deaths > 0 and not schedule.among(deaths),
        )

    # --- reading ----------------------------------------------------------------------------------

    def can_read(self, channel: Channel) -> bool:
        """While a callback runs nothing is read: a stage has one thread."""
        return self.life is Life.ALIVE and self.work is None

    def take(self, channel: Channel, frames: list[bytes]) -> None:
        """Give frames to the stage."""
        machine, witness, link = self.machine, self._setting.witness, channel.link
        if machine is None:
            return
        for data in frames:
            witness.received(self, link, data)
            self._guard(machine.receive, link, data)
            if machine.ended:
                break
        self._stir()
        self._settle()

    def end(self, channel: Channel) -> None:
        """The peer's ends are closed: close these, then tell the stage."""
        link, machine = channel.link, self.machine
        if link not in self.ends:
            return
        self.ends.release(link)
        if machine is None:
            return
        self._guard(machine.link_closed, link)
        self._stir()
        self._settle()

    def garbled(self, channel: Channel, error: ProtocolError) -> None:
        """What a peer sends is no frame: the stream has no beginning any more."""
        if self.machine is not None:
            self.machine.refuse(channel.link, error)
        self.end(channel)

    # --- turns ------------------------------------------------------------------------------------

    def _stir(self) -> None:
        self._stirred = True
        self._setting.ready.add(self.turn)

    def _can_turn(self) -> bool:
        if self.life is not Life.ALIVE or self.parked is not None:
            return False
        if self.work is not None:
            return self.busy_until <= self._setting.clock()
        return self._stirred

    def _turn(self) -> str:
        if self.work is not None:
            return self._finish(self.work)
        assert self.machine is not None
        work = self.machine.next_work()
        if work is None:
            self._stirred = False
            self._settle()
            return "idle"
        return self._begin(work)

    def _begin(self, work: Work) -> str:
        setting = self._setting
        now = setting.clock()
        setting.witness.begins(self, work)
        # A simulation begins at 0, where a callback has begun nonetheless.
        self.counters[Counter.CALLBACK_SINCE] = max(1, int(now * NANOSECONDS))
        self.counters[Counter.CALLBACK_EVENTS] = work.events
        self.counters[Counter.CALLBACK_REF] = work.ref
        self.counters[Counter.CALLBACK_MESSAGE] = work.message
        self.work, self.spent = work, 0.0
        self._began, self._result, self._raised = now, None, None
        token = _current.set(self)
        try:
            self._result = read_out(work.call(*work.args))
        except Exception as error:  # noqa: BLE001 - the stage's code may raise anything
            self._raised = error
            if self._place is not None:
                self._place.error = error
        except SystemExit as request:
            self.die(status=request.code if isinstance(request.code, int) else 1)
            return f"{work.label} exits"
        except Killed:
            setting.crashed.append(str(self))
            self.die(signal=SIGKILL)
            return f"{work.label} killed"
        finally:
            _current.reset(token)
        self.busy_until = now + self._speed * max(1, work.events) + self.spent
        if self.parked is None and self.busy_until <= now:
            return self._finish(work)
        return f"{work.label} {work.events} begins"

    def _finish(self, work: Work) -> str:
        machine, setting = self.machine, self._setting
        assert machine is not None
        seconds = setting.clock() - self._began
        self.work = None
        counters = self.counters
        counters[Counter.BUSY] += int(seconds * NANOSECONDS)
        if self._raised is not None:
            # What was in hand stays on the scoreboard, as in a process.
            machine.fail(self._raised)
        else:
            setting.witness.finishes(self, work, self._result)
            since, counters[Counter.CALLBACK_SINCE] = counters[Counter.CALLBACK_SINCE], 0
            try:
                machine.complete(work, self._result, seconds)
            except Exception as error:  # noqa: BLE001 - what the result breaks ends the stage too
                counters[Counter.CALLBACK_SINCE] = since
                machine.fail(error)
        self._result = self._raised = None
        self._stir()
        if seconds > 0:
            # Nothing was read or written while the callback ran; now everything may be.
            for channel in self.ends.reading():
                setting.ready.add(channel.reading)
        self._settle()
        return f"{work.label} {work.events}"

    def park(self, gate: str) -> None:
        """The callback in hand waits at a gate, until `unpark`.

        It cannot really wait, as all stages share one thread: it runs on, and what it sends from
        here on, and its end, are held back until the gate opens. As a process is visible through
        its messages alone, nobody can tell the difference.
        """
        self.parked = gate
        self.ends.hold_back()

    def unpark(self) -> None:
        """The gate has opened; what the callback still takes begins to count now."""
        if self.life is not Life.ALIVE or self.parked is None:
            return
        self.parked = None
        left = self.busy_until - self._began
        self.busy_until = self._setting.clock() + left
        self.ends.let_go()
        self._setting.ready.add(self.turn)

    def spend(self, seconds: float) -> None:
        """The callback in hand takes so much virtual time more."""
        self.spent += seconds

    def pass_point(self, name: str) -> None:
        """The callback in hand passes a fault point, and may not survive it."""
        passed = self._setting.points.get(name, 0) + 1
        self._setting.points[name] = passed
        if self._setting.fatal_points.get(name) == passed:
            raise Killed(name)

    # --- timers -----------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When something is due by itself: the end of a callback, or a timer of the stage."""
        if self.life is Life.LEAVING:
            return self.leave_by
        if self.life is not Life.ALIVE or self.parked is not None or self.machine is None:
            return None
        return self.machine.next_due() if self.work is None else self.busy_until

    def wake(self) -> None:
        """Time has moved on."""
        if self.life is Life.LEAVING:
            self._setting.ready.add(self.leave)
        else:
            self._setting.ready.add(self.turn if self.work is not None else self.alarm)

    def _can_alarm(self) -> bool:
        if self.life is not Life.ALIVE or self.work is not None:
            return False
        due = self.due
        return due is not None and due <= self._setting.clock()

    def _alarm(self) -> str:
        assert self.machine is not None
        self._guard(self.machine.advance)
        self._stir()
        self._settle()
        return "fired"

    def _guard(self, act: Callable[..., None], *args: Any) -> None:
        """Turn the machine; what its behaviour breaks on the way ends the stage."""
        try:
            act(*args)
        except Exception as error:  # noqa: BLE001 - a partition function, say, may raise anything
            assert self.machine is not None
            self.machine.fail(error)

    # --- leaving ----------------------------------------------------------------------------------

    def _settle(self) -> None:
        """After every action on the stage: has it ended, is a timer due, do the laws hold?"""
        if self._nested or self.life is not Life.ALIVE or self.machine is None:
            return
        self._setting.witness.acted(self)
        if self.machine.ended:
            self._begin_leaving(self.machine.exit_status)
            return
        due = self.machine.next_due()
        if due is not None and due <= self._setting.clock():
            self._setting.ready.add(self.alarm)

    def _begin_leaving(self, status: int) -> None:
        self.life = Life.LEAVING
        self.status = status
        self.leave_by = self._setting.clock() + LAST_WORDS
        for channel in self.ends.writing():
            channel.waiter = self.leave
        self._setting.ready.add(self.leave)

    def _can_leave(self) -> bool:
        return self.life is Life.LEAVING and (
            all(channel.drained for channel in self.ends.writing())
            or self.leave_by <= self._setting.clock()
        )

    def _leave(self) -> str:
        lost = sum(channel.outbox for channel in self.ends.writing())
        self.die(status=self.status)
        return f"status {self.status}, {lost} B lost"
