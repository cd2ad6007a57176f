"""Runs inside a program: several at once, as actors, from scripts, and nothing left behind."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import psutil
import pykka
import pytest

from actorflow import Producer, SubscribeTo, Supervisor, Topology
from tests.end_to_end.helpers import (
    Events,
    alive,
    descendants,
    descriptors,
    finish,
    how_many_in,
    kill,
    numbers_in,
    start_python,
    wait_until,
)
from tests.end_to_end.stages import Collect, Count, Numbers, Pass, Sink
from tests.stopwatch import within

pytestmark = pytest.mark.processes


def counting(limit: int | None = 100) -> Topology:
    """Numbers, counted."""
    return (
        Topology("counting")
        .stage("numbers", Numbers, args={"limit": limit})
        .stage("pass", Pass, subscribe_to=["numbers"])
        .stage("count", Count, subscribe_to=["pass"])
    )


def test_two_runs_in_one_program_do_not_know_of_each_other(tmp_path: Path) -> None:
    """Two runs of one topology have processes, names and ends of their own."""
    journals = [tmp_path / "first", tmp_path / "second"]
    topologies = [
        Topology("same")
        .stage("numbers", Numbers)
        .stage(
            "sink",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("numbers", max_demand=10)],
        )
        for journal in journals
    ]
    events = [Events(), Events()]
    with topologies[0].start(events[0]) as first, topologies[1].start(events[1]) as second:
        for journal in journals:
            wait_until(lambda journal=journal: how_many_in(journal) > 20, "events to flow")
        kill(first, "sink")
        events[0].restarted("sink")
        assert first.drain(timeout=50).status == "done"
        assert not second.over
        seen = how_many_in(journals[1])
        wait_until(lambda: how_many_in(journals[1]) > seen + 20, "the other to go on")
        assert second.stats().stage("sink").restarts == 0
        outcome = second.drain(timeout=50)
    assert numbers_in(journals[1]) == list(range(outcome.results["numbers"]))


def test_twenty_runs_leave_no_descriptor_and_no_process() -> None:
    """The host has as many descriptors and children after twenty runs as before."""
    with counting().start() as run:
        run.wait(50)
    before = descriptors(), descendants()
    for _ in range(20):
        with counting().start() as run:
            assert run.wait(50)["count"]["events"] == 100
    assert (descriptors(), descendants()) == before


def test_a_supervisor_is_an_actor_among_others() -> None:
    """`Supervisor.start(topology)` gives a pykka actor, which `stop_all` ends with all its own."""
    supervisor = Supervisor.start(counting(limit=None))
    proxy = supervisor.proxy()
    children = wait_until(
        lambda: (
            all(child.state == "running" for child in proxy.which_children().get(timeout=5))
            and proxy.which_children().get(timeout=5)
        ),
        "the children to run",
    )
    assert proxy.count_children().get(timeout=5).active == 3
    stages = {child.pid for child in children}
    assert len(alive(stages)) == 3
    assert pykka.ActorRegistry.get_all() == [supervisor]
    pykka.ActorRegistry.stop_all(timeout=10)
    assert not supervisor.is_alive()
    assert not alive(stages)


def test_a_run_that_nobody_closes_does_not_keep_the_program_alive() -> None:
    """A script that fails while its run goes on ends at once, and takes its stages with it."""
    program = start_python(
        "-c",
        textwrap.dedent("""
            from tests.end_to_end.test_embedding import counting
            run = counting(limit=None).start()
            while any(child.state != "running" for child in run.which_children()):
                pass
            print(*(child.pid for child in run.which_children()), flush=True)
            raise SystemExit("forgotten")
        """),
    )
    with within(10):
        code, output, errors = finish(program)
    assert (code, errors.strip()) == (1, "forgotten")
    stages = {int(word) for word in output.split()}
    assert len(stages) == 3
    wait_until(lambda: not alive(stages), "the stages to be gone", 1.0)


SCRIPT = """
    import sys
    from dataclasses import dataclass
    from actorflow import Consumer, Producer, ProducerConsumer, Topology

    @dataclass
    class Reading:
        value: int

    class TooHot(Exception):
        def __init__(self, reading, limit):
            super().__init__(f"{reading.value} is above {limit}")

    class Readings(Producer):
        def __init__(self, make):
            self.make = make
            self.left = list(range(10))

        def handle_demand(self, demand):
            taken, self.left = self.left[:demand], self.left[demand:]
            if not self.left:
                self.finish()
            return [self.make(value) for value in taken]

    class Keep(ProducerConsumer):
        def __init__(self, when):
            self.when = when

        def handle_events(self, events, subscription):
            return [event for event in events if self.when(event)]

    class Total(Consumer):
        def __init__(self, limit):
            self.limit = limit
            self.total = 0

        def handle_events(self, events, subscription):
            for event in events:
                if event.value > self.limit:
                    raise TooHot(event, self.limit)
                self.total += event.value

        def on_stop(self, reason):
            self.set_result(Reading(self.total))

    if __name__ == "__main__":
        topology = (
            Topology("script")
            .stage("readings", Readings, args={"make": lambda value: Reading(value)})
            .stage("odd", Keep, args={"when": lambda it: it.value % 2}, subscribe_to=["readings"])
            .stage("total", Total, args={"limit": LIMIT}, subscribe_to=["odd"])
        )
        with topology.start(lambda event: None) as run:
            result = run.wait(50)["total"]
            print(type(result) is Reading, result.value)
"""


def test_classes_of_a_script_and_lambdas_work(tmp_path: Path) -> None:
    """Stages, events and results may be defined in ``__main__``, and arguments may be lambdas."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.replace("LIMIT", "100")))
    assert finish(start_python(str(script), cwd=tmp_path)) == (0, "True 25\n", "")


def test_an_exception_class_of_a_script_arrives(tmp_path: Path) -> None:
    """An exception of a class in ``__main__`` is told with its name, text and remote traceback."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.replace("LIMIT", "6")))
    code, output, errors = finish(start_python(str(script), cwd=tmp_path))
    assert (code, output) == (1, "")
    assert "TooHot: 7 is above 6\nraised in stage total/0" in errors
    assert 'script.py", line 40, in handle_events' in errors
    assert errors.count("Traceback (most recent call last)") == 2  # the stage's and the script's


def test_a_script_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in a program of one's own is a KeyboardInterrupt there, and the end of the stages."""
    program = start_python(
        "-c",
        textwrap.dedent("""
            from tests.end_to_end.test_embedding import counting
            with counting(limit=None).start() as run:
                while any(child.state != "running" for child in run.which_children()):
                    pass
                try:
                    print(*(child.pid for child in run.which_children()), flush=True)
                    run.wait(60)
                except KeyboardInterrupt:
                    print("interrupted", run.over, flush=True)
            print(run.outcome().status)
        """),
        start_new_session=True,
    )
    assert program.stdout is not None
    stages = {int(word) for word in program.stdout.readline().split()}
    assert len(alive(stages)) == 3
    os.killpg(program.pid, signal.SIGINT)
    code, output, errors = finish(program)
    assert (code, output, errors) == (0, "interrupted False\nstopped\n", "")
    assert not alive(stages)


class Named(Producer):
    """Tells how its process is called."""

    def handle_demand(self, demand: int) -> list[str]:
        self.finish()
        return []

    def on_stop(self, reason: object) -> None:
        self.set_result((psutil.Process().name(), os.getpid(), self.name, self.index))


def test_a_process_is_named_after_its_stage() -> None:
    """What `ps` and `top` show says which stage it is."""
    topology = Topology("named").stage("named", Named).stage("sink", Sink, subscribe_to=["named"])
    with topology.start() as run:
        title, _, name, index = run.wait(50)["named"]
    assert (name, index) == ("named", 0)
    assert "named/0" in title
