"""A run that goes on from a checkpoint, whatever moment the host was killed at."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from actorflow import Defaults, SubscribeTo, SupervisorOptions, Topology
from actorflow.protocol.control import Snapshot
from actorflow.stage.restored import KeptBatch, KeptEdge, Restored
from actorflow.stages.sources import Items
from actorflow.supervision.checkpoint import Kept
from actorflow.supervision.journal import Journal
from actorflow.testing import CrashAt, Faults, SimulatedRun, Simulation
from tests.simulation.test_snapshots import Collect, Plain, Several

NUMBERS = [10, 11, 12]


class Ticking(Items):
    """A source with something to do besides."""

    def on_start(self) -> None:
        self.send_after(0, "tick")

    def handle_info(self, message: Any) -> None:
        """A snapshot may follow."""


def topology(delivery: str = "exactly_once", replicas: int = 1, **source: Any) -> Topology:
    """A source and a sink that keeps what it has taken."""
    return (
        Topology(
            "resumed",
            supervisor=SupervisorOptions(max_restarts=100),
            defaults=Defaults(delivery=delivery),
        )
        .stage("numbers", Items, args={"items": NUMBERS}, **source)
        .stage(
            "collect",
            Collect,
            replicas=replicas,
            subscribe_to=[SubscribeTo("numbers", max_demand=2)],
        )
    )


def resumed(
    whole: Topology, kept: dict[str, Kept], faults: Faults | None = None, *, seed: int = 1
) -> SimulatedRun:
    """The rest of a run whose checkpoint holds this."""
    simulation = Simulation(whole, seed=seed, faults=faults)
    simulation.core.resume(kept)
    return simulation.finish(max_steps=50_000)


def sent(consumer: str, first: int, *events: int) -> dict[str, KeptEdge]:
    """An edge of ``numbers/0`` to a consumer, with the events that may not have arrived."""
    body = pickle.dumps(list(events))
    edge = KeptEdge(consumer, first + len(events), (KeptBatch(first, len(events), body),))
    return {f"{consumer}<numbers/0#0": edge}


def taken(consumer: str, *events: int) -> Restored:
    """What a consumer keeps that has taken these from ``numbers/0``."""
    covered = {f"{consumer}<numbers/0#0": len(events)}
    return Restored(state=pickle.dumps(list(events)), covered=covered)


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once", "exactly_once"])
def test_a_chain_whose_sink_had_ended_ends(delivery: str) -> None:
    """From its end backwards, whoever of it had not: though the source begins anew."""
    chain = (
        Topology("chain", defaults=Defaults(delivery=delivery))
        .stage("numbers", Items, args={"items": NUMBERS})
        .stage("several", Several, subscribe_to=[SubscribeTo("numbers", max_demand=2)])
        .stage("again", Plain, subscribe_to=[SubscribeTo("several", max_demand=2)])
        .stage("collect", Collect, subscribe_to=[SubscribeTo("again", max_demand=2)])
    )
    end = Kept(Restored(state=pickle.dumps([])), True, "done", pickle.dumps([]))
    for seed in range(10):
        run = resumed(chain, {"collect/0": end}, seed=seed)
        assert run.status == "done"


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once", "exactly_once"])
def test_a_source_whose_consumers_had_ended_ends(delivery: str) -> None:
    """Their ends were kept, and the host was killed before the source's own was."""
    end = Kept(taken("collect/0", *NUMBERS), True, "done", pickle.dumps(NUMBERS))
    source = Kept(Restored(state=pickle.dumps(3)))
    for kept in ({"collect/0": end}, {"collect/0": end, "numbers/0": source}):
        run = resumed(topology(delivery), kept)
        assert (run.status, run.results["collect"]) == ("done", NUMBERS)


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once", "exactly_once"])
def test_nothing_is_kept_for_a_partition_whose_consumer_had_ended(delivery: str) -> None:
    """Its source had finished, also where that was not kept, and emits nothing again."""
    dispatcher = {"partition": {"partitions": 2}}
    whole = topology(delivery, replicas=2, dispatcher=dispatcher)
    end = Kept(Restored(state=pickle.dumps([])), True, "done", pickle.dumps([]))
    assert resumed(whole, {"collect/0": end}).status == "done"


def test_what_an_ended_consumer_had_counted_is_nobody_elses() -> None:
    """The source's last snapshot was older than the consumer's, and does not say so."""
    outputs = sent("collect/0", 0, 10) | sent("collect/1", 0, 11)
    kept = {
        "numbers/0": Kept(Restored(state=pickle.dumps(3), outputs=outputs, finishing=True)),
        "collect/0": Kept(taken("collect/0", 10), True, "normal", pickle.dumps([10])),
    }
    run = resumed(topology(replicas=2), kept)
    assert run.results["collect"] == [[10], [11]]


def test_a_consumer_that_dies_before_it_has_a_place_loses_nothing() -> None:
    """What was kept for it is its successor's, at whatever step it dies, twice."""
    source = Restored(state=pickle.dumps(3), outputs=sent("collect/0", 0, *NUMBERS), finishing=True)
    whole = topology(dispatcher="broadcast")
    kept = {"numbers/0": Kept(source)}
    undisturbed = resumed(whole, kept)
    assert undisturbed.results["collect"] == NUMBERS
    for step in range(1, undisturbed.steps):
        crashes = (CrashAt(step, "collect"), CrashAt(step + 5, "collect"))
        run = resumed(whole, kept, Faults(at=crashes))
        assert run.results["collect"] == NUMBERS, crashes


def test_a_source_that_had_finished_has_finished_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each further snapshot says so, too: the next host must not ask it for more."""
    snapshots: list[Snapshot] = []
    take = Journal.take

    def watched(self: Journal, snapshot: Snapshot) -> None:
        snapshots.append(snapshot)
        take(self, snapshot)

    monkeypatch.setattr(Journal, "take", watched)
    outputs = sent("collect/0", 0, *NUMBERS)
    source = Restored(state=pickle.dumps(3), outputs=outputs, finishing=True)
    whole = topology()
    ticking = replace(whole.stages[0], use=Ticking)
    resumed(replace(whole, stages=(ticking, *whole.stages[1:])), {"numbers/0": Kept(source)})
    of_the_source = [each for each in snapshots if pickle.loads(each.state or b"N.") == 3]
    assert of_the_source
    assert all(each.finishing for each in of_the_source)


def test_a_stage_that_never_kept_anything_begins_at_its_beginning() -> None:
    """A checkpoint may hold some stages and not others."""
    run = resumed(topology("at_least_once"), {"collect/0": Kept(None)})
    assert run.results["collect"] == NUMBERS
