"""ConsumerSupervisor with real children: processes, workers, threads and tasks."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from actorflow import (
    CallError,
    ChildTemplate,
    ConsumerSupervisor,
    NoSuchChild,
    OptionError,
    ProducerConsumerSupervisor,
    Run,
    SubscribeTo,
    SupervisorOptions,
    Topology,
)
from tests.end_to_end import children
from tests.end_to_end.children import Keep
from tests.end_to_end.helpers import Events, alive, kill, pids, wait_until
from tests.end_to_end.stages import Idle, Numbers

pytestmark = pytest.mark.processes

FORKED = ["process", "worker"]


def template(run: Any, kind: str = "worker", *arguments: Any, **options: Any) -> ChildTemplate:
    """A template, with two workers unless it says otherwise."""
    if kind == "worker":
        options.setdefault("workers", 2)
    return ChildTemplate(run=run, kind=kind, arguments=arguments, **options)  # type: ignore[arg-type]


def fed(of: ChildTemplate, *, max_demand: Any = 10, **options: Any) -> Topology:
    """A source that emits what it is cast, and a supervisor for each of its events."""
    args = {"template": of, **options}
    return (
        Topology("fed", supervisor=SupervisorOptions(max_restarts=3, max_seconds=60))
        .stage("source", Idle)
        .stage(
            "jobs",
            ConsumerSupervisor,
            args=args,
            shutdown=10.0,
            subscribe_to=[SubscribeTo("source", max_demand=max_demand, cancel="temporary")],
        )
    )


def chain(of: ChildTemplate, limit: int, *, max_demand: Any = 10, **options: Any) -> Topology:
    """Numbers, a child for each, and a sink that keeps the results."""
    return (
        Topology("chain", supervisor=SupervisorOptions(max_restarts=5, max_seconds=60))
        .stage("numbers", Numbers, args={"limit": limit})
        .stage(
            "jobs",
            ProducerConsumerSupervisor,
            args={"template": of, **options},
            shutdown=10.0,
            subscribe_to=[SubscribeTo("numbers", max_demand=max_demand)],
        )
        .stage("sink", Keep, subscribe_to=["jobs"])
    )


def started(topology: Topology) -> tuple[Run, Events]:
    """Start, and wait until every stage runs."""
    events = Events()
    run = topology.start(events)
    events.started(*(stage.name for stage in topology.stages))
    return run, events


def lines(path: Path) -> list[list[str]]:
    """The words of each line of a journal."""
    if not path.exists():
        return []
    return [line.split() for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("kind", "run"),
    [
        ("process", children.double),
        ("process", children.Doubles),
        ("worker", children.double),
        ("worker", children.Doubles),
        ("thread", children.double),
        ("thread", children.Doubles),
        ("task", children.double_later),
    ],
)
@pytest.mark.parametrize("max_demand", [1, 10, "auto"])
def test_s088_each_event_has_a_child_and_each_result_flows_on(
    kind: str, run: Any, max_demand: Any
) -> None:
    """Whatever lives how: every number comes out doubled, once."""
    with chain(template(run, kind), 30, max_demand=max_demand).start() as going:
        results = going.wait(timeout=50)
    assert sorted(results["sink"]) == [2 * number for number in range(30)]


@pytest.mark.parametrize("kind", FORKED)
def test_s082_a_killed_child_is_run_again_and_costs_nobody_else(kind: str, tmp_path: Path) -> None:
    """One event in ten kills its process: each result is there, once."""
    of = template(children.kill_once, kind, str(tmp_path / "kills"))
    with chain(of, 100, max_demand=40, max_restarts=20).start() as run:
        results = run.wait(timeout=50)
    assert sorted(results["sink"]) == [2 * number for number in range(100)]


@pytest.mark.parametrize("kind", FORKED)
def test_s082_a_temporary_child_that_is_killed_is_counted(kind: str, tmp_path: Path) -> None:
    """And not run again; those beside it, in the same worker's pipe, are."""
    of = template(children.kill_once, kind, str(tmp_path / "kills"), restart="temporary")
    with chain(of, 100, max_demand=100).start() as run:
        results = run.wait(timeout=50)
    assert sorted(results["sink"]) == [2 * n for n in range(100) if n % 10 != 3]


def test_s082_a_killed_fork_server_costs_its_children_one_life(tmp_path: Path) -> None:
    """Those that it had begun are run again, by another; each result is there, once."""
    of = template(children.kill_fork_server_once, "process", str(tmp_path / "kills"))
    with chain(of, 30, max_demand=4, max_restarts=100).start() as run:
        results = run.wait(timeout=50)
    assert sorted(results["sink"]) == [2 * number for number in range(30)]


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limits")
def test_s084_children_for_which_there_is_no_descriptor_are_started_later(tmp_path: Path) -> None:
    """Their ends are seen, too, where none is left to wait on."""
    of = template(children.starve_fork_server, "process", str(tmp_path / "journal"))
    with chain(of, 8, max_demand=4, max_restarts=1000).start() as run:
        results = run.wait(timeout=50)
    assert sorted(results["sink"]) == [2 * number for number in range(8)]


def test_a_child_whose_output_cannot_be_flushed_ends_in_good_order() -> None:
    """It does not return into the process that forked it, to fork and report there."""
    run, _ = started(fed(template(children.break_stdout, "process", restart="temporary")))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", [1, 2])
        counts = wait_until(lambda: _when_idle(jobs), "both to end")
        assert (counts.finished, counts.failed) == (2, 0)


def test_an_event_that_cannot_be_passed_on_is_its_own_bad_end() -> None:
    """Into the program's source, from there to the stage, and then to no child."""
    run, events = started(fed(template(children.large, "process", restart="temporary")))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", [b"a", children.Weary(2), b"b"])
        wait_until(lambda: jobs.count_children().finished == 2, "the good ones to end")
        wait_until(lambda: jobs.count_children().failed == 1, "the other to be counted")
    assert any("it goes no further" in error for error in events.errors("jobs"))


@pytest.mark.parametrize("kind", FORKED)
def test_b21_a_killed_supervisor_takes_its_children_along_and_no_event(
    kind: str, tmp_path: Path
) -> None:
    """Kill -9 of the stage: no child survives it, and its successor begins their events anew."""
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    of = template(children.wait_for_gate, kind, str(journal), str(gate))
    with chain(of, 2, max_demand=2).start() as run:
        wait_until(lambda: len(lines(journal)) == 2, "both children to run")
        first = {int(words[0]) for words in lines(journal)}
        assert len(alive(first)) == 2
        kill(run, "jobs")
        wait_until(lambda: not alive(first), "the children to die")
        wait_until(lambda: len(lines(journal)) == 4, "both events to be begun again")
        gate.touch()
        results = run.wait(timeout=50)
    assert sorted(results["sink"]) == [0, 1]


@pytest.mark.parametrize("kind", FORKED)
def test_s081_s087_children_by_hand(kind: str, tmp_path: Path) -> None:
    """Started, seen, counted, ended; the second call finds nothing."""
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    of = template(children.wait_for_gate, kind, str(journal), str(gate), shutdown=0.2)
    run, _ = started(fed(of))
    with run:
        jobs = run.consumer_supervisor("jobs")
        row = jobs.start_child("by hand")
        assert (row.id, row.state, row.by_hand) == (1, "running", True)
        wait_until(lambda: lines(journal), "it to run")
        (pid, *_) = lines(journal)[0]
        # The child may write before its fork server has said which process it is.
        wait_until(lambda: jobs.which_children()[0].pid, "its process to be known")
        assert [(each.id, each.pid) for each in jobs.which_children()] == [(1, int(pid))]
        counts = jobs.count_children()
        assert (counts.specs, counts.active, counts.workers, counts.supervisors) == (1, 1, 1, 0)
        jobs.terminate_child(1)
        assert not alive({int(pid)})
        assert jobs.count_children().workers == 0
        with pytest.raises(NoSuchChild):
            jobs.terminate_child(1)


@pytest.mark.parametrize("kind", FORKED)
def test_s080_the_template_is_replaced_while_it_runs(kind: str, tmp_path: Path) -> None:
    """Also workers that were forked before run the new one; a bad one changes nothing."""
    old, new = tmp_path / "old", tmp_path / "new"
    run, _ = started(fed(template(children.say_pid, kind, str(old))))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", [1, 2])
        wait_until(lambda: len(lines(old)) == 2, "the old template to run")
        with pytest.raises(OptionError, match="keeps its processes"):
            jobs.replace_template(template(children.double, "thread"))
        jobs.replace_template(template(children.say_pid, kind, str(new)))
        run.cast("source", [3, 4])
        wait_until(lambda: len(lines(new)) == 2, "the new template to run")
    assert len(lines(old)) == 2


@pytest.mark.parametrize("kind", FORKED)
def test_s086_a_stop_asks_children_first(kind: str, tmp_path: Path) -> None:
    """They get SIGTERM and end by themselves, before their time is up."""
    journal = tmp_path / "journal"
    of = template(children.ends_politely, kind, str(journal), shutdown="infinity")
    run, _ = started(fed(of))
    with run:
        run.cast("source", [1, 2])
        wait_until(lambda: len(lines(journal)) == 2, "both to run")
        running = {int(words[0]) for words in lines(journal)}
    assert [words for words in lines(journal) if words == ["asked"]] == [["asked"]] * 2
    assert not alive(running)


@pytest.mark.parametrize("kind", [*FORKED, "thread"])
def test_large_events_and_results_pass_each_other(kind: str) -> None:
    """Much more than a pipe holds, both ways at once: nobody waits for the other to read."""
    events = [bytes([number]) * 500_000 for number in range(24)]
    topology = (
        Topology("large")
        .stage("source", Idle)
        .stage(
            "jobs",
            ProducerConsumerSupervisor,
            args={"template": template(children.large, kind)},
            subscribe_to=[SubscribeTo("source", max_demand=24)],
        )
        .stage("sink", Keep, args={"lengths": True}, subscribe_to=["jobs"])
    )
    run, _ = started(topology)
    with run:
        run.cast("source", events)
        wait_until(lambda: run.stats().stage("sink").events_in == 24, "all results")
        outcome = run.drain(timeout=50)
    assert outcome.results["sink"] == [500_000] * 24


@pytest.mark.parametrize("kind", FORKED)
def test_a_result_that_cannot_travel_is_a_bad_end(kind: str) -> None:
    """It is counted and logged; the process goes on."""
    run, events = started(fed(template(children.unsendable, kind, restart="temporary")))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", [1])
        wait_until(lambda: jobs.count_children().failed, "its end")
        assert jobs.count_children().failed == 1
    assert any("cannot be sent" in error for error in events.errors("jobs"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("kind", FORKED)
def test_a_child_has_nothing_of_its_stage(kind: str) -> None:
    """No link, no control socket, no poller: what it says its end on, and a worker's tasks."""
    with chain(template(children.open_descriptors, kind), 4).start() as run:
        results = run.wait(timeout=50)
    allowed = ["/memfd"] if kind == "process" else ["pipe", "pipe"]
    assert [sorted(found) for found in results["sink"]] == [allowed] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="knows a worker by its name in /proc")
def test_an_event_that_kills_whoever_reads_it_is_its_own_end() -> None:
    """Not run, not counted against those beside it, and no worker dies of it twice."""
    of = template(children.say_pid, "worker", "/dev/null", restart="temporary")
    run, _ = started(fed(of))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", [1, children.DiesWhenRead(2), 3, 4, children.DiesWhenRead(5), 6])
        wait_until(lambda: jobs.count_children().finished == 4, "the good ones to end")
        counts = wait_until(lambda: _when_idle(jobs), "all to end")
        assert (counts.finished, counts.failed) == (4, 2)


def _when_idle(jobs: Any) -> Any:
    counts = jobs.count_children()
    return counts if counts.started and not counts.workers else None


def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """It had nothing in hand, so nobody's end is bad."""
    journal = tmp_path / "journal"
    of = template(children.say_pid, "worker", str(journal), workers=1, restart="temporary")
    run, _ = started(fed(of))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", [1])
        wait_until(lambda: jobs.count_children().finished == 1, "the first")
        os.kill(int(lines(journal)[0][0]), signal.SIGKILL)
        run.cast("source", [2, 3])
        wait_until(lambda: jobs.count_children().finished == 3, "the others")
        assert jobs.count_children().failed == 0
    assert len({words[0] for words in lines(journal)}) == 2


def test_s078_a_bad_template_does_not_start() -> None:
    """Where the program says it, before anything runs."""
    with pytest.raises(OptionError, match="must be able to end"):
        template(children.double, restart="permanent")


def test_a_request_that_is_none_of_its_own_is_the_users(tmp_path: Path) -> None:
    """A plain call reaches `handle_call`, which the class does not define: that ends the stage."""
    run, events = started(fed(template(children.double)))
    with run:
        before = pids(run)["jobs/0"]
        with pytest.raises(CallError):
            run.call("jobs", "anything")
        events.restarted("jobs")
        assert pids(run)["jobs/0"] != before
