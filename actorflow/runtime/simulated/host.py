"""The host's side of a simulated process: what it has ordered, what it reads, what it is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actorflow.errors import ProtocolError
from actorflow.protocol.wire import decode
from actorflow.runtime.simulated.actors import Actor, ReadySet
from actorflow.runtime.simulated.channel import Channel
from actorflow.runtime.simulated.process import SimulatedProcess
from actorflow.runtime.simulated.setting import SIGKILL, SIGTERM, Life
from actorflow.stage.spec import StageSpec
from actorflow.supervision.runtime import Exited, Observation, Received, Started

__all__ = ["HostSide"]

_SIGNALS = {"terminate": SIGTERM, "kill": SIGKILL}


class HostSide:
    """Orders go to the process in order; observations come back in order, `Exited` the last.

    Args:
        process: the process.
        spec: its specification, pickled unless it lives in the program; empty when it could not
            be, and `refusal` says why.
        refusal: why no process can be made, or nothing.
        ready: the set that its actors join.
        observe: the supervisor.
    """

    __slots__ = (
        "_observe",
        "_orders",
        "_ready",
        "_refusal",
        "_spec",
        "ordering",
        "over",
        "process",
        "started",
        "telling",
    )

    def __init__(
        self,
        process: SimulatedProcess,
        spec: bytes | StageSpec,
        refusal: str,
        ready: ReadySet,
        observe: Callable[[Observation], None],
    ) -> None:
        self.process = process
        self.started = False
        self.over = False
        """Whether its exit has been observed."""
        self.ordering = Actor(f"order {process}", self._can_order, self._order)
        self.telling = Actor(f"tell supervisor of {process}", self._can_tell, self._tell)
        self._spec = spec
        self._refusal = refusal
        self._orders: deque[str] = deque(("fork",))
        self._ready = ready
        self._observe = observe
        ready.add(self.ordering)

    def signal(self, name: str) -> None:
        """Have a signal delivered, after what was ordered before."""
        self._orders.append(name)
        self._ready.add(self.ordering)

    def crash(self) -> None:
        """The process dies of SIGKILL now."""
        self.process.die(signal=SIGKILL)
        self._ready.add(self.telling)

    # --- reading its control link -----------------------------------------------------------------

    def can_read(self, channel: Channel) -> bool:
        """Not before the supervisor knows that the process exists."""
        return self.started

    def take(self, channel: Channel, frames: list[bytes]) -> None:
        """Observe its messages."""
        for data in frames:
            self._observe(Received(self.process.child, decode(data)))

    def end(self, channel: Channel) -> None:
        """Everything that it sent has been observed; so may its exit be."""
        self._ready.add(self.telling)

    def garbled(self, channel: Channel, error: ProtocolError) -> None:
        """A process that does not speak the protocol is killed."""
        self.process.die(signal=SIGKILL)

    # --- actions ----------------------------------------------------------------------------------

    def _can_order(self) -> bool:
        return bool(self._orders)

    def _order(self) -> str:
        order = self._orders.popleft()
        process = self.process
        if order == "fork":
            if not self._refusal:
                process.fork(self._spec)
            self._ready.add(self.telling)
        elif process.life is not Life.ORDERED:
            process.die(signal=_SIGNALS[order])
        return order

    def _can_tell(self) -> bool:
        if self.over or (self.process.life is Life.ORDERED and not self._refusal):
            return False
        return not self.started or self.process.ends.up.end_seen

    def _tell(self) -> str:
        process = self.process
        if self._refusal:
            self.over = True
            self._orders.clear()
            detail = f"could not be started: {self._refusal}"
            self._observe(Exited(process.child, 0, None, detail=detail))
            return detail
        if not self.started:
            self.started = True
            process.ends.up.attach(self)
            self._observe(Started(process.child, process.pid))
            return "started"
        self.over = True
        self._observe(Exited(process.child, process.pid, process.status, process.signal))
        return f"exited {process.status} {process.signal}"
