"""Events that end their consumer's life: found, given up and counted, whatever else dies."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from actorflow import (
    Consumer,
    Defaults,
    ProducerConsumer,
    SubscribeTo,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.stages.sources import Items
from actorflow.testing import Faults, SimulatedRun, simulate
from tests.seeds import seeds

EVENTS = 60
POISON = (7, 41)
SEEDS = seeds(16)


def refuse(event: int, how: str) -> None:
    """What the poison does to whoever handles it."""
    if event in POISON and how == "raises":
        raise ValueError(f"no {event}")
    if event in POISON:
        raise SystemExit(9)  # as a process does that dies without a word


class Take(Consumer):
    """Collects what it can handle."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.events: list[int] = []

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        for event in events:
            refuse(event, self.how)
            self.events.append(event)

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.events)


class Remember(Take):
    """Keeps a state."""

    def snapshot(self) -> list[int]:
        return self.events

    def restore(self, state: list[int]) -> None:
        self.events = state


class Pass(ProducerConsumer):
    """Hands on what it can handle."""

    def __init__(self, how: str) -> None:
        self.how = how

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        for event in events:
            refuse(event, self.how)
        return events


class PassLazily(Pass):
    """The same, by a generator, which works while it is read."""

    def handle_events(self, events: list[int], subscription: Subscription) -> Any:
        for event in events:
            refuse(event, self.how)
            yield event


def taking(use: type[Consumer], how: str, **options: Any) -> Topology:
    """Numbers into one consumer, with dead letters."""
    return (
        Topology("taking", dead_letters="unused.jsonl")
        .stage("numbers", Items, args={"items": list(range(EVENTS))})
        .stage(
            "take",
            use,
            args={"how": how},
            subscribe_to=[SubscribeTo("numbers", max_demand=20)],
            **options,
        )
    )


def given_up(run: SimulatedRun) -> list[int]:
    """The events of the dead letters, in order."""
    return sorted(pickle.loads(letter.event) for letter in run.dead_letters)


GOOD = [event for event in range(EVENTS) if event not in POISON]


@pytest.mark.parametrize("how", ["raises", "dies"])
@pytest.mark.parametrize("on_error", ["restart", "dead_letter"])
@pytest.mark.parametrize("seed", SEEDS)
def test_events_that_end_their_consumer_become_dead_letters_and_all_others_are_handled(
    seed: int, on_error: str, how: str
) -> None:
    """Each once, with how often it was tried; the restarts of the search count for nothing."""
    run = simulate(taking(Remember, how, on_error=on_error), seed=seed, laws=True)
    assert run.status == "done"
    assert given_up(run) == list(POISON)
    assert sorted(run.results["take"]) == GOOD
    assert run.report.stage("take").dead_lettered == len(POISON)
    tries = 3 if how == "dies" or on_error == "restart" else 2
    assert {letter.attempts for letter in run.dead_letters} <= {tries - 1, tries}


@pytest.mark.parametrize("use", [Pass, PassLazily])
@pytest.mark.parametrize("how", ["raises", "dies"])
def test_what_a_generator_dies_of_is_found_as_what_a_function_dies_of(
    use: type[Pass], how: str
) -> None:
    """To read it is part of the callback: the batch is in hand, and its time is the stage's."""
    topology = (
        Topology("lazy", dead_letters="unused.jsonl")
        .stage("numbers", Items, args={"items": list(range(EVENTS))})
        .stage("pass", use, args={"how": how}, subscribe_to=["numbers"])
        .stage("take", Remember, args={"how": "never"}, subscribe_to=["pass"])
    )
    run = simulate(topology, seed=5, laws=True)
    assert given_up(run) == list(POISON)
    assert set(run.results["take"]) == set(GOOD)


@pytest.mark.parametrize("seed", SEEDS)
def test_retries_that_end_in_restarts_find_the_event_too(seed: int) -> None:
    """The stage ends with the batch in hand, which its successor gets one by one."""
    rule = {"retry": {"attempts": 1, "initial": 0.01}}
    run = simulate(taking(Take, "raises", on_error=rule), seed=seed, laws=True)
    assert given_up(run) == list(POISON)
    assert set(run.handled("take")) >= set(GOOD)


@pytest.mark.parametrize("how", ["raises", "dies"])
def test_skipped_events_are_counted(how: str) -> None:
    """No file is needed for that."""
    topology = (
        Topology("taking")
        .stage("numbers", Items, args={"items": list(range(EVENTS))})
        .stage("take", Remember, args={"how": how}, on_error="skip", subscribe_to=["numbers"])
    )
    run = simulate(topology, seed=3, laws=True)
    assert sorted(run.results["take"]) == GOOD
    assert run.report.stage("take").skipped >= len(POISON)


def test_without_a_limit_or_a_place_to_go_the_run_ends_with_the_original_exception() -> None:
    """As it always did: more restarts than are allowed."""
    topology = (
        Topology("taking")
        .stage("numbers", Items, args={"items": list(range(EVENTS))})
        .stage("take", Take, args={"how": "raises"}, subscribe_to=["numbers"])
    )
    with pytest.raises(ValueError, match="no 7") as caught:
        simulate(topology)
    assert any("max_restarts=3" in note for note in caught.value.__notes__)


def test_with_a_limit_and_no_place_to_go_the_run_ends_at_that_limit() -> None:
    """With the exception of the event that was given up, and its traceback."""
    topology = (
        Topology("taking")
        .stage("numbers", Items, args={"items": list(range(EVENTS))})
        .stage("take", Take, args={"how": "raises"}, max_deliveries=2, subscribe_to=["numbers"])
    )
    with pytest.raises(ValueError, match="no 7") as caught:
        simulate(topology)
    notes = " ".join(caught.value.__notes__)
    assert "stage take/0 gave up the event 7 after 2 attempts" in notes
    assert "dead_letters" in notes


def chain(delivery: str, how: str) -> Topology:
    """Through a stage without a state into one with a state, by partition."""
    return (
        Topology(
            "chain",
            dead_letters="unused.jsonl",
            defaults=Defaults(delivery=delivery),
            supervisor=SupervisorOptions(max_restarts=10),
        )
        .stage(
            "numbers",
            Items,
            args={"items": list(range(EVENTS))},
            dispatcher={"partition": {"partitions": 2}},
        )
        .stage(
            "pass",
            Pass,
            args={"how": how},
            replicas=2,
            on_error="dead_letter",
            subscribe_to=[SubscribeTo("numbers", max_demand=10)],
        )
        .stage("take", Remember, args={"how": "never"}, subscribe_to=["pass"])
    )


@pytest.mark.parametrize("how", ["raises", "dies"])
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("seed", SEEDS)
def test_poison_and_crashes_together_lose_nothing(seed: int, delivery: str, how: str) -> None:
    """Whatever else dies, every event is handled or a dead letter; in a state it counts once.

    An event may be a dead letter twice: when its consumer dies before it has heard that it is kept.
    """
    run = simulate(
        chain(delivery, how),
        seed=seed,
        faults=Faults(crashes=3, within=400),
        laws=delivery == "at_least_once",
    )
    assert run.status == "done"
    assert set(given_up(run)) == set(POISON)
    taken = run.results["take"]
    assert set(taken) == set(GOOD)
    if delivery == "exactly_once":
        assert sorted(taken) == GOOD


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast"])
@pytest.mark.parametrize("seed", SEEDS)
def test_poison_is_found_with_any_dispatcher(seed: int, dispatcher: str) -> None:
    """With a broadcast each consumer gives its own copy up."""
    topology = Topology("several", dead_letters="unused.jsonl").stage(
        "numbers", Items, args={"items": list(range(EVENTS))}, dispatcher=dispatcher
    )
    topology = topology.stage(
        "take",
        Remember,
        args={"how": "dies"},
        replicas=2,
        subscribe_to=[SubscribeTo("numbers", max_demand=8)],
    )
    run = simulate(topology, seed=seed, laws=True)
    copies = 2 if dispatcher == "broadcast" else 1
    assert given_up(run) == sorted(copies * POISON)
    both = run.results["take"][0] + run.results["take"][1]
    assert sorted(both) == sorted(copies * GOOD)
