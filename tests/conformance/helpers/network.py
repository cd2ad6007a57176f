"""Several harnesses connected in memory: every frame arrives whole, in order, and soon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actorflow.protocol import control
from actorflow.stage.behaviour import Stage
from actorflow.testing.harness import StageHarness

__all__ = ["Network"]

ENDLESS = 100_000


@dataclass(frozen=True, slots=True)
class _Wire:
    ref: int
    producer: StageHarness
    consumer: StageHarness
    options: Mapping[str, Any]


class Network:
    """Stages, wires between them, and as much of a supervisor as they need.

    The order of things is fixed: in each round every stage does all its work, in the order in which
    they were added, then every wire carries what waits on it. So a message is handled as a whole
    before the next is taken in, as in GenStage.

    Example:
        >>> from tests.conformance.helpers.stages import Counter, Forwarder
        >>> network = Network()
        >>> counter, sink = network.add("counter", Counter), network.add("sink", Forwarder)
        >>> ref = network.connect("sink", "counter", max_demand=2, min_demand=0)
        >>> network.run(until=lambda: len(sink.behaviour.batches) == 2)
        >>> sink.behaviour.batches
        [[0, 1], [2, 3]]
    """

    def __init__(self) -> None:
        self.stages: dict[str, StageHarness] = {}
        self._wires: dict[int, _Wire] = {}
        self._refs = 0

    def add(
        self,
        name: str,
        behaviour: type[Stage],
        arguments: Mapping[str, Any] | None = None,
        *,
        generation: int = 1,
        **options: Any,
    ) -> StageHarness:
        """Start a stage."""
        harness = StageHarness(
            behaviour, arguments, name=name, generation=generation, autorun=False, **options
        )
        harness.run()
        self.stages[name] = harness
        return harness

    def connect(self, consumer: str, producer: str, **options: Any) -> int:
        """Subscribe one stage to another; returns the ref."""
        self._refs += 1
        ref = self._refs
        to, of = self.stages[producer], self.stages[consumer]
        self._wires[ref] = _Wire(ref, to, of, options)
        to.order(control.Link(ref, "producer", str(of.child), options))
        of.order(control.Link(ref, "consumer", str(to.child), options))
        return ref

    def replace(self, ref: int, reason: Any, **options: Any) -> int:
        """Subscribe again in place of a subscription; returns the new ref."""
        old = self._wires[ref]
        self._refs += 1
        new = self._refs
        self._wires[new] = _Wire(new, old.producer, old.consumer, options)
        old.producer.order(control.Link(new, "producer", str(old.consumer.child), options))
        link = control.Link(new, "consumer", str(old.producer.child), options, ref, reason)
        old.consumer.order(link)
        return new

    def kill(self, name: str, reason: Any = "killed", *, restarting: bool = False) -> None:
        """A stage is gone at once; its peers see their links end, then get the verdict."""
        dead = self.stages.pop(name)
        for wire in list(self._wires.values()):
            if dead not in (wire.producer, wire.consumer):
                continue
            self._carry(wire)
            peer = wire.consumer if wire.producer is dead else wire.producer
            del self._wires[wire.ref]
            peer.hang_up(wire.ref)
            peer.down(str(dead.child), reason, restarting=restarting)

    def step(self) -> bool:
        """One round; returns whether anything happened."""
        moved = [_works(stage) for stage in self.stages.values()]
        moved += [self._carry(wire) for wire in list(self._wires.values())]
        for name, stage in list(self.stages.items()):
            if stage.exiting is not None:
                self.kill(name, stage.exiting.reason)
                moved.append(True)
        return any(moved)

    def run(self, until: Any = None) -> None:
        """Go on until something holds, or without it until nothing happens any more."""
        for _ in range(ENDLESS):
            if until is not None and until():
                return
            if not self.step():
                assert until is None, "nothing happens any more, and it does not hold"
                return
        raise AssertionError(f"no rest within {ENDLESS} rounds")

    def _carry(self, wire: _Wire) -> bool:
        """Deliver what waits both ways; that a side has closed is seen after its last word."""
        moved = False
        for sender, receiver in (
            (wire.producer, wire.consumer),
            (wire.consumer, wire.producer),
        ):
            for frame in sender.take_frames(wire.ref):
                receiver.receive(wire.ref, frame[4:])
                moved = True
        for sender, receiver in (
            (wire.producer, wire.consumer),
            (wire.consumer, wire.producer),
        ):
            if wire.ref in sender.closed and wire.ref in self._wires:
                del self._wires[wire.ref]
                receiver.hang_up(wire.ref)
                moved = True
        return moved


def _works(stage: StageHarness) -> bool:
    if stage.step() is None:
        return False
    stage.run()
    return True
