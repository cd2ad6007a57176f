"""Topologies built in Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from actorflow.errors import OptionError, TopologyError
from actorflow.stage.behaviour import Consumer, Producer, ProducerConsumer
from actorflow.topology import (
    Defaults,
    StageDeclaration,
    SubscribeTo,
    SupervisorOptions,
    Topology,
)
from tests.topology.project.sample import Halve, parity


class Numbers(Producer):
    def __init__(self, start: int = 0) -> None:
        self.next = start


class Double(ProducerConsumer):
    pass


class Print(Consumer):
    pass


def broken(change: Callable[[Topology], Topology]) -> list[str]:
    """What is wrong with a topology of numbers and a change to it."""
    topology = change(Topology("test").stage("numbers", Numbers))
    problems = [str(problem) for problem in topology.problems()]
    with pytest.raises(TopologyError) as caught:
        topology.plan()
    assert [str(problem) for problem in caught.value.problems] == problems
    return problems


def test_each_call_makes_a_new_topology() -> None:
    """A topology is a value: adding a stage leaves the one before as it was."""
    base = Topology("base").stage("numbers", Numbers)
    one, two = base.stage("a", Print), base.stage("b", Print, subscribe_to=["numbers"])
    assert [len(each.stages) for each in (base, one, two)] == [1, 2, 2]
    assert two == base.stage("b", Print, subscribe_to=[SubscribeTo("numbers")])


def test_subscriptions_may_be_names_maps_or_objects() -> None:
    """The three forms are one."""
    forms: list[Any] = ["numbers", {"to": "numbers"}, SubscribeTo("numbers")]
    declared = [Topology("t").stage("p", Print, subscribe_to=[form]).stages[0] for form in forms]
    assert declared[0] == declared[1] == declared[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Topology("two words"), "name must be a name of letters"),
        (lambda: Topology(None), "name must be a name of letters"),
        (lambda: Topology("t", supervisor={}), "supervisor must be a SupervisorOptions, got {}"),
        (lambda: Topology("t", defaults=None), "defaults must be a Defaults, got None"),
        (lambda: Topology("t", stages=["a"]), "stages must be a tuple of StageDeclaration"),
        (lambda: Topology("t", import_paths="a"), "import_paths must be a tuple of str, got 'a'"),
        (lambda: declaration(subscribe_to=("a",)), "subscribe_to must be a tuple of SubscribeTo"),
        (lambda: declaration(options=3), "options must be a Mapping, got 3"),
        (lambda: SupervisorOptions(strategy="one"), "strategy must be one of one_for_one"),
        (lambda: SupervisorOptions(max_restarts=-1), "max_restarts must be an integer of at least"),
        (lambda: SupervisorOptions(max_restarts=True), "max_restarts must be an integer"),
        (lambda: SupervisorOptions(max_seconds=0), "max_seconds must be a number of seconds above"),
        (lambda: SupervisorOptions(max_seconds=None), "max_seconds must be a number of seconds"),
        (lambda: Defaults(delivery="twice"), "delivery must be one of at_least_once"),
        (lambda: Defaults(shutdown=float("nan")), "shutdown must be a number of seconds from 0"),
        (lambda: SubscribeTo(3), "to must be a stage's name, got 3"),
        (lambda: SubscribeTo(None), "to must be a stage's name, got None"),
        (lambda: SubscribeTo("a", max_demand=0), "max_demand must be an integer of at least 1"),
        (
            lambda: SubscribeTo("a", max_demand=5, min_demand=5),
            "min_demand must be an integer from 0",
        ),
        (lambda: SubscribeTo("a", cancel="never"), "cancel must be one of permanent"),
        (lambda: SubscribeTo("a", selector=3), "selector must be a function"),
        (lambda: SubscribeTo("a", selector="operator:truht"), "did you mean 'truth'"),
        (lambda: SubscribeTo("a", selector=lambda event: event), "selector must be a function at"),
        (lambda: SubscribeTo("a", partition=[1]), "partition must be one of the producer's"),
        (lambda: SubscribeTo.of(3), "subscribe_to must be a list of these: a stage's name"),
        (lambda: stage(use=Numbers()), "give the class Numbers and its arguments as args"),
        (lambda: stage(use=int), "class int is not a subclass of Producer"),
        (lambda: stage(use=None), "use must be a subclass of Producer"),
        (lambda: stage(use=Producer), "Producer is the base class, subclass it"),
        (lambda: stage(args=[1]), "args must be a map from names to values"),
        (lambda: stage(args={1: 1}), "args must be a map from names to values"),
        (lambda: stage(replicas=0), "replicas must be an integer from 1 to 10000, got 0"),
        (lambda: stage(replicas=None), "replicas must be an integer from 1 to 10000, got None"),
        (lambda: stage(restart="no"), "restart must be one of permanent"),
        (lambda: stage(start_within="x"), "start_within must be a number of seconds"),
        (lambda: stage(subscribe_to="numbers"), "got 'numbers'; put it in a list"),
        (lambda: stage(buffer_size=-1), "buffer_size must be an integer of at least 0"),
        (lambda: stage(dispatcher="brodcast"), "did you mean broadcast"),
        (lambda: stage(dispatcher={"partition": {}}), "partitions must be a number from 1"),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_passed(
    make: Callable[[], object], message: str
) -> None:
    """The error names the option, the rule and the value."""
    with pytest.raises(OptionError) as caught:
        make()
    assert message in str(caught.value)


def stage(**given: Any) -> Topology:
    """A topology with a stage that is declared so."""
    return Topology("t").stage("a", **{"use": Numbers, **given})


def declaration(**given: Any) -> StageDeclaration:
    """A stage that is declared so."""
    return StageDeclaration(**{"name": "a", "use": Numbers, **given})


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    """A keyword that is no option of a stage is a mistake in the topology."""
    with pytest.raises(TopologyError) as caught:
        stage(buffer_sise=1)
    assert (
        str(caught.value) == "stages.a: unknown option 'buffer_sise'; did you mean 'buffer_size'?"
    )
    with pytest.raises(TopologyError, match="unknown option 'replica'; did you mean 'replicas'"):
        stage(replica=2)
    with pytest.raises(TopologyError, match="unknown key 'max_demnd'; did you mean 'max_demand'"):
        stage(subscribe_to=[{"to": "b", "max_demnd": 3}])


def test_a_selector_travels_by_its_name() -> None:
    """A function at the top level of a module becomes what another process can import."""
    assert SubscribeTo("a", selector=parity).selector == "tests.topology.project.sample:parity"


def test_mistakes_between_stages_are_listed_together() -> None:
    """What shows only in the whole is found at once, each with its path."""
    assert broken(
        lambda topology: (
            topology.stage("numbers", Numbers, args={"strt": 1})
            .stage("a", Print, subscribe_to=["numbrs", "a"])
            .stage("b", Double, subscribe_to=["c"], demand="forward")
            .stage("c", Double, subscribe_to=["b"])
        )
    ) == [
        "stages.numbers: two stages are named 'numbers'",
        "stages.numbers.args: Numbers has no argument 'strt'; did you mean 'start'?",
        "stages.b: 'demand' has no meaning for a ProducerConsumer, only for a Producer",
        "stages.a.subscribe_to.0.to: unknown stage 'numbrs'; did you mean 'numbers'?",
        "stages.a.subscribe_to.1.to: 'a' is a Consumer and emits no events;"
        " stages that do: 'numbers', 'b', 'c'",
        "stages.b.subscribe_to.0.to: a cycle: b → c → b; each would wait for the one before it",
    ]


def test_a_topology_needs_a_stage() -> None:
    """Nothing is no topology."""
    problems = Topology("empty").problems()
    assert [str(problem) for problem in problems] == ["stages: a topology needs at least one stage"]


def test_a_consumer_may_be_subscribed_later() -> None:
    """In a program a consumer without a producer is no mistake: `run.subscribe` may follow."""
    assert Topology("t").stage("a", Print).problems() == []


def test_min_demand_is_judged_with_the_default_max_demand() -> None:
    """A subscription that gives only min_demand is judged with the topology's max_demand."""
    base = Topology("t", defaults=Defaults(max_demand=4)).stage("numbers", Numbers)
    good = base.stage("a", Print, subscribe_to=[SubscribeTo("numbers", min_demand=3)])
    bad = base.stage("a", Print, subscribe_to=[SubscribeTo("numbers", min_demand=4)])
    assert good.problems() == []
    assert [str(problem) for problem in bad.problems()] == [
        "stages.a.subscribe_to.0.min_demand: must be an integer from 0 to 3 (max_demand - 1), got 4"
    ]


def test_long_chains_and_rings_are_no_trouble() -> None:
    """Neither depth nor the length of a cycle is limited by the interpreter's stack."""
    chain = tuple(
        StageDeclaration(name=f"s{n}", use=Halve, subscribe_to=(SubscribeTo(f"s{n - 1}"),))
        for n in range(1, 3000)
    )
    source = StageDeclaration(name="s0", use=Numbers)
    assert Topology("chain", stages=(source, *chain)).problems() == []
    closed = dataclasses.replace(source, use=Halve, subscribe_to=(SubscribeTo("s2999"),))
    (problem,) = Topology("ring", stages=(closed, *chain)).problems()
    assert problem.path == "stages.s0.subscribe_to.0.to"
    assert problem.message.startswith("a cycle: s0 → s1 → s2 →")
