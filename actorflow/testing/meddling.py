"""What a program may do to a running topology, at some step of an experiment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

from actorflow.errors import ActorflowError
from actorflow.protocol.control import SYSTEM
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.runtime.simulated.stall import Stalled
from actorflow.stage.options import StageOptions
from actorflow.supervision import changes, operations, subscriptions
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.specs import ChildSpec, StageSpec
from actorflow.supervision.wiring import Edge, EdgeState
from actorflow.testing.players import ExactSink, Numbers, Sink
from actorflow.testing.simulation import Simulation
from actorflow.testing.topologies import RandomTopology

__all__ = ["DISTURBING", "INTERVENTIONS", "MAX_STEPS", "Meddler"]

MAX_STEPS = 200_000
"""More than ten times what the longest experiment takes."""

WITHIN = 5.0
"""Virtual seconds that a replica which is not wanted any more may take to leave."""

HOLDS_FOR = 60
"""For how many steps a source is held at most."""


class Meddler:
    """Does things to a simulated run, as a program would through a `Run`.

    Args:
        simulation: the run.
        topology: what runs.
        random: makes the choices.
    """

    def __init__(self, simulation: Simulation, topology: RandomTopology, random: Random) -> None:
        self._simulation = simulation
        self._core = simulation.core
        self._topology = topology
        self._random = random
        self._late = 0

    def meddle(self, intervention: str) -> None:
        """Do one of `INTERVENTIONS`; what the supervisor refuses is not done, and no mistake."""
        with suppress(ActorflowError):  # whoever it is about may have ended by now
            _DEEDS[intervention](self)

    def drain(self) -> None:
        """End in order."""
        self._core.drain()

    def stop(self) -> None:
        """End at once."""
        self._core.stop()

    def subscribe(self) -> None:
        """Subscribe a stage once more to a producer of its own; it may be refused, and no more."""
        if self._core.wiring.edges:
            edge = self._random.choice(self._core.wiring.edges)
            demand = self._random.randint(1, 5)
            # A broadcast refuses the later of two; then the one that stays has to end its consumer.
            broadcast = self._topology.dispatcher(edge.producer.name) == "broadcast"
            options = SubscriptionOptions(
                max_demand=demand,
                cancel=edge.options.cancel if broadcast else "temporary",
                extra=edge.options.extra,
            )
            operations.subscribe(self._core, str(edge.consumer), str(edge.producer), options)

    def resubscribe(self) -> None:
        """Replace a subscription by one with another window."""
        edges = [
            edge
            for edge in self._core.wiring.edges
            if edge.state is EdgeState.ESTABLISHED and not edge.leaving and edge.replaces is None
        ]
        if edges:
            old = self._random.choice(edges)
            options = replace(old.options, max_demand=self._random.randint(1, 6), min_demand=None)
            reason = self._random.choice(("normal", "enough"))
            subscriptions.resubscribe(
                self._core, old.ref, to=None, options=options, reason=reason, consumer=None
            )

    def scale(self) -> None:
        """Have more or fewer replicas of a stage whose events any of them can take."""
        names = [
            name
            for name in self._topology.stages
            if name not in self._topology.sources and self._is_replaceable(name)
        ]
        if names:
            name = self._random.choice(names)
            changes.scale(self._core, name, self._random.randint(1, 4), WITHIN)

    def cancel(self) -> None:
        """End a subscription whose events another consumer can take."""
        eligible = [edge for edge in self._core.wiring.edges if self._may_be_cancelled(edge)]
        if eligible:
            edge = self._random.choice(eligible)
            # An orderly end passes downstream and ends whoever is there; then nobody is left for
            # the events of the others. Any other reason makes the supervisor start it again.
            orderly = edge.consumer.name not in self._topology.rules
            reason = self._random.choice(("normal", "enough")) if orderly else "enough"
            operations.cancel(self._core, edge.ref, reason)

    def terminate(self) -> None:
        """End a consumer whose events others can take; perhaps start it again."""
        eligible = [child for child in self._running() if self._may_be_terminated(child)]
        if eligible:
            child = self._random.choice(eligible)
            gone = operations.terminate_child(self._core, str(child.id))
            if self._random.random() < 0.5:
                self._wait(gone.done, MAX_STEPS)
                operations.restart_child(self._core, str(child.id))

    def hold(self) -> None:
        """Hold the demand of a source for a while."""
        sources = [
            child for child in self._running() if issubclass(child.spec.stage.behaviour, Numbers)
        ]
        if sources:
            name = str(self._random.choice(sources).id)
            operations.set_demand(self._core, name, "accumulate")
            until = self._simulation.world.steps + self._random.randint(1, HOLDS_FOR)
            # When everybody waits for this source, there will be no more steps.
            with suppress(Stalled):
                self._wait(lambda: self._simulation.world.steps >= until, MAX_STEPS)
            operations.set_demand(self._core, name, "forward")

    def pause(self) -> None:
        """Hold a subscription back for a while; the ref may be another by then."""
        edges = [edge for edge in self._core.wiring.edges if edge.state is EdgeState.ESTABLISHED]
        if edges:
            edge = self._random.choice(edges)
            subscriptions.pause(self._core, edge.ref)
            until = self._simulation.world.steps + self._random.randint(1, HOLDS_FOR)
            # When everybody waits for this subscription, there will be no more steps.
            with suppress(Stalled):
                self._wait(lambda: self._simulation.world.steps >= until, MAX_STEPS)
            subscriptions.resume(self._core, edge.ref)

    def limit(self) -> None:
        """Limit the rate of a subscription."""
        edges = [edge for edge in self._core.wiring.edges if edge.state is EdgeState.ESTABLISHED]
        if edges:
            edge = self._random.choice(edges)
            rate = self._random.choice((None, 50.0, 1000.0))
            subscriptions.set_rate(self._core, edge.ref, rate, self._random.choice((None, 1, 5)))

    def ask(self) -> None:
        """Ask a stage for its status; the answer, or that it ended, comes some time."""
        if self._core.children:
            name = str(self._random.choice(list(self._core.children)))
            operations.call(self._core, name, "status", scope=SYSTEM)

    def start(self) -> None:
        """Start another consumer while events flow, and subscribe it."""
        producers = [
            child
            for child in self._running()
            if child.id.name in (*self._topology.sources, *self._topology.rules)
            and self._topology.dispatcher(child.id.name) != "partition"
        ]
        # Another strategy would restart it without its subscription, which nobody has declared.
        if not producers or self._core.plan.strategy != "one_for_one":
            return
        producer = self._random.choice(producers)
        self._late += 1
        name = StageId(f"late{self._late}")
        delivery = producer.spec.stage.options.delivery
        sink = ExactSink if self._topology.exact else Sink
        spec = StageSpec(id=name, behaviour=sink, options=StageOptions(delivery=delivery))
        started = operations.start_child(self._core, ChildSpec(stage=spec))
        self._wait(started.done, MAX_STEPS)
        demand = SubscriptionOptions(max_demand=self._random.randint(1, 5))
        try:
            operations.subscribe(self._core, str(name), str(producer.id), demand)
        except ActorflowError:
            # The producer has ended: then it is not needed.
            operations.terminate_child(self._core, str(name))

    # --- within -----------------------------------------------------------------------------------

    def _wait(self, condition: Callable[[], bool], max_steps: int) -> None:
        self._simulation.run_until(condition, max_steps=max_steps)

    def _running(self) -> list[Child]:
        children = self._core.children.values()
        return [child for child in children if child.state is ChildState.RUNNING]

    def _may_be_cancelled(self, edge: Edge) -> bool:
        established = edge.state is EdgeState.ESTABLISHED
        return established and edge.consumer.index > 0 and self._is_replaceable(edge.consumer.name)

    def _may_be_terminated(self, child: Child) -> bool:
        sink = (
            issubclass(child.spec.stage.behaviour, Sink) and child.id.name in self._topology.stages
        )
        return sink and child.id.index > 0 and self._is_replaceable(child.id.name)

    def _is_replaceable(self, name: str) -> bool:
        """Whether any replica may take what another has not finished, and no state goes with it."""
        upstream = [producer for producer, consumer in self._topology.links if consumer == name]
        anyone = all(self._topology.dispatcher(each) == "demand" for each in upstream)
        return anyone and not self._topology.lossy and not self._topology.exact


_DEEDS: dict[str, Callable[[Meddler], None]] = {
    "drain": Meddler.drain,
    "stop": Meddler.stop,
    "subscribe": Meddler.subscribe,
    "resubscribe": Meddler.resubscribe,
    "scale": Meddler.scale,
    "cancel": Meddler.cancel,
    "terminate": Meddler.terminate,
    "hold": Meddler.hold,
    "pause": Meddler.pause,
    "limit": Meddler.limit,
    "ask": Meddler.ask,
    "start": Meddler.start,
}

INTERVENTIONS = tuple(_DEEDS)
"""What may be done, by name."""

DISTURBING = ("cancel", "terminate", "scale")
"""After these an event may come twice, as after a crash."""
