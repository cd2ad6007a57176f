"""Starting and stopping one by one: the order, restarts in it, failures on the way, deadlines."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from actorflow import (
    Backoff,
    Consumer,
    Producer,
    StageDown,
    StartFailed,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Message
from actorflow.supervision import operations, subtrees
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.events import ChildEnded, ChildReady, DownMessage, SupervisorEvent
from actorflow.supervision.specs import StageSpec
from actorflow.testing import Simulation, spend
from actorflow.testing.topologies import Numbers, Sink, Through
from tests.seeds import seeds

SEEDS = seeds(25)
ONE_BY_ONE = SupervisorOptions(order="one_by_one")


class Staged(Producer):
    """Has nothing to say; its start and its end take their time, and may fail."""

    def __init__(self, start: float = 0.0, end: float = 0.0, fails: float = 0) -> None:
        if fails:
            raise ValueError("not today")
        spend(start)
        self.end = end

    def on_stop(self, reason: Any) -> None:
        spend(self.end)

    def handle_demand(self, demand: int) -> None:
        """Nothing."""

    def handle_call(self, request: Any, sender: Any) -> Any:
        return request


class Watched:
    """A simulated run, and what happened to its processes, as short words in their order.

    ``+a`` a is made, ``a`` it is ready, ``?a`` it is asked to stop, ``-a`` it is gone.
    """

    def __init__(self, topology: Topology, seed: int = 0) -> None:
        self.simulation = Simulation(topology, seed=seed)
        self.core = self.simulation.core
        self.said: list[str] = []
        self.events: list[SupervisorEvent] = []
        world, report = self.simulation.world, self.core.report
        spawn, send = world.spawn, world.send

        def watch_spawn(child: Incarnation, spec: StageSpec) -> None:
            self.said.append(f"+{child.stage.name}")
            spawn(child, spec)

        def watch_send(child: Incarnation, message: Message) -> None:
            if b"Stop" in getattr(message, "body", b""):
                self.said.append(f"?{child.stage.name}")
            send(child, message)

        def watch_report(event: SupervisorEvent) -> None:
            self.events.append(event)
            if isinstance(event, ChildReady):
                self.said.append(event.child.stage.name)
            elif isinstance(event, ChildEnded):
                self.said.append(f"-{event.child.stage.name}")
            report(event)

        world.spawn = watch_spawn  # type: ignore[method-assign]
        world.send = watch_send  # type: ignore[method-assign]
        self.core.report = watch_report

    def child(self, name: str) -> Child:
        """The stage of that name."""
        return self.core.children[StageId(name)]

    def states(self) -> dict[str, str]:
        """Where each stands."""
        rows = operations.which_children(self.core)
        return {row.id.partition("/")[0]: row.state for row in rows}

    def until(self, condition: Callable[[], bool]) -> None:
        """Let things happen."""
        self.simulation.run_until(condition)
        assert condition(), "the run is over before"

    def until_all_run(self, generation: int = 1) -> None:
        """Let everybody become ready, in at least that life."""
        self.until(
            lambda: all(
                child.state is ChildState.RUNNING and child.generation >= generation
                for child in self.core.in_order()
            )
        )

    def take(self) -> str:
        """What has happened since the last time."""
        said, self.said = " ".join(self.said), []
        return said

    def kill(self, name: str) -> None:
        """End a process."""
        self.simulation.world.signal(self.child(name).incarnation, "kill")


def staged(names: str, *, strategy: str = "one_for_one", **arguments: dict[str, float]) -> Topology:
    """Stages one by one, each with its constructor's arguments."""
    rules = SupervisorOptions(order="one_by_one", strategy=strategy)
    topology = Topology("staged", supervisor=rules)
    for name in names:
        topology = topology.stage(name, Staged, args=arguments.get(name, {}))
    return topology


def test_each_starts_when_the_one_before_has_and_stops_when_the_one_after_is_gone() -> None:
    """Whatever the delays; who waits for its turn says so, and has no process."""
    for seed in SEEDS:
        run = Watched(staged("abc", a={"start": 0.3}, c={"end": 0.2}), seed)
        run.until(lambda run=run: run.child("a").state is ChildState.STARTING)  # type: ignore[misc]
        assert run.states() == {"a": "starting", "b": "waiting", "c": "waiting"}
        assert operations.count_children(run.core) == operations.ChildCounts(3, 1, 0)
        run.until_all_run()
        assert run.take() == "+a a +b b +c c"
        assert run.simulation.stop().status == "stopped"
        assert run.take() == "?c -c ?b -b ?a -a"


def test_replicas_are_children_each() -> None:
    """One replica is there before the next is made, also of those that are added."""
    run = Watched(Topology("many", supervisor=ONE_BY_ONE).stage("a", Staged, replicas=3))
    run.until_all_run()
    assert run.take() == "+a a +a a +a a"
    run.core.scaling.scale("a", 5, 10.0)
    run.until(lambda: len(run.core.children) == 5)
    run.until_all_run()
    assert run.take() == "+a a +a a"


def test_a_start_that_fails_stops_the_others_in_reverse_and_is_the_runs_error() -> None:
    """The one after it is never made; the error is the stage's own exception."""
    for seed in SEEDS:
        run = Watched(staged("abcd", a={"end": 0.1}, c={"fails": True}), seed)
        finished = run.simulation.finish(check=False)
        assert finished.status == "failed"
        assert isinstance(finished.error, ValueError)
        assert str(finished.error) == "not today"
        assert run.take() == "+a a +b b +c -c -d ?b -b ?a -a"
        last = [each for each in run.events if isinstance(each, ChildEnded)][1]
        assert (str(last.child), last.pid, last.normal) == ("d/0#1", 0, True)


def test_a_start_that_fails_below_is_the_start_of_all_above() -> None:
    """The supervisors around it have not started either: everything started before is stopped."""
    topology = staged("abcd", c={"fails": True})
    topology = topology.supervise("outer", ["b"], order="one_by_one")
    topology = topology.supervise("inner", ["c"], inside="outer", order="one_by_one")
    run = Watched(topology)
    assert isinstance(run.simulation.finish(check=False).error, ValueError)
    assert run.take() == "+a a +b b +c -c -d ?b -b ?a -a"


def test_a_start_that_is_too_long_is_a_failed_start() -> None:
    """`start_within` counts from the moment when its turn has come."""
    rules = SupervisorOptions(order="one_by_one")
    topology = (
        Topology("late", supervisor=rules)
        .stage("a", Staged, args={"start": 3.0}, start_within=4)
        .stage("b", Staged, args={"start": 3.0}, start_within=4)
        .stage("c", Staged, args={"start": 3.0}, start_within=2)
        .stage("d", Staged)
    )
    run = Watched(topology)
    finished = run.simulation.finish(check=False)
    assert isinstance(finished.error, StartFailed)
    assert "stage c/0 was not ready within start_within=2 s" in str(finished.error)
    assert run.take() == "+a a +b b +c -c -d ?b -b ?a -a"


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("one_for_one", "-b +b b"),
        ("rest_for_one", "-b ?d -d ?c -c +b b +c c +d d"),
        ("one_for_all", "-b ?d -d ?c -c ?a -a +a a +b b +c c +d d"),
    ],
)
def test_a_group_restarts_in_the_same_order(strategy: str, said: str) -> None:
    """Stopped in reverse, one by one; started again in order, one by one; each restarted once."""
    for seed in SEEDS:
        run = Watched(staged("abcd", strategy=strategy, c={"start": 0.1, "end": 0.1}), seed)
        run.until_all_run()
        run.take()
        run.kill("b")
        run.until(lambda run=run: run.child("b").generation == 2)  # type: ignore[misc]
        run.until_all_run()
        assert run.take() == said
        again = said.count("+")
        assert sum(child.restarts for child in run.core.in_order()) == again
        assert run.simulation.stop().status == "stopped"


def test_a_restart_that_fails_is_a_restart_more_and_those_behind_it_wait() -> None:
    """With its group it begins anew; what waited for its turn was never made."""
    run = Watched(staged("abc", strategy="rest_for_one"))
    run.until_all_run()
    run.take()
    run.kill("b")
    run.until(lambda: run.child("b").state is ChildState.STARTING)
    run.kill("b")
    run.until(lambda: run.child("b").generation == 3)
    run.until_all_run()
    assert run.take() == "-b ?c -c +b -b +b b +c c"
    assert [child.restarts for child in run.core.in_order()] == [0, 2, 1]


def test_a_supervisor_that_gave_up_restarts_in_the_order_of_both() -> None:
    """Its own children as it says, in their place among those of its parent."""
    topology = staged("abcd", strategy="rest_for_one", b={"start": 0.2})
    run = Watched(topology.supervise("part", ["b", "c"], max_restarts=0))
    run.until_all_run()
    assert sorted(run.take()[5:].split()[:2]) == ["+b", "+c"]
    run.kill("c")
    run.until(lambda: run.child("c").generation == 2)
    run.until_all_run()
    said = run.take()
    assert said.startswith("-c ?d -d ?b -b +b +c ")
    assert said.endswith("+d d")
    run.core.stop()
    assert run.simulation.finish(check=False).status == "stopped"
    assert run.take().startswith("?d -d ?c ?b ")


def test_who_is_in_a_back_off_holds_up_nobody_that_has_waited_for_it_once() -> None:
    """A source that is away for a minute does not keep others from being started again."""
    topology = Topology("away", supervisor=ONE_BY_ONE)
    for name in "abc":
        backoff = Backoff(initial=60, max=60) if name == "a" else None
        topology = topology.stage(name, Staged, backoff=backoff)
    run = Watched(topology)
    run.until_all_run()
    run.take()
    run.kill("a")
    run.until(lambda: run.child("a").state is ChildState.RESTARTING)
    run.kill("b")
    run.until(lambda: run.child("b").generation == 2 and run.states()["b"] == "running")
    assert run.take() == "-a -b +b b"
    assert run.states()["a"] == "restarting"


@pytest.mark.parametrize("backoff", [None, Backoff(initial=5)])
def test_one_that_is_killed_in_its_first_start_is_waited_for(backoff: Backoff | None) -> None:
    """Those behind it may need what it was to set up; it is started again, after its back-off."""
    topology = (
        Topology("killed", supervisor=ONE_BY_ONE)
        .stage("a", Staged, backoff=backoff)
        .stage("b", Staged)
    )
    run = Watched(topology)
    run.until(lambda: run.child("a").state is ChildState.STARTING)
    run.kill("a")
    run.until_all_run()
    assert run.take() == "+a -a +a a +b b"


def test_messages_to_one_that_waits_for_its_turn_wait_too() -> None:
    """A call is answered when it is ready; one that never comes to it fails at once."""
    run = Watched(staged("abc", a={"start": 0.5}))
    run.until(lambda: run.child("a").state is ChildState.STARTING)
    answers = [operations.call(run.core, name, "hello") for name in "bc"]
    downs: list[DownMessage] = []
    operations.monitor(run.core, "c", downs.append)
    assert operations.terminate_child(run.core, "c").done()
    assert isinstance(answers[1].exception(), StageDown)
    assert [(str(down.child), down.pid, down.restarting) for down in downs] == [("c/0#1", 0, False)]
    run.until(answers[0].done)
    assert answers[0].result() == "hello"
    assert run.take() == "+a -c a +b b"
    again = operations.restart_child(run.core, "c")
    run.until(again.done)
    assert (again.result().generation, run.take()) == (2, "+c c")


def test_operations_have_their_turn_too() -> None:
    """A child that a program starts, or a part, waits for those before it that are starting."""
    topology = staged("abc", a={"start": 1.0}).supervise("part", ["b", "c"], order="one_by_one")
    run = Watched(topology)
    run.until_all_run()
    run.take()
    gone = subtrees.terminate_supervisor(run.core, "part")
    run.until(gone.done)
    assert run.take() == "?c -c ?b -b"
    run.kill("a")
    run.until(lambda: run.child("a").state is ChildState.STARTING)
    subtrees.restart_supervisor(run.core, "part")
    assert run.states() == {"a": "starting", "b": "waiting", "c": "waiting"}
    ready: Future[Any] = Future()
    run.core.ready.add(run.child("c"), ready)
    operations.terminate_child(run.core, "b")
    run.until(ready.done)
    assert run.take() == "-a +a -b a +c c"


def test_a_stop_meanwhile_starts_nobody_any_more() -> None:
    """Who is starting is stopped; who waited ends without a process."""
    for seed in SEEDS:
        run = Watched(staged("abcd", b={"start": 0.2}), seed)
        run.until(lambda run=run: run.child("b").state is ChildState.STARTING)  # type: ignore[misc]
        assert run.simulation.stop().status == "stopped"
        assert run.take() == "+a a +b -d -c ?b -b ?a -a"


@pytest.mark.parametrize(("order", "seconds"), [("one_by_one", 6.0), ("together", 2.0)])
def test_each_stop_has_its_own_time(order: str, seconds: float) -> None:
    """Three that do not end: each gets SIGTERM at half of its `shutdown`, counted from its turn."""
    topology = Topology("stubborn", supervisor=SupervisorOptions(order=order))
    for name in "abc":
        topology = topology.stage(name, Staged, args={"end": 1e9}, shutdown=2.0)
    run = Watched(topology)
    run.until_all_run()
    began = run.simulation.world.now()
    assert operations.stop(run.core, "shutdown") == seconds
    run.simulation.finish(check=False)
    assert run.simulation.world.now() - began == pytest.approx(seconds / 2, abs=0.4)


def test_who_ends_by_itself_before_its_turn_is_not_started_again() -> None:
    """It was to stop anyway, however it ends; and the next has its turn."""
    topology = staged("abc", c={"end": 3.0}).supervise("part", [*"abc"], order="one_by_one")
    run = Watched(topology)
    run.until_all_run()
    run.take()
    subtrees.terminate_supervisor(run.core, "part")
    assert set(run.states().values()) == {"stopping"}
    run.kill("b")
    run.simulation.finish(check=False)
    assert run.take() == "?c -b -c ?a -a"


@pytest.mark.parametrize("order", ["one_by_one", "together"])
def test_a_drains_deadline_is_for_all_of_them(order: str) -> None:
    """Nobody outlives it, whether its turn to be stopped has come or not."""
    topology = Topology("stubborn", supervisor=SupervisorOptions(order=order))
    for name in "abcdef":
        topology = topology.stage(name, Staged, args={"end": 1e9}, shutdown=2.0)
    run = Watched(topology)
    run.until_all_run()
    run.core.drain(3.0)
    deadline = run.simulation.world.now() + 3.0
    assert run.simulation.finish(check=False).status == "stopped"
    assert run.simulation.world.now() <= deadline


class Lively(Sink):
    """Takes a moment for each batch."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        spend(0.001)
        super().handle_events(events, subscription)


def flowing(strategy: str) -> Topology:
    """Events through three stages, each with a supervisor of its own around the two behind it."""
    rules = SupervisorOptions(order="one_by_one", strategy=strategy, max_restarts=100)
    return (
        Topology("flowing", supervisor=rules)
        .stage("a", Numbers, args={"first": 0, "count": 40}, dispatcher="broadcast")
        .stage("b", Through, args={"rule": "identity"}, subscribe_to=["a"])
        .stage("c", Lively, subscribe_to=["b"])
        .stage("d", Lively, subscribe_to=["a"])
        .supervise("part", ["c"], order="one_by_one", strategy=strategy, max_restarts=100)
    )


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
def test_no_event_is_lost_to_the_order(strategy: str) -> None:
    """A source waits for consumers whose turn has not come; who starts again has its successor."""
    for seed in SEEDS:
        run = Watched(flowing(strategy), seed)
        run.until(lambda run=run: len(run.simulation.history) > 4)  # type: ignore[misc]
        run.kill("b")
        run.until(lambda run=run: run.child("b").generation == 2)  # type: ignore[misc]
        finished = run.simulation.finish()
        assert finished.status == "done"
        assert set(finished.handled("c")) == set(finished.handled("d")) == set(range(40)), seed


class Fleeting(Consumer):
    """Decides in its start that it is not needed."""

    def on_start(self) -> None:
        self.stop("ignore")


def test_one_that_ends_in_its_start_is_not_waited_for() -> None:
    """Its start has come to its end, in order; the next has its turn."""
    topology = Topology("brief", supervisor=ONE_BY_ONE).stage("a", Fleeting).stage("b", Staged)
    run = Watched(topology)
    run.until(lambda: run.child("b").state is ChildState.RUNNING)
    assert run.states() == {"a": "ended", "b": "running"}
