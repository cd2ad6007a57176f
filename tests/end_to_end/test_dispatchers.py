"""Who gets which event, between real processes, also when one of them is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actorflow import Defaults, Outcome, Run, SubscribeTo, Topology
from tests.end_to_end.helpers import Events, how_many_in, kill, numbers_in, wait_until
from tests.end_to_end.stages import Collect, Numbers, Pass
from tests.end_to_end.stages_of_dispatchers import (
    CollectApart,
    Fast,
    LeavesAHolder,
    Listens,
    Notifies,
    remainder,
)

pytestmark = pytest.mark.processes


def fan_out(path: Path, dispatcher: object, replicas: int = 2, **source: Any) -> Topology:
    """One source, several consumers with a file each."""
    return (
        Topology("fan")
        .stage("numbers", Fast, dispatcher=dispatcher, **source)  # type: ignore[arg-type]
        .stage(
            "sink",
            CollectApart,
            replicas=replicas,
            args={"path": str(path)},
            subscribe_to=[SubscribeTo("numbers", max_demand=10)],
        )
    )


def files(path: Path, replicas: int = 2) -> list[list[int]]:
    """What each replica got."""
    return [numbers_in(path.with_name(path.name + str(index))) for index in range(replicas)]


def drained_after_a_kill(run: Run, events: Events, path: Path, victim: str | None) -> Outcome:
    """Let events flow, kill the victim, let more of them flow, and drain the run."""
    wait_until(lambda: all(len(each) > 50 for each in files(path)), "events to flow")
    if victim is not None:
        kill(run, victim)
        events.restarted(victim.partition("/")[0])
    seen = [len(each) for each in files(path)]
    wait_until(lambda: all(len(f) > n + 50 for f, n in zip(files(path), seen, strict=True)), "more")
    return run.drain(timeout=50)


@pytest.mark.parametrize("victim", [None, "sink/0", "numbers"])
def test_demand_gives_each_event_to_one_consumer(victim: str | None, tmp_path: Path) -> None:
    """Every event arrives at one of the consumers, also when one of them or the source dies."""
    path = tmp_path / "journal"
    events = Events()
    with fan_out(path, "demand").start(events) as run:
        outcome = drained_after_a_kill(run, events, path, victim)
    first, second = files(path)
    # A source that was killed starts again at 0, so there may be more than its last life emitted.
    assert set(range(outcome.results["numbers"])) <= set(first) | set(second)
    if victim is None:
        assert not set(first) & set(second)
        assert outcome.results["sink"] == [len(first), len(second)]


@pytest.mark.parametrize("victim", [None, "sink/1"])
def test_broadcast_gives_each_event_to_every_consumer(victim: str | None, tmp_path: Path) -> None:
    """Everybody gets everything in order; one that dies misses nothing."""
    path = tmp_path / "journal"
    events = Events()
    with fan_out(path, "broadcast").start(events) as run:
        outcome = drained_after_a_kill(run, events, path, victim)
    first, second = files(path)
    emitted = list(range(outcome.results["numbers"]))
    # Whoever came later may have missed the beginning, as in GenStage; from then on nothing.
    assert first == emitted[first[0] :]
    assert sorted(set(second)) == emitted[second[0] :]
    if victim is None:
        assert second == emitted[second[0] :]


@pytest.mark.parametrize("victim", [None, "sink/1"])
def test_partition_gives_each_event_to_its_consumer(victim: str | None, tmp_path: Path) -> None:
    """A function decides, and keeps deciding the same when a consumer has a successor."""
    path = tmp_path / "journal"
    by = f"{remainder.__module__}:remainder"
    events = Events()
    dispatcher = {"partition": {"partitions": 2, "by": by}}
    with fan_out(path, dispatcher).start(events) as run:
        outcome = drained_after_a_kill(run, events, path, victim)
    even, odd = files(path)
    emitted = range(outcome.results["numbers"])
    assert even == [number for number in emitted if number % 2 == 0]
    assert sorted(set(odd)) == [number for number in emitted if number % 2]


def test_at_most_once_delivers_nothing_twice(tmp_path: Path) -> None:
    """GenStage's mode: what a killed stage had is lost, and nothing comes again."""
    journal = tmp_path / "journal"
    events = Events()
    topology = (
        Topology("once", defaults=Defaults(delivery="at_most_once"))
        .stage("numbers", Numbers)
        .stage("pass", Pass, subscribe_to=[SubscribeTo("numbers", max_demand=10)])
        .stage(
            "sink",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("pass", max_demand=10)],
        )
    )
    with topology.start(events) as run:
        for restart in range(3):
            seen = how_many_in(journal)
            wait_until(lambda seen=seen: how_many_in(journal) > seen + 50, "events to flow")
            kill(run, "pass")
            events.restarted("pass", restart + 1)
        seen = how_many_in(journal)
        wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
        outcome = run.drain(timeout=50)
    arrived = numbers_in(journal)
    assert arrived == sorted(set(arrived))
    assert 0 <= outcome.results["numbers"] - len(arrived) <= 3 * 20


def test_a_notification_stays_in_its_place_among_the_events(tmp_path: Path) -> None:
    """What a producer notifies arrives behind what it had emitted before, and costs no demand."""
    journal = tmp_path / "journal"
    topology = (
        Topology("notified")
        .stage("numbers", Notifies, args={"limit": 1000})
        .stage(
            "sink",
            Listens,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("numbers", max_demand=7)],
        )
    )
    with topology.start() as run:
        run.wait(50)
    arrived = numbers_in(journal)
    assert [number for number in arrived if number >= 0] == list(range(1000))
    told = [(place, -number) for place, number in enumerate(arrived) if number < 0]
    assert [hundreds for _, hundreds in told] == list(range(1, 11))
    for place, hundreds in told:
        before = [number for number in arrived[:place] if number >= 0]
        assert 100 * hundreds <= len(before) < 100 * hundreds + 7


@pytest.mark.parametrize("killed", [False, True])
def test_a_process_that_a_stage_forked_holds_nobody_up(killed: bool, tmp_path: Path) -> None:
    """A copy of a stage's links outlives it; its neighbours go on, and the run's end is its end."""
    journal = tmp_path / "journal"
    events = Events()
    topology = (
        Topology("holder")
        .stage("numbers", Numbers)
        .stage("pass", LeavesAHolder, subscribe_to=[SubscribeTo("numbers", max_demand=10)])
        .stage(
            "sink",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("pass", max_demand=10)],
        )
    )
    with topology.start(events) as run:
        wait_until(lambda: how_many_in(journal) > 50, "events to flow")
        if killed:
            kill(run, "pass")
            events.restarted("pass")
            seen = how_many_in(journal)
            wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    assert set(numbers_in(journal)) == set(range(outcome.results["numbers"]))
