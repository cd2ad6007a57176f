"""Section 7, A19: a producer-consumer that decides about its consumers' demand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actorflow import (
    FORWARD,
    HOLD,
    NotInStage,
    OptionError,
    ProducerConsumer,
    SubscribeTo,
    Subscription,
    Topology,
)
from actorflow.testing import Faults, simulate
from actorflow.testing.experiments import Experiment
from actorflow.testing.harness import StageHarness
from actorflow.testing.topologies import Numbers, Sink, Through
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.script import Script
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same
from tests.seeds import few, seeds


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


class Decides(Same):
    """Answers demand as it is told to, by a list of answers or one for all; HOLD at its end."""

    def __init__(self, *answers: Any, always: Any = HOLD) -> None:
        super().__init__()
        self.answers = list(answers)
        self.always = always
        self.asked: list[int] = []

    def handle_demand(self, demand: int) -> Any:
        self.asked.append(demand)
        return self.answers.pop(0) if self.answers else self.always


def deciding(*answers: Any, always: Any = HOLD, max_demand: int = 10) -> StageHarness:
    """A stage that decides, between one producer (link 1) and one consumer (link 2)."""
    middle = StageHarness(Decides, {"always": always})
    middle.behaviour.answers = list(answers)
    middle.link_to_producer(1, "source", max_demand=max_demand)
    middle.subscribe(2, "sink")
    return middle


# --- the scenario itself --------------------------------------------------------------------------


class Cache(ProducerConsumer):
    """Holds answers; what it does not hold it has its producer asked for."""

    def __init__(self, known: list[Any]) -> None:
        self.known = known

    def handle_demand(self, demand: int) -> list[Any]:
        answers, self.known = self.known[:demand], self.known[demand:]
        return answers

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        return events


def test_a19_a_cache_answers_what_it_holds_and_asks_for_the_rest() -> None:
    """A -> B -> C: C asks 4, B holds 3: C gets 3 at once, and A is asked 1."""
    network = Network()
    source = network.add("a", Counter)
    cache = network.add("b", Cache, {"known": ["x", "y", "z"]})
    sink = network.add("c", Forwarder)
    network.connect("b", "a", max_demand=10)
    network.connect("c", "b", max_demand=4, min_demand=0)
    network.run(until=lambda: len(sink.behaviour.batches) == 2)
    assert sink.behaviour.batches == [["x", "y", "z"], [0]]
    assert cache.asks(1)[0] == 1
    assert source.calls("handle_demand")[0] == (1,)


def test_a19_on_a_full_hit_the_producer_sees_no_message() -> None:
    """Not even an acknowledgement: what the cache holds is nobody's business upstream."""
    cache = StageHarness(Cache, {"known": list("abcdef")})
    cache.link_to_producer(1, "a", max_demand=10)
    before = len(cache.sent(1))
    cache.subscribe(2, "c")
    cache.ask(2, 4)
    cache.ask(2, 2)
    cache.advance(1.0)
    assert cache.events(2) == [["a", "b", "c", "d"], ["e", "f"]]
    assert cache.sent(1)[before:] == []


def test_a19_nothing_is_asked_while_nothing_is_wanted() -> None:
    """Its upstream asks are driven by demand: a new subscription asks for nothing."""
    middle = deciding(always=None)
    assert middle.asks(1) == []
    middle.ask(2, 3)
    assert middle.asks(1) == [3]
    middle.route(1, ["a", "b", "c"])
    assert middle.events(2) == [["a", "b", "c"]]
    assert middle.asks(1) == [3]


@pytest.mark.parametrize("options", [{"max_demand": 10, "min_demand": 5}, {"max_demand": 10}, {}])
def test_a19_forward_keeps_todays_behaviour(options: dict[str, int]) -> None:
    """Batches and asks are those of a stage without the callback, from the first demand on."""
    scripts = []
    for behaviour, arguments in ((Same, {}), (Decides, {"always": FORWARD})):
        middle = StageHarness(behaviour, arguments, seconds_per_event=1e-4)
        middle.subscribe(2)
        middle.ask(2, 1)
        middle.link_to_producer(1, **options)
        script = Script(middle)
        script()
        sent = 0
        for wanted in (3, 20, 1, 40):
            while sent < sum(middle.asks(1)):
                count = min(4, sum(middle.asks(1)) - sent)
                middle.route(1, range(sent, sent + count))
                sent += count
                if sent > 60:
                    break
            middle.ask(2, wanted)
        scripts.append([step for step in script() if step[0] != "handle_demand"])
    assert scripts[0] == scripts[1]
    assert len(scripts[0]) > 20


# --- holding --------------------------------------------------------------------------------------


def test_a19_held_demand_is_forwarded_later() -> None:
    """All of it, or part by part; no more than is held."""
    middle = deciding()
    middle.ask(2, 7)
    assert middle.asks(1) == []
    assert middle.status()["producing"]["held"] == 7
    assert middle.counters["held"] == 7

    stage = middle.behaviour
    assert stage.forward(2) == 2
    assert middle.asks(1) == [2]
    assert middle.status()["producing"]["forwarded"] == 2
    assert stage.forward() == 5
    assert stage.forward(9) == 0
    assert middle.asks(1) == [2, 5]
    middle.route(1, range(7))
    assert flat(middle.events(2)) == list(range(7))
    status = middle.status()["producing"]
    assert (status["held"], status["forwarded"], status["requested"]) == (0, 0, 0)
    assert middle.counters["held"] == 0


def test_a19_held_demand_is_met_from_elsewhere() -> None:
    """By a cast, a timer, whatever emits: then it is held no more."""
    middle = deciding()
    middle.ask(2, 5)
    middle.cast(["a", "b", "c"])
    assert middle.events(2) == [["a", "b", "c"]]
    assert middle.counters["held"] == 2
    assert middle.behaviour.forward() == 2
    assert middle.asks(1) == [2]
    middle.cast(["d", "e", "f"])
    assert middle.counters["held"] == 0
    assert middle.behaviour.forward() == 0


def test_a19_new_demand_beside_what_is_held() -> None:
    """Each decision is about what is new; the sums are kept."""
    middle = deciding(HOLD, None, HOLD)
    middle.ask(2, 2)
    middle.ask(2, 3)
    middle.ask(2, 4)
    assert middle.behaviour.asked == [2, 3, 4]
    assert middle.asks(1) == [3]
    assert middle.counters["held"] == 6
    middle.route(1, ["a", "b", "c"])
    assert middle.counters["held"] == 6
    assert middle.asks(1) == [3]
    assert middle.behaviour.forward() == 6
    assert middle.asks(1) == [3, 6]


def test_a19_part_is_answered_part_is_held_part_is_forwarded() -> None:
    """All within one callback."""

    class Splits(Same):
        def handle_demand(self, demand: int) -> Any:
            self.emit(["own"] * 2)
            self.forward(3)
            return HOLD

    middle = StageHarness(Splits)
    middle.link_to_producer(1, max_demand=10)
    middle.subscribe(2)
    middle.ask(2, 9)
    assert middle.events(2) == [["own", "own"]]
    assert middle.asks(1) == [3]
    assert middle.counters["held"] == 4


@pytest.mark.parametrize("count", [-1, 1.5, "2", True])
def test_a19_a_bad_count_is_refused(count: Any) -> None:
    """Where it is passed, by name, rule and value."""
    middle = deciding()
    with pytest.raises(OptionError, match="count must be an integer of at least 0"):
        middle.behaviour.forward(count)


def test_a19_who_holds_nothing_cannot_forward() -> None:
    """A producer-consumer without the callback is told why."""
    with pytest.raises(NotInStage, match="has no handle_demand"):
        StageHarness(Same).behaviour.forward()


@pytest.mark.parametrize("answer", ["text", 5, {"a": 1}, b"bytes"])
def test_a19_what_is_no_answer(answer: Any) -> None:
    """Anything but events, None, HOLD and FORWARD ends the stage with an error that says so."""
    middle = deciding(answer)
    middle.ask(2, 1)
    assert "handle_demand must return an iterable of events, or None" in str(middle.error)


# --- conservation ---------------------------------------------------------------------------------


def test_a19_never_more_than_max_demand_is_under_way() -> None:
    """What is wanted beyond it is asked for as batches are handled."""
    middle = deciding(always=None, max_demand=4)
    middle.ask(2, 10)
    assert middle.asks(1) == [4]
    middle.route(1, ["a", "b"])
    assert middle.asks(1) == [4, 2]
    middle.route(1, ["c", "d", "e", "f"])
    assert sum(middle.asks(1)) == 10
    middle.route(1, list("ghij"))
    assert sum(middle.asks(1)) == 10
    assert flat(middle.events(2)) == list("abcdefghij")


def test_a19_what_a_filter_drops_is_asked_for_again() -> None:
    """Demand that an input did not meet is still demand."""

    class Even(Decides):
        def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
            return [event for event in events if event % 2 == 0]

    middle = StageHarness(Even, {"always": None})
    middle.link_to_producer(1, max_demand=10, min_demand=0)
    middle.subscribe(2)
    middle.ask(2, 4)
    middle.route(1, [1, 2, 3, 5])
    assert middle.asks(1) == [4, 3]
    middle.route(1, [7, 8, 10])
    middle.route(1, [12])
    assert flat(middle.events(2)) == [2, 8, 10, 12]
    assert sum(middle.asks(1)) == 8


def test_a19_what_makes_more_than_was_wanted_is_buffered() -> None:
    """And the buffer is served before anybody is asked."""

    class Four(Decides):
        def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
            return [event for event in events for _ in range(4)]

    middle = StageHarness(Four, {"always": None})
    middle.link_to_producer(1, max_demand=10)
    middle.subscribe(2)
    middle.ask(2, 1)
    middle.route(1, [7])
    assert middle.counters["buffered"] == 3
    middle.ask(2, 3)
    assert middle.asks(1) == [1]
    middle.ask(2, 2)
    assert middle.asks(1) == [1, 2]


def test_a19_every_producer_is_asked_for_all_of_it() -> None:
    """One that has nothing must not keep the consumers from what another has."""
    middle = StageHarness(Decides, {"always": None})
    middle.link_to_producer(1, "empty", max_demand=10)
    middle.link_to_producer(3, "full", max_demand=2)
    middle.subscribe(2)
    middle.ask(2, 5)
    assert middle.asks(1) == [5]
    assert middle.asks(3) == [2]
    middle.route(3, ["a", "b"])
    middle.route(3, ["c", "d"])
    middle.route(3, ["e"])
    assert flat(middle.events(2)) == list("abcde")


def test_a19_a_manual_subscription_is_the_callbacks_own() -> None:
    """There it says itself whom it asks for what."""

    class ByHand(Decides):
        def handle_subscribe(self, side: str, options: Any, subscription: Subscription) -> Any:
            if side == "producer":
                self.source = subscription
                return "manual"
            return None

        def handle_demand(self, demand: int) -> None:
            self.ask(self.source, 2 * demand)

    middle = StageHarness(ByHand)
    middle.link_to_producer(1, max_demand=10)
    middle.subscribe(2)
    middle.ask(2, 3)
    assert middle.asks(1) == [6]


def test_a19_from_forward_to_holding_and_back() -> None:
    """Free windows refill by themselves; once it holds they stop, and go on when it forwards."""
    middle = deciding(FORWARD, HOLD, FORWARD)
    middle.ask(2, 1)
    assert middle.asks(1) == [10]
    middle.route(1, ["a"])
    middle.ask(2, 9)
    assert middle.counters["held"] == 9
    middle.route(1, list("bcdefghij"))
    assert flat(middle.events(2)) == list("abcdefghij")
    assert middle.asks(1) == [10]
    middle.ask(2, 1)
    assert middle.asks(1) == [10, 10]


# --- crashes --------------------------------------------------------------------------------------


def test_a19_a_producer_dies_while_demand_is_forwarded() -> None:
    """Its successor is asked for what it had not brought."""
    middle = deciding(always=None)
    middle.ask(2, 4)
    middle.route(1, ["a"])
    middle.hang_up(1)
    middle.down("source#1", restarting=True)
    middle.link_to_producer(3, "source#2", max_demand=10)
    assert middle.asks(3) == [3]


def test_a19_a_producer_dies_while_demand_is_held() -> None:
    """The successor is not asked before it is forwarded."""
    middle = deciding()
    middle.ask(2, 4)
    middle.hang_up(1)
    middle.down("source#1", restarting=True)
    middle.link_to_producer(3, "source#2", max_demand=10)
    assert middle.asks(3) == []
    assert middle.behaviour.forward() == 4
    assert middle.asks(3) == [4]


def test_a19_a_consumer_dies_while_demand_is_held() -> None:
    """What nobody wants any more is not asked for; its successor's demand is met."""
    middle = deciding()
    middle.ask(2, 4)
    middle.down("sink#1", restarting=True)
    assert middle.behaviour.forward(2) == 2
    assert middle.asks(1) == []
    middle.subscribe(3, "sink#2")
    middle.ask(3, 4)
    assert middle.asks(1) == [2]
    middle.route(1, ["a", "b"])
    assert middle.events(3) == [["a", "b"]]
    assert middle.behaviour.forward() == 2
    assert middle.asks(1) == [2, 2]


class Wavers(Through):
    """A rule's stage that treats demand in every way, in turn; what it holds it forwards soon."""

    def handle_demand(self, demand: int) -> Any:
        self.turn = getattr(self, "turn", len(self.name) + self.index) + 1
        if self.turn % 4 == 0:
            return FORWARD
        if self.turn % 4 == 1:
            self.send_after(0.001, demand)
            return HOLD
        if self.turn % 4 == 2:
            self.forward(demand // 2)
            self.send_after(0.002, demand)
            return HOLD
        return None

    def handle_info(self, message: int) -> None:
        self.forward(message)


def wavering(seed: int) -> Experiment:
    """The experiment of a seed, every producer-consumer of it with a demand hook."""
    found = Experiment.of(seed)
    plan = found.topology.plan
    children = [
        replace(child, stage=replace(child.stage, behaviour=Wavers))
        if child.stage.behaviour is Through
        else child
        for child in plan.children
    ]
    topology = replace(found.topology, plan=replace(plan, children=children))
    return replace(found, topology=topology)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_a19_under_crashes_no_demand_is_lost(first: int) -> None:
    """Random topologies, kills and late joins: no hang, no law broken, nothing lost or astray."""
    for seed in few(range(first, first + 50)):
        wavering(seed).run()


@pytest.mark.parametrize("victim", ["source", "middle", "sink"])
def test_a19_whoever_is_killed(victim: str) -> None:
    """A, B or C, at any step, with B holding and forwarding: every number arrives."""
    topology = (
        Topology("hooked")
        .stage("source", Numbers, args={"first": 0, "count": 30})
        .stage(
            "middle",
            Wavers,
            args={"rule": "identity"},
            subscribe_to=[SubscribeTo("source", max_demand=5)],
        )
        .stage("sink", Sink, subscribe_to=[SubscribeTo("middle", max_demand=7)])
    )
    for seed in seeds(40):
        faults = Faults(crashes=2, within=400, stages=(victim,))
        run = simulate(topology, seed=seed, faults=faults, laws=True, check=False)
        if run.status == "done":
            assert set(run.handled("sink")) == set(range(30))
        else:
            assert run.crashed, run.error


def test_a19_an_empty_cache_over_an_empty_source_waits() -> None:
    """Nothing is lost by waiting: what comes later meets the demand that was forwarded."""
    network = Network()
    source = network.add("a", Idle)
    network.add("b", Cache, {"known": []})
    sink = network.add("c", Forwarder)
    network.connect("b", "a", max_demand=3)
    network.connect("c", "b", max_demand=8)
    network.run()
    source.cast(list(range(8)))
    network.run()
    assert flat(sink.behaviour.batches) == list(range(8))
