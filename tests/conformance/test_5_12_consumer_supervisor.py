"""Section 5.12: ConsumerSupervisor, with the test in the place of producer, children and caller.

OTP's return values are Python's ends: a child returns, raises, exits, is killed, is ignored.
"""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    ChildTemplate,
    ConsumerSupervisor,
    Ignore,
    IntensityExceeded,
    NoSuchChild,
    OptionError,
    Producer,
    ProducerConsumerSupervisor,
    TopologyError,
)
from actorflow.errors import RunError
from actorflow.stage.children import ChildEnd, not_started, outcome_of
from actorflow.supervision.consumer_calls import (
    CountChildren,
    ReplaceTemplate,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from actorflow.testing import StageHarness
from actorflow.testing.offspring import PlayedChildren
from actorflow.topology.model import Topology

pytestmark = pytest.mark.conformance


def work(*arguments: Any) -> Any:
    """What children run: nothing that matters, as the test says how they end."""
    return arguments


class Idle(Producer):
    """A source for the topologies that are refused."""


class Job:
    """A child that is a class."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def run(self) -> Any:
        return self.event


class Broken:
    """A child whose constructor raises, or exits, as the event says."""

    def __init__(self, error: BaseException) -> None:
        raise error

    def run(self) -> None:
        raise AssertionError("it is never constructed")


class Supervisor:
    """A harness with a ConsumerSupervisor, and what the tests ask of it."""

    def __init__(self, template: Any = work, *, producing: bool = False, **options: Any) -> None:
        restart = {k: options.pop(k) for k in ("restart", "shutdown", "timeout") if k in options}
        if restart:
            template = ChildTemplate(run=template, **restart)
        behaviour = ProducerConsumerSupervisor if producing else ConsumerSupervisor
        self.harness = StageHarness(behaviour, {"template": template, **options})

    @property
    def children(self) -> PlayedChildren:
        assert self.harness.offspring is not None
        return self.harness.offspring

    def subscribe(self, max_demand: Any, min_demand: int | None = None, **options: Any) -> None:
        if min_demand is not None:
            options["min_demand"] = min_demand
        self.harness.link_to_producer(1, "numbers", max_demand=max_demand, **options)

    def route(self, *events: Any) -> None:
        self.harness.route(1, events)

    @property
    def asks(self) -> list[int]:
        return self.harness.asks(1)

    @property
    def running(self) -> list[int]:
        return list(self.children.running)

    def states(self) -> list[tuple[int, str]]:
        return [(row.id, row.state) for row in self.harness.call(WhichChildren())]

    def counts(self) -> tuple[int, int]:
        counts = self.harness.call(CountChildren())
        assert (counts.specs, counts.supervisors) == (1, 0)
        return counts.active, counts.workers


# --- 78 to 81: specification, replacement, children by hand ---------------------------------------


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("restart", {"template": {"run": work, "restart": "permanent"}}),
        ("restart", {"template": {"run": work, "restart": "always"}}),
        ("shutdown", {"template": {"run": work, "shutdown": -1}}),
        ("shutdown", {"template": {"run": work, "shutdown": "later"}}),
        ("shutdown", {"template": {"run": work, "shutdown": True}}),
        ("timeout", {"template": {"run": work, "timeout": 0}}),
        ("workers", {"template": {"run": work, "workers": 0}}),
        ("workers", {"template": {"run": work, "workers": 2, "kind": "process"}}),
        ("kind", {"template": {"run": work, "kind": "fork"}}),
        ("run", {"template": {"run": 7}}),
        ("run", {"template": {"run": "nowhere:work"}}),
        ("run", {"template": {"run": str}}),
        ("run", {"template": {"run": work, "kind": "task"}}),
        ("arguments", {"template": {"run": work, "arguments": "text"}}),
        ("template", {"template": {"restart": "transient"}}),
        ("template", {"template": {"run": work, "restrat": "transient"}}),
        ("template", {"template": [work, work]}),
        ("template", {"template": []}),
        ("strategy", {"template": work, "strategy": "one_for_all"}),
        ("max_restarts", {"template": work, "max_restarts": -1}),
        ("max_restarts", {"template": work, "max_restarts": "3"}),
        ("max_seconds", {"template": work, "max_seconds": "5"}),
    ],
)
def test_s078_each_bad_specification_is_its_own_error(
    option: str, arguments: dict[str, Any]
) -> None:
    """The same typed error from the class, and where a topology is declared."""
    with pytest.raises(OptionError) as caught:
        ConsumerSupervisor(**arguments)
    assert caught.value.option == option
    topology = (
        Topology("t")
        .stage("source", Idle)
        .stage("jobs", ConsumerSupervisor, args=arguments, subscribe_to=["source"])
    )
    (problem,) = topology.problems()
    assert option in str(problem)
    with pytest.raises(TopologyError):
        topology.start()


def test_s078_a_permanent_template_is_refused_with_the_reason() -> None:
    """At the call itself, in the program that makes it."""
    with pytest.raises(OptionError, match="the child of an event must be able to end"):
        ChildTemplate(run=work, restart="permanent")  # type: ignore[arg-type]


@pytest.mark.parametrize("template", [work, f"{__name__}:work", {"run": work}, Job])
def test_s079_every_form_of_a_template(template: Any) -> None:
    """A function, its name, a map of fields, a class."""
    supervisor = Supervisor(template)
    supervisor.subscribe(2)
    supervisor.route("a")
    assert [each.arguments for each in supervisor.children.running.values()] == [("a",)]


def test_s080_a_template_is_replaced_while_children_run() -> None:
    """Children that run keep theirs, also when they are run again; new ones use the new one."""
    supervisor = Supervisor(restart="transient")
    supervisor.subscribe(4, 3)
    supervisor.route("old")
    new = ChildTemplate(run=Job, restart="temporary")
    supervisor.harness.call(ReplaceTemplate(new))
    supervisor.route("new")
    assert [child.template.run for child in supervisor.children.running.values()] == [work, Job]
    supervisor.children.raises(1)
    supervisor.children.raises(2)
    assert [child.template.run for child in supervisor.children.running.values()] == [work]


@pytest.mark.parametrize("change", [{"kind": "process"}, {"workers": 7}])
def test_s080_a_replacement_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    """The error is returned, and the supervisor is as before."""
    supervisor = Supervisor()
    supervisor.subscribe(2)
    template = ChildTemplate(run=Job, **change)
    with pytest.raises(OptionError, match="keeps its processes"):
        supervisor.harness.call(ReplaceTemplate(template))
    supervisor.route("a")
    assert [child.template.run for child in supervisor.children.running.values()] == [work]
    assert supervisor.harness.exiting is None


def test_s081_a_child_by_hand_costs_no_demand() -> None:
    """It is a child like the others, outside any subscription."""
    supervisor = Supervisor()
    supervisor.subscribe(2, 0)
    row = supervisor.harness.call(StartChild(("by", "hand")))
    assert (row.id, row.state, row.pid, row.by_hand) == (1, "running", 1, True)
    assert supervisor.children.running[1].arguments == ("by", "hand")
    supervisor.children.returns(1)
    assert supervisor.asks == [2]
    assert supervisor.counts() == (0, 0)


def test_s081_a_child_by_hand_that_cannot_start_is_the_callers_error() -> None:
    """The caller gets the system's own error; the supervisor lives."""
    supervisor = Supervisor()
    supervisor.children.refusals.append(BlockingIOError(11, "no more processes"))
    with pytest.raises(BlockingIOError, match="no more processes"):
        supervisor.harness.call(StartChild(()))
    assert supervisor.counts() == (0, 0)
    assert supervisor.harness.exiting is None


@pytest.mark.parametrize(
    ("run", "event", "reason", "normal"),
    [
        (work, 1, "normal", True),
        (Job, 1, "normal", True),
        (Broken, ValueError("no"), ["error", "ValueError: no"], False),
        (Broken, SystemExit(3), ["exit", 3], False),
        (Broken, SystemExit(0), "normal", True),
        (Broken, SystemExit(None), "normal", True),
        (Broken, SystemExit("text"), ["error", "SystemExit: text"], False),
        (Broken, KeyboardInterrupt(), ["error", "KeyboardInterrupt"], False),
        (Broken, Ignore("nothing to do"), "ignored", True),
    ],
)
def test_s081_how_a_life_ends(run: Any, event: Any, reason: Any, normal: bool) -> None:
    """What a child does, its constructor included, is its end and nobody else's."""
    end = outcome_of(run, (event,))
    assert (end.reason, end.normal) == (reason, normal)


# --- 82 to 85: restarts ---------------------------------------------------------------------------

ENDS = [
    (ChildEnd("normal", True), True),
    (ChildEnd("ignored", True), True),
    (ChildEnd(["exit", 3], False), False),
    (ChildEnd(["signal", 9], False), False),
    (ChildEnd(["error", "ValueError: no"], False), False),
]


@pytest.mark.parametrize(("end", "normal"), ENDS)
@pytest.mark.parametrize("restart", ["temporary", "transient"])
def test_s082_who_is_run_again(restart: str, end: ChildEnd, normal: bool) -> None:
    """Temporary never, transient when it ended badly."""
    supervisor = Supervisor(restart=restart)
    supervisor.subscribe(1, 0)
    supervisor.route("a")
    supervisor.children.end(1, end=end)
    again = restart == "transient" and not normal
    assert supervisor.running == ([2] if again else [])
    assert supervisor.asks == ([1] if again else [1, 1])
    if again:
        assert supervisor.children.running[2].arguments == ("a",)


def test_s083_a_restart_that_is_ignored_or_cannot_be() -> None:
    """Replaced, removed, or listed as restarting; active leaves those out, workers does not."""
    supervisor = Supervisor(restart="transient", max_restarts=10)
    supervisor.subscribe(3, 0)
    supervisor.route("a", "b", "c")
    supervisor.children.raises(1)
    assert supervisor.counts() == (3, 3)
    supervisor.children.end(4, end=ChildEnd("ignored", True))
    assert supervisor.states() == [(2, "running"), (3, "running")]
    supervisor.children.refusals.append(OSError("no more processes"))
    supervisor.children.raises(2)
    assert supervisor.states() == [(2, "restarting"), (3, "running")]
    assert supervisor.counts() == (1, 2)


def test_s084_the_second_attempt_to_restart_works() -> None:
    """The first could not be; the child is back, the supervisor alive."""
    supervisor = Supervisor(restart="transient", max_restarts=2)
    supervisor.subscribe(1, 0)
    supervisor.route("a")
    supervisor.children.refusals.append(OSError("no more processes"))
    supervisor.children.raises(1)
    assert supervisor.states() == [(1, "restarting")]
    supervisor.harness.advance(0.2)
    assert supervisor.states() == [(1, "running")]
    supervisor.children.returns(*supervisor.running)
    assert supervisor.asks == [1, 1]


def test_s084_a_child_that_was_not_started_waits_for_a_moment() -> None:
    """The word comes later than the order; what was wanting takes a moment to come back."""
    supervisor = Supervisor(restart="transient", max_restarts=2)
    supervisor.subscribe(1, 0)
    supervisor.route("a")
    supervisor.children.end(1, end=not_started("no more processes"))
    assert supervisor.states() == [(1, "restarting")]
    assert supervisor.running == []
    supervisor.harness.advance(0.2)
    assert supervisor.states() == [(1, "running")]
    supervisor.children.returns(*supervisor.running)
    assert supervisor.asks == [1, 1]


def test_s084_a_temporary_child_that_was_not_started_has_failed() -> None:
    """It has had its turn, and its event is finished."""
    supervisor = Supervisor(restart="temporary")
    supervisor.subscribe(1, 0)
    supervisor.route("a")
    supervisor.children.end(1, end=not_started("no more processes"))
    assert supervisor.harness.call(CountChildren()).failed == 1
    assert supervisor.asks == [1, 1]


def test_s085_too_many_restarts_end_the_supervisor() -> None:
    """With max_restarts 1 the second is too many; the exception of the child is the cause."""
    supervisor = Supervisor(restart="transient", max_restarts=1)
    supervisor.subscribe(2, 0)
    supervisor.route("a", "b")
    supervisor.children.raises(1, error=ValueError("no"))
    supervisor.children.raises(3, error=ValueError("no"))
    assert supervisor.children.signals == [(2, "terminate")]
    assert supervisor.harness.exiting is None
    supervisor.children.die(2, signal=15)
    assert isinstance(supervisor.harness.error, IntensityExceeded)
    assert isinstance(supervisor.harness.error.__cause__, ValueError)
    assert supervisor.harness.acked(1) == 0


def test_s085_restarts_far_apart_are_bearable() -> None:
    """The window is max_seconds long; a tiny one forgets each restart before the next."""
    supervisor = Supervisor(restart="transient", max_restarts=1, max_seconds=0.001)
    supervisor.subscribe(1, 0)
    supervisor.route("a")
    for life in range(1, 20):
        supervisor.children.raises(life)
        supervisor.harness.advance(0.01)
    assert supervisor.running == [20]


def test_s085_an_endless_failing_restart_ends_the_supervisor() -> None:
    """There are no processes to be had any more: ten attempts, then it ends."""
    supervisor = Supervisor(restart="transient", max_restarts=10)
    supervisor.subscribe(1, 0)
    supervisor.children.refusals += [OSError("no more processes") for _ in range(50)]
    supervisor.route("a")
    supervisor.harness.advance(3.0)
    assert isinstance(supervisor.harness.error, IntensityExceeded)
    assert len(supervisor.children.refusals) == 50 - 11


# --- 86 and 87: ending ----------------------------------------------------------------------------


def test_s086_brutal_kill() -> None:
    """Children are killed at once; the supervisor ends when they are gone."""
    supervisor = Supervisor(shutdown="brutal_kill")
    supervisor.subscribe(2)
    supervisor.route("a", "b")
    supervisor.harness.stop()
    assert supervisor.children.signals == [(1, "kill"), (2, "kill")]
    assert supervisor.harness.exiting is None
    supervisor.children.die(1, 2)
    assert supervisor.harness.exiting is not None
    assert supervisor.harness.exiting.reason == "shutdown"


def test_s086_infinity_never_kills() -> None:
    """However long a child takes."""
    supervisor = Supervisor(shutdown="infinity")
    supervisor.subscribe(1)
    supervisor.route("a")
    supervisor.harness.stop()
    supervisor.harness.advance(86_400)
    assert supervisor.children.signals == [(1, "terminate")]
    supervisor.children.die(1, signal=15)
    assert supervisor.harness.exiting is not None


def test_s086_a_stubborn_child_is_killed_when_its_time_is_up() -> None:
    """The others have ended by then; the stubborn one alone is killed."""
    supervisor = Supervisor(shutdown=0.001)
    supervisor.subscribe(3)
    supervisor.route("a", "b", "c")
    supervisor.harness.stop()
    assert [signal for _, signal in supervisor.children.signals] == ["terminate"] * 3
    supervisor.children.die(1, 3, signal=15)
    supervisor.harness.advance(0.002)
    assert supervisor.children.signals[3:] == [(2, "kill")]
    supervisor.children.die(2)
    assert supervisor.harness.exiting is not None


def test_s086_what_a_stop_cut_short_is_not_acknowledged() -> None:
    """What was done by then is; the rest is for somebody else."""
    supervisor = Supervisor()
    supervisor.subscribe(3)
    supervisor.route("a")
    supervisor.route("b")
    supervisor.harness.stop()
    supervisor.children.returns(1)
    supervisor.children.die(2, signal=15)
    assert supervisor.harness.acked(1) == 1


def test_s086_a_stop_without_children_is_at_once() -> None:
    """Nobody has to be waited for."""
    supervisor = Supervisor()
    supervisor.harness.stop()
    supervisor.harness.advance(0)
    assert supervisor.harness.exiting is not None
    assert supervisor.children.closed


def test_s086_what_no_signal_ends_does_not_hold_up_the_end() -> None:
    """A thread in C code ends with the process; the stage says so and ends."""
    supervisor = Supervisor(shutdown=1.0)
    supervisor.subscribe(1)
    supervisor.route("a")
    supervisor.harness.stop()
    supervisor.harness.advance(1.0)
    assert supervisor.harness.exiting is None
    supervisor.harness.advance(5.0)
    assert supervisor.harness.exiting is not None
    assert any(line.event == "a child does not end" for line in supervisor.harness.log)


@pytest.mark.parametrize(
    ("shutdown", "signals"),
    [("brutal_kill", ["kill"]), (0.5, ["terminate", "kill"]), ("infinity", ["terminate"])],
)
def test_s087_terminate_child(shutdown: Any, signals: list[str]) -> None:
    """It is gone, the answer comes then, its demand is free, and the second call finds nothing."""
    supervisor = Supervisor(shutdown=shutdown)
    supervisor.subscribe(1, 0)
    supervisor.route("a")
    call = supervisor.harness.send_call(TerminateChild(1))
    supervisor.harness.advance(1.0)
    assert [signal for _, signal in supervisor.children.signals] == signals
    assert supervisor.states() == [(1, "stopping")]
    with pytest.raises(LookupError):
        supervisor.harness.reply_to(call)
    supervisor.children.die(1)
    assert supervisor.harness.reply_to(call) is None
    assert supervisor.counts() == (0, 0)
    assert supervisor.asks == [1, 1]
    with pytest.raises(NoSuchChild):
        supervisor.harness.call(TerminateChild(1))
    assert supervisor.harness.exiting is None


def test_s087_a_child_that_is_restarting_is_terminated_at_once() -> None:
    """Its next start does not happen."""
    supervisor = Supervisor(restart="transient")
    supervisor.subscribe(1, 0)
    supervisor.children.refusals.append(OSError("no more processes"))
    supervisor.route("a")
    assert supervisor.states() == [(1, "restarting")]
    assert supervisor.harness.call(TerminateChild(1)) is None
    supervisor.harness.advance(1.0)
    assert supervisor.counts() == (0, 0)
    assert supervisor.asks == [1, 1]


# --- 88 to 93: events and demand ------------------------------------------------------------------


def test_s088_failures_count_as_finished_at_once() -> None:
    """Successes are tracked; a temporary child that fails has had its turn."""
    supervisor = Supervisor(restart="temporary")
    supervisor.subscribe(6, 5)
    supervisor.children.refusals.append(OSError("no more processes"))
    supervisor.route("a", "b", "c", "d")
    assert supervisor.running == [2, 3, 4]
    assert supervisor.asks == [6, 1]
    supervisor.children.raises(2)
    supervisor.children.end(3, end=ChildEnd("ignored", True))
    assert supervisor.running == [4]
    assert supervisor.asks == [6, 1, 1, 1]
    assert supervisor.harness.exiting is None
    assert supervisor.harness.call(CountChildren()).failed == 2
    errors = [line for line in supervisor.harness.log if line.level == "error"]
    assert [line.event for line in errors] == ["a child ended badly"] * 2


def test_s089_one_child_at_a_time() -> None:
    """Max 1, min 0: six events, each asked for when the one before is over, however it ended."""
    supervisor = Supervisor(restart="temporary", shutdown="brutal_kill")
    supervisor.subscribe(1, 0)
    ends = ["returns", "raises", "ignored", "killed", "terminated", "returns"]
    for life, how in enumerate(ends, 1):
        assert supervisor.asks == [1] * life
        supervisor.route(how)
        assert supervisor.running == [life]
        if how == "terminated":
            supervisor.harness.send_call(TerminateChild(life))
        if how == "ignored":
            supervisor.children.end(life, end=ChildEnd("ignored", True))
        elif how == "raises":
            supervisor.children.raises(life)
        elif how == "returns":
            supervisor.children.returns(life)
        else:
            supervisor.children.die(life)
    assert supervisor.asks == [1] * 7


def test_s090_a_restarting_child_keeps_its_slot() -> None:
    """No new child until it is terminated."""
    supervisor = Supervisor(restart="transient")
    supervisor.subscribe(1, 0)
    supervisor.children.refusals += [OSError("no more processes")] * 2
    supervisor.route("a")
    assert supervisor.states() == [(1, "restarting")]
    assert supervisor.asks == [1]
    supervisor.harness.call(TerminateChild(1))
    assert supervisor.asks == [1, 1]


def test_s091_children_outlive_their_producer() -> None:
    """A temporary subscription: they run on; their ends do not crash or ask."""
    supervisor = Supervisor()
    supervisor.subscribe(2, 1, cancel="temporary")
    supervisor.route("a", "b")
    supervisor.harness.hang_up(1)
    supervisor.harness.down("numbers")
    assert supervisor.running == [1, 2]
    supervisor.children.returns(1)
    supervisor.children.raises(2)
    supervisor.children.returns(3)
    assert supervisor.asks == [2]
    assert supervisor.harness.exiting is None


def test_s092_as_many_as_have_ended_may_start() -> None:
    """Max 3, min 2: two of three end, and exactly two more may start."""
    supervisor = Supervisor()
    supervisor.subscribe(3, 2)
    supervisor.route("a", "b", "c")
    supervisor.children.returns(1)
    supervisor.children.returns(2)
    assert supervisor.asks == [3, 1, 1]


def test_s093_a_short_answer_is_no_reason_to_ask() -> None:
    """Max 3, min 0, two of three: nothing more is asked for while both live."""
    supervisor = Supervisor()
    supervisor.subscribe(3, 0)
    supervisor.route("a", "b")
    assert supervisor.asks == [3]
    supervisor.children.returns(1)
    assert supervisor.asks == [3]
    supervisor.children.returns(2)
    assert supervisor.asks == [3], "one that was asked for is still on its way"
    supervisor.route("c")
    supervisor.children.returns(3)
    assert supervisor.asks == [3, 3]


# --- the proposals and the defect -----------------------------------------------------------------


def test_a11_a_failed_start_frees_its_slot_and_the_refill_rule_is_the_one_rule() -> None:
    """Max 1000, min 999: after one finish, ask 1; failed starts and ignores count as finishes."""
    supervisor = Supervisor(restart="temporary")
    supervisor.subscribe(1000, 999)
    supervisor.children.refusals.append(OSError("no more processes"))
    supervisor.route(*range(1000))
    assert len(supervisor.running) == 999
    assert supervisor.asks == [1000, 1]
    supervisor.children.end(2, end=ChildEnd("ignored", True))
    assert supervisor.asks == [1000, 1, 1]


def test_a31_the_producer_sees_asks_at_refill_points_alone() -> None:
    """1000/999: 1 after the first finish. 1000/500: one ask of 500 after the 500th."""
    supervisor = Supervisor()
    supervisor.subscribe(1000, 999)
    supervisor.route(*range(1000))
    supervisor.children.returns(1)
    assert supervisor.asks == [1000, 1]
    other = Supervisor()
    other.subscribe(1000)
    other.route(*range(1000))
    other.children.returns(*range(1, 500))
    assert other.asks == [1000]
    other.children.returns(500)
    assert other.asks == [1000, 500]


@pytest.mark.parametrize(
    ("min_demand", "asks"), [(2, [8]), (0, [10]), (8, [2, 2, 2, 2, 2]), (9, [1] * 10)]
)
def test_b14_min_demand_is_the_least_that_run(min_demand: int, asks: list[int]) -> None:
    """Ten children, ended one by one: a refill when no more than `min_demand` run or are coming."""
    supervisor = Supervisor()
    supervisor.subscribe(10, min_demand)
    supervisor.route(*range(10))
    for life in range(1, 11):
        supervisor.children.returns(life)
    assert supervisor.asks == [10, *asks]


# --- what GenStage has not ------------------------------------------------------------------------


def test_a_batch_is_acknowledged_when_all_its_children_have_ended() -> None:
    """And in order: the second batch waits for the first."""
    supervisor = Supervisor()
    supervisor.subscribe(10, 0)
    supervisor.route("a", "b")
    supervisor.route("c")
    supervisor.children.returns(1)
    supervisor.children.returns(3)
    supervisor.harness.advance(1)
    assert supervisor.harness.acked(1) == 0
    supervisor.children.returns(2)
    supervisor.harness.advance(1)
    assert supervisor.harness.acked(1) == 2


def test_the_supervisor_ends_when_its_input_has_and_its_children_have() -> None:
    """The end of the stream waits for the last child."""
    supervisor = Supervisor()
    supervisor.subscribe(2)
    supervisor.route("a")
    supervisor.harness.eos(1)
    assert supervisor.harness.exiting is None
    supervisor.children.returns(1)
    supervisor.harness.advance(0.1)
    assert supervisor.harness.exiting is not None
    assert supervisor.harness.exiting.reason == "done"


def test_a_child_that_takes_too_long_is_killed_and_run_again() -> None:
    """`timeout` counts from when it runs, not from when it waits for a place."""
    supervisor = Supervisor(restart="transient", timeout=1.0)
    supervisor.subscribe(2)
    supervisor.children.waiting = True
    supervisor.route("a")
    supervisor.harness.advance(1.5)
    assert supervisor.children.signals == []
    supervisor.children.running[1].since = supervisor.harness.clock()
    supervisor.harness.advance(0.5)
    assert supervisor.children.signals == []
    supervisor.harness.advance(1.1)
    assert supervisor.children.signals == [(1, "kill")]
    supervisor.children.die(1)
    assert supervisor.running == [2]
    reasons = [line.values.get("reason") for line in supervisor.harness.log]
    assert "timeout" in reasons


def test_a_child_that_no_signal_ends_ends_the_stage() -> None:
    """A thread in C code: the time is over, so the stage's process ends, and it with it."""
    supervisor = Supervisor(timeout=1.0)
    supervisor.subscribe(1)
    supervisor.route("a")
    supervisor.harness.advance(5.9)
    assert supervisor.harness.exiting is None
    supervisor.harness.advance(0.2)
    assert isinstance(supervisor.harness.error, RunError)


def test_results_flow_on() -> None:
    """A producing supervisor emits each result that is not None, in the order of the ends."""
    supervisor = Supervisor(producing=True)
    supervisor.subscribe(4, 0)
    supervisor.harness.subscribe(2, "sink")
    supervisor.harness.ask(2, 10)
    supervisor.route("a", "b", "c")
    supervisor.children.returns(2, result="B")
    supervisor.children.returns(1)
    supervisor.children.returns(3, result="C")
    assert supervisor.harness.events(2) == [["B"], ["C"]]
    supervisor.harness.advance(1)
    assert supervisor.harness.acked(1) == 0
    supervisor.harness.acknowledge(2)
    supervisor.harness.advance(1)
    assert supervisor.harness.acked(1) == 1


def test_without_demand_for_results_no_child_is_started() -> None:
    """A producer-consumer works when there is demand for its output."""
    supervisor = Supervisor(producing=True)
    supervisor.subscribe(4, 0)
    supervisor.harness.subscribe(2, "sink")
    supervisor.route("a", "b")
    assert supervisor.running == []
    supervisor.harness.ask(2, 1)
    assert supervisor.running == [1, 2]


def test_more_events_than_were_asked_for_are_started_and_counted() -> None:
    """They earn no refill."""
    supervisor = Supervisor()
    supervisor.subscribe(2, 0)
    supervisor.route("a", "b", "c")
    assert supervisor.running == [1, 2, 3]
    assert supervisor.harness.counters["excess"] == 1
    supervisor.children.returns(1, 2)
    assert supervisor.asks == [2]
    supervisor.children.returns(3)
    assert supervisor.asks == [2, 2]


def test_auto_demand_begins_with_what_can_run_at_once() -> None:
    """Long children are not taken from other consumers; short ones widen the window."""
    supervisor = Supervisor({"run": work, "workers": 3})
    supervisor.subscribe("auto")
    assert supervisor.asks == [3]
    supervisor.route("a", "b", "c")
    supervisor.children.end(1, end=ChildEnd("normal", True, seconds=1e-5))
    assert supervisor.asks == [3, 4], "the window is 6 now, two are running"
