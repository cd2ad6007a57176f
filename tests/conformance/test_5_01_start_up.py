"""Section 5.1: start-up and specification."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actorflow import (
    BadReturn,
    ChildSpec,
    Consumer,
    OptionError,
    Producer,
    ProducerConsumer,
    Refused,
    StageId,
    StageOptions,
    StageSpec,
    Topology,
    TopologyError,
)
from actorflow.protocol.control import Ready
from actorflow.stage.behaviour import Stage
from actorflow.supervision import operations
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.stages import Counter, Forwarder, Same
from tests.conformance.helpers.supervised import Supervised, child

KINDS = [Producer, ProducerConsumer, Consumer]
STAGES = [Counter, Same, Forwarder]


def starting(kind: type[Stage], start: Any) -> type[Stage]:
    """A stage of a kind whose `on_start` is a function."""
    return type("Starting", (kind,), {"on_start": start})


def test_s001_a_child_specification_has_defaults() -> None:
    """A child is named and started after its stage, and restarted when it ends badly."""
    spec = ChildSpec(stage=StageSpec(id=StageId("counter"), behaviour=Counter))
    assert (spec.stage.id, spec.stage.behaviour) == (StageId("counter", 0), Counter)
    assert (spec.restart, spec.shutdown, spec.start_within) == ("transient", 5.0, 30.0)


def test_s001_what_overrides_them_appears_as_given() -> None:
    """Arguments, options, restart and times appear verbatim in the specification."""
    topology = Topology("run").stage(
        "counter",
        Counter,
        args={"start": 7},
        restart="permanent",
        shutdown=0.5,
        start_within=2,
        buffer_size=3,
    )
    (spec,) = topology.plan().children
    assert spec.stage.arguments == {"start": 7}
    assert spec.stage.options == StageOptions(buffer_size=3)
    assert (spec.restart, spec.shutdown, spec.start_within) == ("permanent", 0.5, 2)
    assert replace(spec, restart="temporary").restart == "temporary"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reason", ["ignore", "oops"])
def test_s002_a_stage_that_stops_in_its_start(kind: type[Stage], reason: str) -> None:
    """`stop` in `on_start` ends the stage with that reason; it was never ready."""
    harness = StageHarness(starting(kind, lambda self: self.stop(reason)))
    assert harness.exiting is not None
    assert (harness.exiting.reason, harness.exiting.failure) == (reason, None)
    assert harness.machine.ended
    assert not any(isinstance(each, Ready) for each in harness.told)


@pytest.mark.parametrize("kind", KINDS)
def test_s002_a_start_that_returns_something(kind: type[Stage]) -> None:
    """`on_start` returns nothing; anything else is a `BadReturn` that shows it."""
    harness = StageHarness(starting(kind, lambda self: "garbage"))
    assert isinstance(harness.error, BadReturn)
    assert str(harness.error) == "on_start must return None, returned 'garbage'"
    assert harness.machine.ended


@pytest.mark.parametrize("kind", KINDS)
def test_s002_a_constructor_that_raises(kind: type[Stage]) -> None:
    """What the constructor raises ends the stage, and travels to the supervisor."""
    broken = type("Broken", (kind,), {"__init__": lambda self: 1 / 0})
    harness = StageHarness(broken)
    assert isinstance(harness.error, ZeroDivisionError)
    assert harness.exiting is not None
    assert harness.exiting.reason == ["error", "ZeroDivisionError: division by zero"]
    assert harness.exiting.failure is not None


@pytest.mark.parametrize("kind", KINDS)
def test_s002_no_process_remains(kind: type[Stage]) -> None:
    """A child that does not come up is an error of the operation; no process and no row remain."""
    supervised = Supervised(Topology("run").stage("other", Counter))
    broken = type("Broken", (kind,), {"__init__": lambda self: 1 / 0})
    future = operations.start_child(supervised.core, child("broken", broken))
    with pytest.raises(Exception, match="did not start") as caught:
        supervised.wait(future)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert [row.id for row in operations.which_children(supervised.core)] == ["other/0"]
    assert [str(process.child.stage) for process in supervised.simulation.world.processes] == [
        "other/0"
    ]


def test_s003_a_buffer_size_below_0() -> None:
    """The text of the error has the option, the rule and the value."""
    with pytest.raises(OptionError) as caught:
        StageHarness(Counter, buffer_size=-1)
    text = "buffer_size must be an integer of at least 0, or none for no limit, got -1"
    assert str(caught.value) == text


@pytest.mark.parametrize("behaviour", [Counter, Same])
def test_s003_a_dispatcher_that_is_none(behaviour: type[Stage]) -> None:
    """A dispatcher is a name or a class, or a map of one to its options; the error says so."""
    with pytest.raises(OptionError) as caught:
        StageHarness(behaviour, dispatcher=0)
    rule = "a dispatcher's name, its class, or a map from one of these to its options"
    assert str(caught.value) == f"dispatcher must be {rule}, got 0"


@pytest.mark.parametrize("behaviour", STAGES)
def test_s003_an_unknown_option(behaviour: type[Stage]) -> None:
    """An option that no stage has is refused with its name and the known ones."""
    with pytest.raises(TopologyError, match=r"unknown option 'bufer_size'.*buffer_size"):
        Topology("run").stage("one", behaviour, bufer_size=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("behaviour", STAGES)
def test_s004_a_name_that_is_taken(behaviour: type[Stage]) -> None:
    """Starting a second child of a name is refused, and the refusal names the holder."""
    supervised = Supervised(Topology("run").stage("one", behaviour))
    holder = supervised.row("one/0")
    with pytest.raises(Refused) as caught:
        operations.start_child(supervised.core, child("one", behaviour))
    assert caught.value.reason == "already_started"
    assert str(holder.pid) in caught.value.detail


def test_s005_the_status_of_connected_stages() -> None:
    """The status shows state, type, dispatcher, peers and what is buffered."""
    network = Network()
    counter = network.add("counter", Counter, {"start": 3})
    same, sink = network.add("same", Same), network.add("sink", Forwarder)
    network.connect("same", "counter", max_demand=4)
    network.connect("sink", "same", max_demand=2)
    stages = (counter, same, sink)
    for stage in stages:
        stage.autorun = True
    for _ in range(4):
        network.step()
    first, middle, last = (stage.status() for stage in stages)

    assert (first["stage"], first["type"]) == ("counter/0#1", "producer")
    assert first["state"] == {"next": repr(counter.behaviour.next)}
    assert first["producing"]["dispatcher"] == "DemandDispatcher"
    assert [peer["stage"] for peer in first["producing"]["consumers"]] == ["same/0#1"]
    assert (first["producing"]["buffered"], first["producers"]) == (0, [])

    assert middle["type"] == "producer_consumer"
    assert [peer["stage"] for peer in middle["producers"]] == ["counter/0#1"]
    assert [peer["stage"] for peer in middle["producing"]["consumers"]] == ["sink/0#1"]

    assert (last["type"], last["producing"]) == ("consumer", None)
    assert [peer["stage"] for peer in last["producers"]] == ["same/0#1"]
