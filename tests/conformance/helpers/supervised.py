"""A supervisor with simulated stages, for scenarios that need one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from actorflow import ChildSpec, StageId, StageSpec, Topology
from actorflow.stage.behaviour import Stage
from actorflow.supervision.children import ChildInfo
from actorflow.supervision.operations import find, which_children
from actorflow.testing import Conditions
from actorflow.testing.simulation import Simulation

__all__ = ["Supervised", "child"]

Result = TypeVar("Result")


def child(
    name: str, behaviour: type[Stage], restart: str = "temporary", **arguments: Any
) -> ChildSpec:
    """A child's specification."""
    spec = StageSpec(id=StageId(name), behaviour=behaviour, arguments=arguments)
    return ChildSpec(stage=spec, restart=restart)


class Supervised:
    """A topology in a simulated world, and a hand on its supervisor."""

    def __init__(self, topology: Topology, seed: int = 0) -> None:
        # The sources here never end: a schedule that starves anybody would starve it for ever.
        fair = Conditions(pick="uniform", haste=0.05)
        self.simulation = Simulation(topology, seed=seed, conditions=fair, laws=True).start()
        self.core = self.simulation.core
        self.until(lambda: all(row.state != "starting" for row in which_children(self.core)))

    def until(self, condition: Callable[[], bool]) -> None:
        """Let things happen until something holds, or the run is over."""
        self.simulation.run_until(condition, max_steps=self.simulation.world.steps + 100_000)

    def wait(self, future: Future[Result]) -> Result:
        """Let things happen until an operation has its result."""
        self.until(future.done)
        return future.result(timeout=0)

    def row(self, stage: str) -> ChildInfo:
        """What the supervisor says of a child."""
        return next(row for row in which_children(self.core) if row.id == stage)

    def kill(self, stage: str) -> None:
        """Kill a stage's process, and wait until its supervisor knows."""
        child = find(self.core, stage)
        victim = child.incarnation
        self.simulation.world.signal(victim, "kill")
        self.until(lambda: child.incarnation != victim or not child.alive)

    def linked(self, stage: str) -> bool:
        """Whether a consumer lives and is subscribed to anything."""
        processes = self.simulation.world.processes
        machine = next((p.machine for p in processes if str(p.child.stage) == stage), None)
        half = None if machine is None else machine.consuming
        return half is not None and bool(half.subscriptions)

    def stage(self, name: str) -> Any:
        """The behaviour of a stage, or None while it has no process."""
        processes = self.simulation.world.processes
        machine = next((p.machine for p in processes if str(p.child.stage) == name), None)
        return None if machine is None else machine.behaviour

    def batches(self, consumer: str) -> list[list[Any]]:
        """What the present life of a forwarder has taken."""
        found: list[list[Any]] = getattr(self.stage(consumer), "batches", [])
        return found
