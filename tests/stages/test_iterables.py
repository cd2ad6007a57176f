"""`from_iterable` as a stage: what it takes, what it refuses, and that nothing is lost."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from actorflow import (
    Consumer,
    OptionError,
    ProducerConsumer,
    SubscribeTo,
    SupervisorOptions,
    Topology,
    TopologyError,
    from_iterable,
)
from actorflow.stages.iterables import IterableSource
from actorflow.testing import Faults, StageHarness, simulate
from tests.seeds import seeds


class Keep(Consumer):
    def handle_events(self, events: list[Any], subscription: Any) -> None:
        pass


class Pass(ProducerConsumer):
    def handle_events(self, events: list[Any], subscription: Any) -> list[Any]:
        return events


def keeping(iterable: Any, replicas: int = 1, **options: Any) -> Topology:
    """An iterable and who takes it."""
    return (
        Topology("keeping")
        .stage("items", from_iterable(iterable, **options))
        .stage("keep", Keep, replicas=replicas, subscribe_to=["items"])
    )


def counted(limit: int, taken: list[int]) -> Iterator[int]:
    """Numbers, and a note of how many were asked for."""
    for number in range(limit):
        taken.append(number)
        yield number


def broken(after: int) -> Iterator[int]:
    """Some numbers, then an error."""
    yield from range(after)
    raise LookupError("no more")


async def asynchronous() -> AsyncIterator[int]:
    """One number."""
    yield 1


def harness(iterable: Any, **options: Any) -> StageHarness:
    """The stage of an iterable, alone."""
    source = from_iterable(iterable, **options)
    place = source.place("items", 1.0)
    return StageHarness(source.behaviour, {"place": place}, **source.options)


# --- what it takes --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4, 5, 10, 999])
def test_a26_a_finite_iterable_of_any_size_ends_the_run(size: int) -> None:
    """Nothing, less than the demand, exactly the demand, many times the demand."""
    for seed in range(5):
        run = simulate(keeping(range(size), max_demand=5), seed=seed, laws=True)
        assert run.handled("keep") == list(range(size))
        assert run.status == "done"


def test_it_takes_no_more_than_is_asked_for() -> None:
    """GenStage 1.7: exactly the demanded number of items are taken."""
    taken: list[int] = []
    stage = harness(counted(100, taken))
    stage.subscribe(1)
    assert taken == []
    stage.ask(1, 3)
    assert taken == [0, 1, 2]
    stage.ask(1, 1)
    assert (len(taken), stage.events(1)) == (4, [[0, 1, 2], [3]])


def test_a25_options_are_given_inline_at_the_source() -> None:
    """`max_demand` at the source is for those who do not say; the dispatcher is the stage's."""
    topology = (
        Topology("inline")
        .stage("items", from_iterable(range(9), max_demand=3, dispatcher="broadcast"))
        .stage("keep", Keep, subscribe_to=["items"])
        .stage("own", Keep, subscribe_to=[SubscribeTo("items", max_demand=7, min_demand=2)])
    )
    plan = topology.plan()
    assert [each.options.max_demand for each in plan.subscriptions] == [3, 7]
    run = simulate(topology, laws=True)
    assert run.handled("keep") == run.handled("own") == list(range(9))


def test_a_list_may_be_run_again_and_a_generator_not() -> None:
    """What can be consumed once is refused the second time, and not silently empty."""
    topology = keeping([1, 2, 3])
    assert simulate(topology).handled("keep") == simulate(topology).handled("keep") == [1, 2, 3]
    topology = keeping(number for number in (1, 2, 3))
    assert simulate(topology).handled("keep") == [1, 2, 3]
    with pytest.raises(TopologyError, match=r"stages\.items\.use: cannot be run: this generator"):
        simulate(topology)
    topology = keeping(iter([1, 2, 3]))
    assert simulate(topology).handled("keep") == [1, 2, 3]
    with pytest.raises(TopologyError, match="an earlier run, or another stage, has begun"):
        simulate(topology)


def test_two_stages_do_not_share_an_iterator() -> None:
    """The second would get what the first left; it is refused when it starts."""
    source = from_iterable(iter(range(9)))
    topology = (
        Topology("two")
        .stage("one", source)
        .stage("other", source)
        .stage("keep", Keep, subscribe_to=["one", "other"])
    )
    with pytest.raises(OptionError, match="iterable must be consumed by one stage of one run"):
        simulate(topology)


# --- what it refuses ------------------------------------------------------------------------------


def ended() -> Iterator[int]:
    """A generator that has ended."""
    generator = iter(i for i in range(0))
    list(generator)
    return generator


def closed() -> Any:
    """A file that is closed."""
    with tempfile.TemporaryFile() as file:
        return file


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("text", "open"),
        (b"bytes", "open"),
        ({"a": 1}, "items"),
        (5, "not one"),
        (None, "not one"),
        (asynchronous, "call it"),
        (counted, "call it"),
        (list, "call it"),
        (ended(), "has ended"),
        (closed(), "closed"),
    ],
)
def test_a23_what_cannot_be_a_source_is_refused_at_the_call(value: Any, hint: str) -> None:
    """It names the parameter, the rule and the value, and says what to do."""
    with pytest.raises(OptionError, match=f"iterable must be an iterable of events.*{hint}"):
        from_iterable(value)


@pytest.mark.parametrize(
    ("option", "value"),
    [("replicas", 2), ("args", {"a": 1}), ("restart", "permanent"), ("restart", "transient")],
)
def test_what_has_no_meaning_for_an_iterable_is_refused(option: str, value: Any) -> None:
    """It cannot be shared, has no constructor, and cannot begin again."""
    with pytest.raises(OptionError, match=f"{option} must be .* for a source in the program"):
        Topology("x").stage("items", from_iterable([1]), **{option: value})


def test_an_open_file_and_a_sequence_are_iterables() -> None:
    """A file gives its lines; an object with ``__getitem__`` its items."""

    class Old:
        def __getitem__(self, index: int) -> int:
            return [1, 2][index]

    assert simulate(keeping(io.StringIO("a\nb\n"))).handled("keep") == ["a\n", "b\n"]
    assert simulate(keeping(Old())).handled("keep") == [1, 2]


def test_an_asynchronous_one_cannot_be_simulated() -> None:
    """A simulation has no event loop, and says so."""
    with pytest.raises(OptionError, match="no asynchronous one in a simulation"):
        simulate(keeping(asynchronous()))


# --- ends and errors ------------------------------------------------------------------------------


def test_an_exception_in_the_iterable_ends_the_run_and_is_not_restarted() -> None:
    """What came before it was sent; a restart would take its end for the iterable's."""
    run = simulate(keeping(broken(after=5), max_demand=2), check=False)
    assert run.status == "failed"
    assert isinstance(run.error, LookupError)
    assert run.error.args == ("no more",)
    assert run.report.stage("items").events_out == 5
    assert run.report.stage("items").restarts == 0


def test_the_default_restart_of_a_topology_is_not_meant_for_it() -> None:
    """A permanent stage would be started again after its end, with nothing left to give."""
    from actorflow import Defaults

    topology = Topology("defaults", defaults=Defaults(restart="permanent")).stage(
        "items", from_iterable([])
    )
    assert topology.plan().children[0].restart == "transient"


def test_a_temporary_one_that_fails_leaves_the_rest_to_its_consumers() -> None:
    """With ``restart="temporary"`` their cancel modes decide, as for any stage."""
    topology = (
        Topology("temporary")
        .stage("broken", from_iterable(broken(after=2)), restart="temporary")
        .stage("whole", from_iterable(range(20)))
        .stage("keep", Keep, subscribe_to=[SubscribeTo("broken", cancel="temporary"), "whole"])
    )
    run = simulate(topology, check=False)
    assert run.status == "done"
    assert set(run.handled("keep")) == set(range(20))


# --- nothing is lost ------------------------------------------------------------------------------


@pytest.mark.parametrize("shutdown", [5.0, "brutal_kill"])
@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_no_item_is_lost_when_others_die(strategy: str, shutdown: Any) -> None:
    """Also when the source is started again with its group: it goes on with what is unfinished."""
    groups = 0
    for seed in seeds(25):
        topology = (
            Topology("dying", supervisor=SupervisorOptions(strategy=strategy))
            .stage("items", from_iterable(iter(range(40)), max_demand=5), shutdown=shutdown)
            .stage("pass", Pass, replicas=2, subscribe_to=["items"])
            .stage("keep", Keep, subscribe_to=[SubscribeTo("pass", max_demand=4)])
        )
        run = simulate(
            topology,
            seed=seed,
            faults=Faults(crashes=2, stages=("pass", "keep")),
            laws=True,
            check=False,
        )
        groups += run.report.stage("items").restarts
        if run.status == "done":  # killed before it was ever ready, a stage fails the run
            assert set(run.handled("keep")) == set(range(40)), f"seed {seed}"
    assert (groups > 0) == (strategy == "one_for_all")


def test_a_source_has_no_class_of_its_own_to_begin_again() -> None:
    """Each plan has a place of its own; the source is what they share."""
    source = from_iterable([1])
    assert isinstance(source, IterableSource)
    assert source.place("a", 1.0) is not source.place("a", 1.0)
