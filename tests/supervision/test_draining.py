"""A drain has one deadline for everything, and says what it has not finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from actorflow import Consumer, Defaults, Producer, SubscribeTo, Subscription, Topology
from actorflow.protocol.identity import StageId
from actorflow.runtime.simulated.world import World
from actorflow.supervision import operations
from actorflow.supervision.draining import stops_after
from actorflow.supervision.remains import Remains, StageEnd, remains_of
from actorflow.supervision.runtime import LinkCounters
from actorflow.testing import Conditions, SimulatedRun, Simulation, spend
from actorflow.testing.topologies import Through
from tests.seeds import seeds

SEEDS = seeds(20)
MODES = ("at_least_once", "at_most_once", "exactly_once")
UNTIL = 0.2
"""Virtual seconds that a drain is given."""

PROMPT = Conditions(pick="uniform", cut="whole", eager=True, slowest=0, haste=0)
"""What is said arrives between two callbacks, so that nobody is killed who would have stopped."""


class Endless(Producer):
    """Emits numbers, and leaves how many."""

    def __init__(self) -> None:
        self.next = 0

    def handle_demand(self, demand: int) -> range:
        numbers = range(self.next, self.next + demand)
        self.next = numbers.stop
        return numbers

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.next)


class Slow(Consumer):
    """Takes its time for a batch."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        spend(self.seconds)


def drained(mode: str, seed: int, *, seconds: float, within: float, **sink: Any) -> SimulatedRun:
    """A run of a chain with a slow end, drained during its first batch."""
    topology = (
        Topology("slow", defaults=Defaults(delivery=mode))
        .stage("numbers", Endless)
        .stage("through", Through, args={"rule": "identity"}, subscribe_to=[take("numbers")])
        .stage("sink", Slow, args={"seconds": seconds}, subscribe_to=[take("through")], **sink)
    )
    simulation = Simulation(topology, seed=seed, conditions=PROMPT)
    world = simulation.world
    simulation.run_until(lambda: busy(world))
    simulation.core.drain(within)
    deadline = world.now() + within
    run = simulation.finish(check=False)
    assert world.now() <= deadline, "a stage outlived the drain's deadline"
    return run


def take(stage: str) -> SubscribeTo:
    """A subscription with many small batches under way."""
    return SubscribeTo(stage, max_demand=400, min_demand=396)


def busy(world: World) -> bool:
    """Whether the sink has a batch in hand."""
    return world.counters(StageId("sink"))["callback_events"] > 0


def remains(run: SimulatedRun) -> Mapping[str, Remains]:
    """What is left, by stage."""
    return {each.stage.partition("/")[0]: each for each in run.remains}


@pytest.mark.parametrize("mode", MODES)
def test_a_drain_that_is_in_time_leaves_nothing(mode: str) -> None:
    """Everything emitted is handled, and the outcome says that nothing remains."""
    for seed in SEEDS:
        run = drained(mode, seed, seconds=0.001, within=60.0)
        assert (run.status, run.remains) == ("done", ())
        assert run.handled("sink") == list(range(run.results["numbers"])), seed


@pytest.mark.parametrize("mode", MODES)
def test_a_drain_that_is_not_in_time_says_what_was_not_handled(mode: str) -> None:
    """Every event was handled, or is counted: as handed back, or where nobody keeps it, as lost."""
    for seed in SEEDS:
        run = drained(mode, seed, seconds=UNTIL / 80, within=UNTIL)
        assert run.status == "stopped"
        left, emitted, handled = remains(run), run.results["numbers"], set(run.handled("sink"))
        missing = emitted - len(handled)
        assert missing > 0
        assert not any(each.kept for each in run.remains)
        lost = sum(each.lost for each in run.remains)
        if mode == "at_most_once":
            assert missing == lost, seed
        elif mode == "at_least_once":
            # A source keeps an event until it is finished from end to end.
            assert lost == 0
            assert handled >= set(range(emitted - left["numbers"].unfinished)), seed
        else:
            # Each stage keeps one until it is in the next one's snapshot.
            assert lost == 0
            assert missing <= sum(each.unfinished for each in run.remains), seed


@pytest.mark.parametrize("shutdown", [5.0, "infinity"])
def test_a_stage_that_does_not_stop_is_killed_at_the_deadline(shutdown: float | str) -> None:
    """Whatever its own `shutdown`; what it had in hand is known."""
    run = drained("at_least_once", 3, seconds=1e9, within=UNTIL, shutdown=shutdown)
    assert run.status == "stopped"
    assert remains(run)["sink"].unhandled > 0
    said = [each.record.event for each in run.events if hasattr(each, "record")]
    assert any(line.startswith("did not finish in the drain's time") for line in said)


def test_the_deadline_holds_for_who_was_stopped_before() -> None:
    """A stage that the program stops, which may take for ever, has until the deadline too."""
    topology = (
        Topology("slow")
        .stage("numbers", Endless)
        .stage(
            "sink",
            Slow,
            args={"seconds": 1e9},
            subscribe_to=[take("numbers")],
            shutdown="infinity",
        )
    )
    simulation = Simulation(topology, seed=1)
    world, core = simulation.world, simulation.core
    simulation.run_until(lambda: busy(world))
    operations.terminate_child(core, "sink")
    core.drain(40.0)
    core.drain(3.0)
    core.drain(50.0)
    deadline = world.now() + 3.0
    assert simulation.finish(check=False).status in ("done", "stopped")
    assert world.now() <= deadline


@pytest.mark.parametrize(
    ("within", "stopping", "after"),
    [(30.0, 5.0, 25.0), (2.0, 5.0, 1.5), (0, 5.0, 0), (8.0, 0.0, 8.0)],
)
def test_how_much_of_a_drains_time_is_for_stopping(
    within: float, stopping: float, after: float
) -> None:
    """As much as the stages may take, and not more than a quarter."""
    assert stops_after(within, stopping) == after


def link(producer: str, consumer: str, **counted: int) -> LinkCounters:
    """What was counted on a link."""
    sent = {"events": counted["sent"], "lost": counted.get("lost", 0)}
    received = {"events": counted["received"]}
    return LinkCounters(StageId(producer), StageId(consumer), None, 0.0, 1, True, sent, received)


def test_what_remains_of_each_stage() -> None:
    """What a stage keeps is handed back; else it is lost, in the pipe or in hand, and once only."""
    waiting = {"buffered": 2, "queued": 1, "unacknowledged": 4}
    nothing = dict.fromkeys(waiting, 0)
    ends = [
        StageEnd(StageId("kept"), True, waiting, {}),
        StageEnd(StageId("loose"), False, waiting, {}),
        StageEnd(StageId("sink"), True, nothing, {"kept/0": 5, "loose/0": 6}),
        StageEnd(StageId("idle"), True, nothing, {}),
    ]
    links = [
        link("kept", "sink", sent=20, received=10),
        link("loose", "sink", sent=20, received=12),
        link("loose", "sink", sent=20, received=12, lost=9),
    ]
    assert remains_of(ends, links, kept=True) == (
        Remains("kept/0", 7, 0, 0, True),
        Remains("loose/0", 11, 0, 11, True),
        Remains("sink/0", 0, 11, 6, True),
    )
