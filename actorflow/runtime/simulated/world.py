"""The world: a runtime in which every stage of a run lives in this one process and thread.

A seeded scheduler chooses among everything that could happen next: a process writes some bytes of
its outbox, reads some from a pipe, calls one callback, fires a timer, exits; the supervisor is told
something; a fault strikes. Time is virtual, and moves on when nothing else is left to happen. The
same seed makes the same choices, so that whatever goes wrong once goes wrong again.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

from actorflow.errors import Closed, OptionError
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Message
from actorflow.protocol.wire import encode
from actorflow.records import dataclass
from actorflow.runtime.simulated.actors import Actor, ReadySet
from actorflow.runtime.simulated.channel import Channel
from actorflow.runtime.simulated.clock import FakeClock
from actorflow.runtime.simulated.ends import LinkEnd
from actorflow.runtime.simulated.faults import CrashPlan, Faults
from actorflow.runtime.simulated.host import HostSide
from actorflow.runtime.simulated.process import SimulatedProcess
from actorflow.runtime.simulated.schedule import Conditions, Schedule
from actorflow.runtime.simulated.setting import SIGKILL, CountedLink, Life, Setting
from actorflow.runtime.simulated.stall import Endless, Stalled, evidence
from actorflow.runtime.simulated.witness import Witness
from actorflow.stage.counters import SLOT_SIZE, named
from actorflow.stage.work import CONTROL_LINK
from actorflow.supervision.runtime import (
    ChildSignal,
    Exited,
    LinkCounters,
    Observation,
    Runtime,
    TimerFired,
)
from actorflow.supervision.specs import StageSpec

__all__ = ["Step", "World"]

FIRST_PID = 1000
EPOCH = 1.0
"""The time at which a world begins; not 0, which on a scoreboard means never."""

CONTROL_CAPACITY = 512
"""The smallest capacity of a control link. Nobody waits for room on it, so that a smaller one would
only make every run longer."""

DIGEST_EVERY = 1000
"""Steps."""

HURRY = 0.05
"""Seconds by which time may move on while something else could happen: as long as a busy machine
may take to deliver a message, and short against every deadline of a supervisor."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a run.

    Args:
        number: from 1.
        time: the virtual time, in seconds.
        actor: who acted, such as ``"read a/0#1>b/0#1"``.
        detail: what happened.
    """

    number: int
    time: float
    actor: str
    detail: str

    def __str__(self) -> str:
        return f"{self.number:6} {self.time:9.4f} {self.actor}: {self.detail}"


@dataclass(frozen=True, slots=True)
class _Pickled:
    spec: StageSpec
    data: bytes


class World(Runtime):
    """A simulated runtime.

    Args:
        seed: makes every choice.
        conditions: what of the world's nature is fixed; the rest is drawn from the seed.
        faults: what goes wrong.
        witness: is told what happens.
        remember: how many of the last steps `trace` keeps.

    Example:
        >>> world = World(seed=1)
        >>> world.open(print)
        >>> world.timer(2.5, token=7)
        >>> world.step()
        TimerFired(token=7)
        >>> world.now()
        3.5
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        conditions: Conditions | None = None,
        faults: Faults | None = None,
        witness: Witness | None = None,
        remember: int = 1000,
    ) -> None:
        self.seed = seed
        self.faults = Faults() if faults is None else faults
        self.steps = 0
        self.trace: deque[Step] = deque(maxlen=remember)
        self._undigested: list[str] = []
        schedule = Schedule(seed, Conditions() if conditions is None else conditions)
        self.conditions = schedule.conditions
        self._witness = Witness() if witness is None else witness
        self._setting = Setting(
            FakeClock(EPOCH),
            schedule,
            ReadySet(),
            self._witness,
            fatal_points=self.faults.points,
            child_deaths=self.faults.children,
        )
        self._clock = self._setting.clock
        self._schedule = schedule
        self._ready = self._setting.ready
        self._hosts: dict[Incarnation, HostSide] = {}
        self._counters: dict[StageId, list[int]] = {}
        self._specs: dict[StageId, _Pickled] = {}
        self._timers: list[tuple[float, int, int]] = []
        self._ringing = Actor("supervisor's timer", self._can_ring, self._ring)
        self._observe: Callable[[Observation], None] | None = None
        self._closed = False
        self._spawned = 0
        self._timer_count = 0
        self._digest = hashlib.blake2b(digest_size=16)
        self._crashes = CrashPlan(seed, self.faults)

    # --- the runtime's side -----------------------------------------------------------------------

    def open(self, observe: Callable[[Observation], None]) -> None:
        """Start; observations come while `step` or `run` is called."""
        if self._closed or self._observe is not None:
            raise Closed("a world is opened once; make another one")
        self._observe = observe

    def now(self) -> float:
        """The virtual time, in seconds."""
        return self._clock()

    def spawn(self, child: Incarnation, spec: StageSpec) -> None:
        """Order a process; `Started` or `Exited` follows."""
        self._spawned += 1
        data: bytes | StageSpec = b""
        refusal = ""
        if self._spawned <= self.faults.spawn_failures:
            refusal = "a fault"
        else:
            try:
                # What shares an object with the program has it here as well.
                data = self._pickled(spec) if spec.place is None else spec
            except Exception as error:  # noqa: BLE001 - pickling runs the user's code
                problem = f"{type(error).__name__}: {error}"
                refusal = f"its class or arguments cannot be sent: {problem}"
        process = SimulatedProcess(
            child,
            FIRST_PID + self._spawned,
            self._setting,
            down=self._channel(f"supervisor>{child}"),
            up=self._channel(f"{child}>supervisor"),
            counters=self._counters.setdefault(child.stage, [0] * SLOT_SIZE),
            hosted=spec.place is not None,
        )
        self._hosts[child] = HostSide(process, data, refusal, self._ready, self._tell)

    def link(
        self,
        ref: int,
        producer: Incarnation,
        consumer: Incarnation,
        to_producer: Message,
        to_consumer: Message,
    ) -> None:
        """Make a link of two channels; each side gets its message and its ends."""
        events = self._channel(f"{producer}>{consumer}", ref)
        asks = self._channel(f"{consumer}>{producer}", ref)
        self._give(producer, to_producer, LinkEnd(asks, events))
        self._give(consumer, to_consumer, LinkEnd(events, asks))

    def send(self, child: Incarnation, message: Message) -> None:
        """Send a message on the child's control link; dropped when the child is gone."""
        host = self._hosts.get(child)
        if host is not None:
            host.process.ends.down.write(encode(message))

    def signal(self, child: Incarnation, signal: ChildSignal) -> None:
        """Kill the child, some time soon: nobody handles SIGTERM in a simulation."""
        if signal not in ("terminate", "kill"):
            raise OptionError("signal", "terminate or kill", signal)
        host = self._hosts.get(child)
        if host is not None and not host.over:
            host.signal(signal)

    def timer(self, seconds: float, token: int) -> None:
        """Observe `TimerFired(token)` after so many seconds of virtual time."""
        self._timer_count += 1
        heapq.heappush(self._timers, (self._clock() + seconds, self._timer_count, token))
        self._ready.add(self._ringing)

    def counters(self, stage: StageId) -> Mapping[str, int]:
        """The stage's counters, over all its incarnations."""
        return named(self._counters.get(stage, [0] * SLOT_SIZE))

    def count_link(
        self, ref: int, producer: StageId, consumer: StageId, partition: Any = None
    ) -> int:
        """Every link is counted; its place is its ref."""
        self._setting.links[ref] = CountedLink(producer, consumer, partition, self.now())
        return ref

    def link_over(self, ref: int) -> None:
        """Nothing more is sent on a link."""
        link = self._setting.links.get(ref)
        if link is not None:
            link.live = False

    def links(self) -> list[LinkCounters]:
        """What was counted on every link."""
        return [link.read() for link in self._setting.links.values()]

    def close(self) -> None:
        """End every process. May be repeated."""
        self._closed = True
        for host in self._hosts.values():
            host.process.die(signal=SIGKILL)

    def describe(self) -> Mapping[str, Any]:
        """The seed, the conditions, and how far the run is."""
        return {
            "runtime": "simulated",
            "seed": self.seed,
            "conditions": self.conditions,
            "steps": self.steps,
            "processes": len(self.processes),
        }

    # --- the driver's side ------------------------------------------------------------------------

    @property
    def processes(self) -> list[SimulatedProcess]:
        """The processes that exist, in the order in which they were ordered."""
        alive = (Life.ALIVE, Life.LEAVING)
        return [host.process for host in self._hosts.values() if host.process.life in alive]

    @property
    def crashed(self) -> list[str]:
        """Which incarnations a fault has killed, in order."""
        return self._setting.crashed

    @property
    def trace_hash(self) -> str:
        """A digest of every step so far, also of those that `trace` has forgotten."""
        self._digest_steps()
        return self._digest.hexdigest()

    def step(self) -> None:
        """Let one thing happen.

        Raises:
            Stalled: nothing can happen any more.
        """
        self.steps += 1
        if self.steps >= self._crashes.next_step and self._crash():
            return
        ready, schedule = self._ready, self._schedule
        if schedule.haste and ready.items and schedule.hurries():
            self._hurry()
        while True:
            if not ready.items:
                self._advance()
                continue
            actor = schedule.pick(ready.items)
            if actor.ready():
                break
            ready.discard(actor)
        detail = actor.act()
        if not actor.ready():
            ready.discard(actor)
        self._record(actor.name, detail)
        if self._witness.verdict is not None:
            raise self._witness.verdict

    def run(self, until: Callable[[], bool], *, max_steps: int = 1_000_000) -> None:
        """Step until something holds.

        Args:
            until: asked before each step.
            max_steps: how many steps of the world there may be in all.

        Raises:
            Stalled: nothing can happen any more, and it does not hold.
            Endless: it does not hold after `max_steps` steps.
        """
        while not until():
            if self.steps >= max_steps:
                raise Endless(f"the run is not over after {max_steps} steps", evidence(self))
            self.step()

    # --- within -----------------------------------------------------------------------------------

    def _tell(self, observation: Observation) -> None:
        if isinstance(observation, Exited):
            # The supervisor may forget it, so it is forgotten here first.
            self._hosts.pop(observation.child, None)
        if self._observe is not None and not self._closed:
            self._observe(observation)

    def _channel(self, name: str, link: int = CONTROL_LINK) -> Channel:
        capacity = self.conditions.capacity
        assert capacity is not None
        if link == CONTROL_LINK:
            capacity = max(capacity, CONTROL_CAPACITY)
        return Channel(name, link, capacity, self._schedule, self._ready)

    def _give(self, child: Incarnation, message: Message, end: LinkEnd) -> None:
        host = self._hosts.get(child)
        if host is None:
            end.release()
            return
        host.process.give(end.inbound.link, end)
        host.process.ends.down.write(encode(message))

    def _pickled(self, spec: StageSpec) -> bytes:
        known = self._specs.get(spec.id)
        if known is None or known.spec is not spec:
            known = self._specs[spec.id] = _Pickled(spec, cloudpickle.dumps(spec))
        return known.data

    def _record(self, actor: str, detail: str) -> None:
        self.trace.append(Step(self.steps, self._clock(), actor, detail))
        self._undigested.append(f"{actor}|{detail}\n")
        if len(self._undigested) >= DIGEST_EVERY:
            self._digest_steps()

    def _digest_steps(self) -> None:
        self._digest.update("".join(self._undigested).encode())
        self._undigested.clear()

    # --- time -------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Nothing can happen now: go to the next moment at which something can."""
        moments = [due for process in self.processes if (due := process.due) is not None]
        if self._timers:
            moments.append(self._timers[0][0])
        if not moments:
            raise Stalled("nothing can happen any more, and the run is not over", evidence(self))
        self._set_time(min(moments))

    def _hurry(self) -> None:
        """Let a stage's timer or callback be due while messages are still under way."""
        moments = [due for process in self.processes if (due := process.due) is not None]
        soonest = min(moments, default=None)
        if soonest is None or soonest > self._clock() + HURRY:
            return
        # A supervisor's deadline is never hurried towards: it would judge a stage by time that the
        # stage was not given.
        if not self._timers or soonest < self._timers[0][0]:
            self._set_time(soonest)

    def _set_time(self, moment: float) -> None:
        self._clock.advance_to(moment)
        now = self._clock()
        for process in self.processes:
            due = process.due
            if due is not None and due <= now:
                process.wake()
        if self._can_ring():
            self._ready.add(self._ringing)

    def _can_ring(self) -> bool:
        return bool(self._timers) and self._timers[0][0] <= self._clock()

    def _ring(self) -> str:
        _, _, token = heapq.heappop(self._timers)
        self._tell(TimerFired(token))
        return f"timer {token}"

    # --- faults -----------------------------------------------------------------------------------

    def _crash(self) -> bool:
        """Kill what the oldest due crash names; False when it does not exist now, and waits."""
        # A thread of the program does not die alone.
        victim = self._crashes.victim([each for each in self.processes if not each.hosted])
        if victim is None:
            return False
        doing = victim.work.label if victim.work is not None else victim.life.name.lower()
        self._hosts[victim.child].crash()
        self._setting.crashed.append(str(victim.child))
        self._record(f"crash {victim.child}", f"while {doing}")
        return True
