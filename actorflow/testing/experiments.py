"""One experiment: a random topology, a seed, perhaps some crashes, and all that must hold."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from actorflow.errors import ActorflowError
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.runtime.simulated.faults import Faults
from actorflow.supervision import operations
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.events import ChildEnded, ChildReady
from actorflow.supervision.wiring import Edge, EdgeState
from actorflow.testing.simulation import SimulatedRun, Simulation
from actorflow.testing.topologies import RandomTopology, random_topology
from actorflow.testing.verdicts import Record, judge

__all__ = ["INTERVENTIONS", "Experiment", "Misdelivered"]

MAX_STEPS = 200_000
"""More than ten times what the longest experiment takes."""

WITHIN = 900
"""Crashes and interventions happen in the first so many steps: most experiments are that long."""

INTERVENTIONS = ("", "drain", "stop", "subscribe", "cancel")
"""What a program may do to a running topology, once, at some step; or nothing."""


class Misdelivered(ActorflowError):
    """Events were lost, repeated, reordered or sent astray; `problems` says which."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A topology to simulate, and how.

    Args:
        topology: what to run.
        seed: makes every choice of the run.
        crashes: how many stages are killed.
        intervention: what is done to the running topology, one of `INTERVENTIONS`.

    Example:
        >>> run = Experiment.of(7).run()
        >>> run.steps == Experiment.of(7).run().steps
        True
    """

    topology: RandomTopology
    seed: int
    crashes: int = 0
    intervention: str = ""

    @classmethod
    def of(cls, seed: int) -> Experiment:
        """The experiment that a seed stands for: half have crashes, a quarter an intervention."""
        random = Random(f"experiment {seed}")
        crashes = random.choice((0, 0, 0, 1, 1, 2))
        intervention = random.choice(("",) * 12 + INTERVENTIONS[1:])
        lossless = crashes > 0 or intervention == "cancel"
        topology = random_topology(random, lossless=lossless)
        return cls(topology, seed, crashes, intervention)

    def run(self) -> SimulatedRun:
        """Run it, with every law asked at every step, and judge what was delivered.

        Raises:
            Stalled: it hangs.
            Endless: it never ends.
            LawBroken: a conservation law does not hold.
            Misdelivered: events went wrong.
            Exception: a stage, or the supervisor, failed.
        """
        # A program may subscribe a stage to a partition before its declared subscription does, and
        # a stage that is refused its place starts again: that is like a crash.
        careful = self.crashes > 0 or self.intervention in ("cancel", "subscribe")
        record = Record(acknowledgements=careful)
        faults = Faults(crashes=self.crashes, within=WITHIN, stages=self.topology.crashable)
        simulation = Simulation(
            self.topology.plan, seed=self.seed, faults=faults, laws=True, witness=record
        )
        if self.intervention:
            self._intervene(simulation)
        finished = simulation.finish(max_steps=MAX_STEPS, check=False)
        if finished.error is not None and not _killed_in_its_start(finished):
            raise finished.error
        if finished.status != "done":
            return finished
        fell = any(isinstance(event, ChildEnded) and not event.normal for event in finished.events)
        once = not fell and self.intervention != "cancel"
        complete = self.intervention != "drain"
        if not once and not complete:
            return finished  # a source that is killed while it drains does not begin again
        if fell and self.topology.lossy:
            return finished  # what was under way to a stage that fell is lost, as it may be
        problems = list(judge(self.topology, record, once=once, complete=complete))
        if problems:
            raise Misdelivered(problems)
        return finished

    def _intervene(self, simulation: Simulation) -> None:
        random = Random(f"intervention {self.seed}")
        step = random.randint(1, WITHIN)
        simulation.run_until(lambda: simulation.world.steps >= step, max_steps=MAX_STEPS)
        core = simulation.core
        if simulation.over:
            return
        if self.intervention == "drain":
            core.drain()
        elif self.intervention == "stop":
            core.stop()
        elif self.intervention == "subscribe":
            self._subscribe(core, random)
        else:
            self._cancel(core, random)

    def _subscribe(self, core: SupervisorCore, random: Random) -> None:
        """Subscribe a stage once more to a producer of its own; it may be refused, and no more."""
        if core.wiring.edges:
            edge = random.choice(core.wiring.edges)
            demand = random.randint(1, 5)
            # A broadcast refuses the later of two; then the one that stays has to end its consumer.
            broadcast = self.topology.dispatcher(edge.producer.name) == "broadcast"
            cancel = edge.options.cancel if broadcast else "temporary"
            options = SubscriptionOptions(
                max_demand=demand, cancel=cancel, extra=edge.options.extra
            )
            with suppress(ActorflowError):  # one of the two may have ended by now
                operations.subscribe(core, str(edge.consumer), str(edge.producer), options)

    def _cancel(self, core: SupervisorCore, random: Random) -> None:
        """End a subscription whose events another consumer can take."""
        eligible = [edge for edge in core.wiring.edges if self._may_be_cancelled(edge)]
        if eligible:
            edge = random.choice(eligible)
            # An orderly end passes downstream and ends whoever is there; then nobody is left for
            # the events of the others. Any other reason makes the supervisor start it again.
            orderly = edge.consumer.name not in self.topology.rules
            reason = random.choice(("normal", "enough")) if orderly else "enough"
            operations.cancel(core, edge.ref, reason)

    def _may_be_cancelled(self, edge: Edge) -> bool:
        name = edge.consumer.name
        upstream = [producer for producer, consumer in self.topology.links if consumer == name]
        dispatchers = [self.topology.dispatcher(each) for each in upstream]
        anyone = all(each == "demand" for each in dispatchers)
        lossy = self.topology.stages[name].options.delivery == "at_most_once"
        established = edge.state is EdgeState.ESTABLISHED
        return established and edge.consumer.index > 0 and anyone and not lossy

    def describe(self) -> str:
        """The topology and the number of crashes, for a person."""
        plan = self.topology.plan
        meddling = self.intervention or "no intervention"
        lines = [f"seed {self.seed}, {self.crashes} crashes, {meddling}, {plan.strategy}"]
        for name, spec in self.topology.stages.items():
            options = spec.options
            lines.append(
                f"  {name} x{spec.replicas} {dict(spec.arguments)} dispatcher={options.dispatcher}"
                f" buffer_size={options.buffer_size} delivery={options.delivery}"
            )
            for (producer, consumer), link in self.topology.links.items():
                if consumer == name:
                    demand = f"max_demand={link.max_demand} min_demand={link.min_demand}"
                    lines.append(f"    from {producer}: {demand} {dict(link.extra)}")
        return "\n".join(lines)


def _killed_in_its_start(run: SimulatedRun) -> bool:
    """A stage that is killed before it is ready for the first time fails the run, rightly."""
    ready = {str(event.child) for event in run.events if isinstance(event, ChildReady)}
    return any(child not in ready for child in run.crashed)
