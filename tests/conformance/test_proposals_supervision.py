"""Proposals A8 to A10: limits, shards and names of dynamic supervisors, simulated and real."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest

from actorflow import (
    AlreadyStarted,
    Consumer,
    DynamicSupervisor,
    NoSuchStage,
    Producer,
    Refused,
    SubscriptionOptions,
    Topology,
)
from actorflow.supervision import dynamic, operations
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.specs import Backoff
from actorflow.testing import Simulation
from tests.end_to_end.helpers import Events, alive, wait_until
from tests.seeds import seeds
from tests.supervision.test_dynamic import kill, names, service, start

SEEDS = seeds(15)


class Echo(Consumer):
    """Answers with its process, and what it has taken."""

    def __init__(self) -> None:
        self.taken = 0

    def handle_events(self, events: list[int], subscription: object) -> None:
        self.taken += len(events)

    def handle_call(self, request: object, sender: object) -> tuple[int, int]:
        return os.getpid(), self.taken


class Endless(Producer):
    """Whole numbers, as many as are asked for."""

    def __init__(self) -> None:
        self.next = 0

    def handle_demand(self, demand: int) -> range:
        first, self.next = self.next, self.next + demand
        return range(first, self.next)


# --- A8: max_children -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a08_the_fourth_of_three_is_refused_and_not_spawned(seed: int) -> None:
    """`overloaded`, typed; nothing is left of it; the next end makes room."""
    simulation = service(seed, max_children=3)
    first, *_ = [start(simulation, str(number), restart="temporary") for number in range(3)]
    processes = len(simulation.world.processes)
    with pytest.raises(Refused, match="max_children=3") as caught:
        start(simulation, "3")
    assert caught.value.reason == "overloaded"
    assert (names(simulation), len(simulation.world.processes)) == (["0", "1", "2"], processes)
    kill(simulation, first)
    start(simulation, "3")
    assert names(simulation) == ["1", "2", "3"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a08_a_restarting_child_keeps_its_place(seed: int) -> None:
    """While it waits for its back-off, until it is terminated."""
    simulation = service(seed, max_children=1)
    child = start(simulation, "0", backoff=Backoff(initial=10))
    kill(simulation, child)
    assert child.state is ChildState.RESTARTING
    with pytest.raises(Refused, match="overloaded"):
        start(simulation, "1")
    assert operations.terminate_child(simulation.core, "jobs.0").done()
    start(simulation, "1")
    assert names(simulation) == ["1"]


def test_a08_the_limit_is_that_of_all_shards_together() -> None:
    """However the names fall, also when a shard is addressed directly."""
    simulation = service(max_children=4, shards=3)
    for number in range(4):
        start(simulation, str(number))
    for at in ("jobs", "jobs/0", "jobs/1", "jobs/2"):
        with pytest.raises(Refused, match="overloaded"):
            start(simulation, "more", at=at)


# --- A9: shards -----------------------------------------------------------------------------------


def test_a09_30_000_names_share_three_shards_evenly_and_stay() -> None:
    """The shard depends on the name alone; another shard takes its share and moves nothing else."""
    all_names = [f"user-{number}" for number in range(30_000)]
    three = {name: dynamic.shard_of(name, 3) for name in all_names}
    four = {name: dynamic.shard_of(name, 4) for name in all_names}
    assert all(9_500 < count < 10_500 for count in Counter(three.values()).values())
    moved = [name for name in all_names if three[name] != four[name]]
    assert all(four[name] == 3 for name in moved)
    assert 7_000 < len(moved) < 8_000


@pytest.mark.parametrize("seed", SEEDS)
def test_a09_the_parent_is_the_union_of_its_shards(seed: int) -> None:
    """Counts and lists agree, and a name finds its shard again after unrelated churn."""
    simulation = service(seed, shards=3)
    for number in range(12):
        start(simulation, str(number), restart="temporary")
    before = {str(n): dynamic.lookup(simulation.core, "jobs", str(n)) for n in range(12)}
    for number in range(0, 12, 2):
        kill(simulation, before[str(number)])
    for number in range(20, 26):
        start(simulation, str(number))
    shards = [names(simulation, f"jobs/{index}") for index in range(3)]
    assert sorted(name for shard in shards for name in shard) == sorted(names(simulation))
    below = dynamic.children_of(simulation.core, "jobs")
    assert operations.counts_of(below).active == 12
    for number in range(0, 12, 2):
        again = start(simulation, str(number))
        assert again.spec.supervisor == before[str(number)].spec.supervisor


@pytest.mark.parametrize("seed", SEEDS)
def test_a09_a_shard_that_gives_up_takes_nobody_else_along(seed: int) -> None:
    """The children of the others keep their lives; the shard begins again and is of use."""
    simulation = service(seed, shards=3, max_restarts=1)
    for number in range(12):
        start(simulation, str(number))
    everybody = dynamic.children_of(simulation.core, "jobs")
    fallen = [child for child in everybody if child.spec.supervisor == "jobs/1"]
    others = [child for child in everybody if child.spec.supervisor != "jobs/1"]
    assert fallen
    assert others
    victim = fallen[0]
    for _ in range(2):
        simulation.run_until(lambda: victim.state is ChildState.RUNNING)
        kill(simulation, victim)
    simulation.run_until(lambda: not any(child.alive for child in fallen))
    assert dynamic.children_of(simulation.core, "jobs") == others
    assert all(child.generation == 1 and child.alive for child in others)
    node = simulation.core.tree.node("jobs/1")
    assert (node.restarts, node.gone) == (1, False)
    again = start(simulation, victim.id.name.removeprefix("jobs."))
    assert again.spec.supervisor == "jobs/1"
    # The shard counts from anew, the supervisor of the shards does not: one fall has been used up.
    assert simulation.core.tree.node("jobs").restarts == 0


# --- A10: names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a10_a_name_has_one_holder(seed: int) -> None:
    """A second start gives the first one's row, whichever shard it is asked of."""
    simulation = service(seed, shards=3)
    child = start(simulation, "17")
    simulation.run_until(lambda: child.pid > 0)
    for at in ("jobs", "jobs/0", "jobs/1", "jobs/2"):
        with pytest.raises(AlreadyStarted) as caught:
            start(simulation, "17", at=at)
        assert caught.value.reason == "already_started"
        assert (caught.value.holder.id, caught.value.holder.pid) == ("jobs.17/0", child.pid)
    assert dynamic.lookup(simulation.core, "jobs", "17") is child


def test_a10_two_supervisors_have_names_of_their_own() -> None:
    """(supervisor, name) is what a child is found by."""
    topology = Topology("two").dynamic_supervisor("left").dynamic_supervisor("right", shards=2)
    simulation = Simulation(topology).start()
    left, right = (start(simulation, "17", at=at) for at in ("left", "right"))
    assert dynamic.lookup(simulation.core, "left", "17") is left
    assert dynamic.lookup(simulation.core, "right", "17") is right
    with pytest.raises(NoSuchStage, match="no child '18'"):
        dynamic.lookup(simulation.core, "left", "18")


def test_a10_a_shard_is_addressed_directly() -> None:
    """What is started there is there, whatever its name; it is found through the parent too."""
    simulation = service(shards=3)
    placed: list[Child] = [
        start(simulation, f"here-{index}", at=f"jobs/{index}") for index in range(3)
    ]
    assert [child.spec.supervisor for child in placed] == ["jobs/0", "jobs/1", "jobs/2"]
    for index, child in enumerate(placed):
        assert dynamic.lookup(simulation.core, "jobs", f"here-{index}") is child
        assert dynamic.lookup(simulation.core, f"jobs/{index}", f"here-{index}") is child
        with pytest.raises(NoSuchStage):
            dynamic.lookup(simulation.core, f"jobs/{(index + 1) % 3}", f"here-{index}")
    with pytest.raises(NoSuchStage, match="no supervisor 'jobs/3'"):
        start(simulation, "x", at="jobs/3")


# --- all of it with processes ---------------------------------------------------------------------


def pids_of(jobs: DynamicSupervisor) -> set[int]:
    """The processes of a supervisor's children."""
    return {row.pid for row in jobs.which_children() if row.pid}


@pytest.mark.processes
def test_a08_a09_a10_with_real_kills() -> None:
    """Limits, names, a killed shard, and subscriptions that outlive it, with real processes."""
    topology = (
        Topology("service")
        .stage("numbers", Endless)
        .dynamic_supervisor("jobs", max_children=6, shards=3)
    )
    with topology.start(Events()) as run:
        jobs = run.dynamic("jobs")
        temporary = SubscriptionOptions(max_demand=4, cancel="temporary")
        jobs.subscribe(to="numbers", options=temporary)
        by_shard: dict[int, list[str]] = {0: [], 1: [], 2: []}
        for number in range(100):
            shard = by_shard[jobs.shard_of(f"job-{number}")]
            if len(shard) < 2:
                shard.append(f"job-{number}")
        for shard in by_shard.values():
            for name in shard:
                assert jobs.start_child(name, Echo, restart="transient").state == "running"
        with pytest.raises(Refused, match="overloaded"):
            jobs.start_child("one-more", Echo)
        with pytest.raises(AlreadyStarted) as caught:
            jobs.start_child(by_shard[0][0], Echo)
        assert caught.value.holder == jobs.lookup(by_shard[0][0])
        assert (jobs.count_children().active, len(pids_of(jobs))) == (6, 6)

        fallen, *others = [pids_of(shard) for shard in jobs.shards]
        jobs.shards[0].kill()
        wait_until(lambda: not alive(fallen), "the shard's processes to be gone")
        wait_until(lambda: jobs.count_children().specs == 4, "its names to be free")
        assert pids_of(jobs) == others[0] | others[1]
        for name in by_shard[0]:
            jobs.start_child(name, Echo)
            called = jobs.stage_name(name)
            wait_until(lambda: run.call(called, "?")[1] > 0, "events for it")  # noqa: B023
        assert [row.restarts for row in run.which_supervisors()] == [0, 0, 1, 0, 0]

        (pid, _) = run.call(jobs.stage_name(by_shard[1][0]), "?")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: jobs.lookup(by_shard[1][0]).generation == 2, "its successor")
        jobs.terminate_child(by_shard[1][1])
        assert jobs.start_child(by_shard[1][1], Echo).generation == 1
