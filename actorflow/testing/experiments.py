"""One experiment: a random topology, a seed, perhaps some crashes, and all that must hold."""

from __future__ import annotations

from dataclasses import fields, replace
from random import Random
from typing import Any

from actorflow.errors import ActorflowError
from actorflow.records import dataclass
from actorflow.runtime.simulated.faults import Faults
from actorflow.stage.options import StageOptions
from actorflow.supervision.events import ChildEnded, ChildReady
from actorflow.testing.meddling import DISTURBING, INTERVENTIONS, MAX_STEPS, Meddler
from actorflow.testing.simulation import SimulatedRun, Simulation
from actorflow.testing.topologies import RandomTopology, governed, random_topology
from actorflow.testing.verdicts import Record, judge, judge_states

__all__ = ["INTERVENTIONS", "Experiment", "Misdelivered"]


WITHIN = 900
"""Crashes and interventions happen in the first so many steps: most experiments are that long."""


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
        interventions: what is done to the running topology, each one of `INTERVENTIONS`.

    Example:
        >>> run = Experiment.of(7).run()
        >>> run.steps == Experiment.of(7).run().steps
        True
    """

    topology: RandomTopology
    seed: int
    crashes: int = 0
    interventions: tuple[str, ...] = ()

    @classmethod
    def of(cls, seed: int) -> Experiment:
        """The experiment that a seed stands for: half have crashes, a third interventions."""
        random = Random(f"experiment {seed}")
        crashes = random.choice((0, 0, 0, 0, 1, 1, 2, 3))
        how_many = random.choice((0, 0, 0, 0, 1, 1, 2, 3))
        interventions = tuple(random.choice(INTERVENTIONS) for _ in range(how_many))
        lossless = crashes > 0 or any(each in DISTURBING for each in interventions)
        topology = random_topology(random, lossless=lossless)
        plan = governed(topology.plan, Random(f"parts {seed}"))
        return cls(replace(topology, plan=plan), seed, crashes, interventions)

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
        careful = self.crashes > 0 or bool(self.interventions)
        record = Record(acknowledgements=careful)
        faults = Faults(crashes=self.crashes, within=WITHIN, stages=self.topology.crashable)
        simulation = Simulation(
            self.topology.plan, seed=self.seed, faults=faults, laws=True, witness=record
        )
        if self.interventions:
            self._intervene(simulation)
        finished = simulation.finish(max_steps=MAX_STEPS, check=False)
        if finished.error is not None and not _killed_in_its_start(finished):
            raise finished.error
        if finished.status == "done":
            self._judge(finished, record)
        return finished

    def _judge(self, finished: SimulatedRun, record: Record) -> None:
        fell = any(isinstance(event, ChildEnded) and not event.normal for event in finished.events)
        disturbed = fell or any(each in DISTURBING for each in self.interventions)
        complete = "drain" not in self.interventions
        if disturbed and not complete:
            return  # a source that is killed while it drains does not begin again
        if disturbed and self.topology.exact:
            problems = list(judge_states(self.topology, finished.results))
            if problems:
                raise Misdelivered(problems)
            return
        if disturbed and self.topology.lossy:
            return  # what was under way to a stage that fell is lost, as it may be
        problems = list(judge(self.topology, record, once=not disturbed, complete=complete))
        if problems:
            raise Misdelivered(problems)

    def _intervene(self, simulation: Simulation) -> None:
        random = Random(f"intervention {self.seed}")
        meddler = Meddler(simulation, self.topology, random)
        steps = sorted(random.randint(1, WITHIN) for _ in self.interventions)
        for step, intervention in zip(steps, self.interventions, strict=True):
            simulation.run_until(lambda s=step: simulation.world.steps >= s, max_steps=MAX_STEPS)  # type: ignore[misc]
            if simulation.over:
                return
            meddler.meddle(intervention)

    def describe(self) -> str:
        """The topology and the number of crashes, for a person."""
        plan = self.topology.plan
        meddling = ", ".join(self.interventions) or "no intervention"
        rules = [plan.strategy, plan.order]
        for part in plan.supervisors:
            inside = {each.stage.id.name for each in plan.children if each.supervisor == part.name}
            rules.append(f"{part.order} within {', '.join(sorted(inside))}")
        lines = [f"seed {self.seed}, {self.crashes} crashes, {meddling}, {'; '.join(rules)}"]
        for name, spec in self.topology.stages.items():
            options = spec.options
            lines.append(
                f"  {name} x{spec.replicas} {spec.behaviour.__name__} {dict(spec.arguments)}"
                f" {_unusual(options)}"
            )
            for (producer, consumer), link in self.topology.links.items():
                if consumer == name:
                    demand = f"max_demand={link.max_demand} min_demand={link.min_demand}"
                    lines.append(f"    from {producer}: {demand} {link.cancel} {dict(link.extra)}")
        return "\n".join(lines)


def _unusual(options: StageOptions) -> str:
    """The options that are not as they are by default."""
    usual = StageOptions()
    values = ((each.name, getattr(options, each.name)) for each in fields(options))
    said = [f"{name}={value}" for name, value in values if value != getattr(usual, name)]
    return " ".join(said)


def _killed_in_its_start(run: SimulatedRun) -> bool:
    """A stage that is killed before it is ready for the first time fails the run, rightly."""
    ready = {str(event.child) for event in run.events if isinstance(event, ChildReady)}
    return any(child not in ready for child in run.crashed)
