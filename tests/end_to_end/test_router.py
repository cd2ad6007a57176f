"""The router with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorflow import (
    Broker,
    CallTimeout,
    OptionError,
    Refused,
    Run,
    SupervisorOptions,
    Topology,
)
from tests.end_to_end.helpers import how_many_in, kill, numbers_in, wait_until
from tests.end_to_end.stages import Collect, Count, Idle
from tests.end_to_end.stages_of_router import Measured, MeasuredNumbers, Reception

pytestmark = pytest.mark.processes


def pairs(run: Run, producers: int) -> list[tuple[str, str]]:
    """Who serves whom, as each producer says itself; each active subscription once."""
    return sorted(
        (each["stage"].partition("#")[0], f"p{number}/0")
        for number in range(producers)
        for each in run.status(f"p{number}")["producing"]["consumers"]
        if each["state"] == "active"
    )


def test_a04_kill_9_of_the_broker_a_producer_and_a_consumer_leaves_m_times_n_edges(
    tmp_path: Path,
) -> None:
    """Three producers, two consumers; whoever dies, afterwards each serves each once."""
    topology = Topology("router", supervisor=SupervisorOptions(max_restarts=10))
    for number in range(4):
        topology = topology.stage(f"p{number}", Idle)
    path = tmp_path / "taken"
    topology = topology.stage("broker", Broker, members=["p0", "p1", "p2"]).stage(
        "c", Collect, replicas=2, args={"path": str(path)}, subscribe_to=["broker"]
    )
    wanted = sorted((f"c/{index}", f"p{number}/0") for index in range(2) for number in range(3))
    with topology.start() as run:
        wait_until(lambda: pairs(run, 3) == wanted, "six edges")
        for victim in ("broker/0", "p1/0", "c/1", "broker/0"):
            before = {child.id: child.generation for child in run.which_children()}
            kill(run, victim)
            wait_until(
                lambda before=before, victim=victim: generation(run, victim) > before[victim],
                f"a successor of {victim}",
            )
            wait_until(lambda: run.routers()[0].established == 6, "six established edges")
            wait_until(lambda: pairs(run, 3) == wanted, "six edges at the producers")
            after = {child.id: child.generation for child in run.which_children()}
            assert [each for each in after if after[each] != before[each]] == [victim]
        assert run.add_members("broker", ["p3"]).edges == 8
        wait_until(lambda: len(pairs(run, 4)) == 8, "eight edges")
        row = run.routers()[0]
        assert (row.edges, row.monitors) == (8, 6)
        for number in range(4):
            run.cast(f"p{number}", [number * 10, number * 10 + 1])
        wait_until(lambda: how_many_in(path) == 8, "every event")
        assert sorted(numbers_in(path)) == [0, 1, 10, 11, 20, 21, 30, 31]
        assert run.stats().stage("broker").batches_out == 0


def generation(run: Run, stage: str) -> int:
    """Which life of a stage has been ready last."""
    row = next(child for child in run.which_children() if child.id == stage)
    return row.generation if row.state == "running" else 0


def test_a03_notifications_and_a05_unknown_pairs_of_a_running_program(tmp_path: Path) -> None:
    """Told in order; a caller waits for demand only as long as it says."""
    path = tmp_path / "told"
    topology = (
        Topology("told")
        .stage("p0", Idle)
        .stage("broker", Broker, members=["p0"])
        .stage("c", Collect, args={"path": str(path)}, subscribe_to=["broker"])
    )
    with topology.start() as run:
        for number in range(5):
            run.notify("broker", number)
            run.sync_notify("broker", 100 + number, timeout=50)
        wait_until(lambda: how_many_in(path) == 10, "ten notifications")
        assert numbers_in(path) == [0, 100, 1, 101, 2, 102, 3, 103, 4, 104]
        with pytest.raises(Refused, match="unknown_subscription"):
            run.unsubscribe("broker", to="p0")
        with pytest.raises(Refused, match="no_such_stage"):
            run.add_members("broker", ["p1"])
        with pytest.raises(OptionError, match="stages must be"):
            run.add_members("broker", "p0")
        with pytest.raises(OptionError, match="to must be"):
            run.unsubscribe("c", to="")
        assert run.remove_members("broker", ["p0"]).edges == 0


def test_a03_a_caller_without_anybody_who_listens_gives_up(tmp_path: Path) -> None:
    """Within its timeout."""
    topology = Topology("alone").stage("p0", Idle).stage("broker", Broker, members=["p0"])
    with topology.start() as run, pytest.raises(CallTimeout):
        run.sync_notify("broker", "anybody?", timeout=0.05)


class MeasuredBroker(Measured, Broker):
    """A measured broker."""


class MeasuredCount(Measured, Count):
    """A measured sink."""


def test_a06_the_managers_share_of_the_processor_is_below_one_percent() -> None:
    """A million events pass between two producers and two consumers, and none of them by it."""
    count = 500_000
    topology = Topology("share")
    for number in range(2):
        args = {"start": number * count, "limit": (number + 1) * count}
        topology = topology.stage(f"p{number}", MeasuredNumbers, args=args)
    topology = topology.stage("broker", MeasuredBroker, members=["p0", "p1"]).stage(
        "c", MeasuredCount, replicas=2, subscribe_to=[{"to": "broker", "max_demand": 100}]
    )
    with topology.start() as run:
        used = run.wait(timeout=50)
        stages = {stage.stage: stage for stage in run.stats().stages}
    assert stages["c/0"].events_in + stages["c/1"].events_in == 2 * count
    assert stages["broker/0"].events_out == 0
    assert used["broker"] < 0.01 * (used["p0"] + used["p1"] + sum(used["c"])), used


def test_a07_a_redirect_stands_when_its_consumer_and_a_target_are_killed(tmp_path: Path) -> None:
    """Two targets, one consumer; afterwards it is subscribed to each of them, once."""
    path = tmp_path / "taken"
    topology = (
        Topology("redirected", supervisor=SupervisorOptions(max_restarts=10))
        .stage("p0", Idle)
        .stage("p1", Idle)
        .stage("reception", Reception)
        .stage("c", Collect, args={"path": str(path)}, subscribe_to=["reception"])
    )
    wanted = [("c/0", "p0/0"), ("c/0", "p1/0")]
    with topology.start() as run:
        wait_until(lambda: pairs(run, 2) == wanted, "both edges")
        for victim in ("c/0", "p0/0", "reception/0"):
            before = generation(run, victim)
            kill(run, victim)
            wait_until(
                lambda victim=victim, before=before: generation(run, victim) > before,
                f"a successor of {victim}",
            )
            wait_until(lambda: pairs(run, 2) == wanted, "both edges again")
        run.cast("p0", [1, 2])
        run.cast("p1", [3])
        wait_until(lambda: sorted(numbers_in(path)) == [1, 2, 3], "every event, once")
        assert run.status("reception")["producing"]["consumers"] == []
