"""The floors, and the peers in programs of their own: they do the work, and leave nothing."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from benchmarks import fan, wordcount
from benchmarks._floor import run_floor
from benchmarks._kinds import KINDS
from benchmarks._pipes import Crew
from benchmarks._programs import Unavailable, answer_of, started


@pytest.mark.processes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_demand", [1, 10])
def test_the_floor_moves_every_event_once(kind: str, max_demand: int) -> None:
    """Of any kind, one by one and in batches; a step is added by each stage in between."""
    total, seconds = run_floor(99, max_demand, kind, between=2)
    expected = {"integers": 4, "dicts": 4, "dataclasses": 4, "steps": 1}[kind] * (99 * 98 // 2)
    assert total == expected + (2 * 99 if kind == "steps" else 0)
    assert seconds > 0


@pytest.mark.processes
@pytest.mark.parametrize("shape", fan.SHAPES)
def test_the_floor_of_a_fan_moves_every_event_once(shape: str) -> None:
    """To all, to the one of its partition, from all."""
    assert fan.run_floor(shape, 400, 10)[0] == fan.total_of(shape, 400)


@pytest.mark.processes
def test_a_crew_that_is_interrupted_leaves_nobody() -> None:
    """Whoever waits for its pipes for ever is killed."""
    before = psutil.Process().children()

    def interrupted() -> None:
        with Crew() as crew:
            pipe = crew.pipe()
            crew.fork(pipe.receive, {pipe.reading, pipe.writing})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert psutil.Process().children() == before


@pytest.mark.processes
def test_a_crew_says_when_one_of_them_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """With what it raised on standard error."""
    with pytest.raises(RuntimeError, match="1 of 1 processes"), Crew() as crew:
        crew.fork(lambda: print(1 / 0), set())
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.processes
def test_a_peer_that_hangs_has_a_deadline() -> None:
    """It is ended with all that it has started, also what is not its child any more."""
    with started("benchmarks._queues", "latency", 9, 0.001) as program:
        family = psutil.Process(program.pid)
        while len(family.children()) < 3:
            assert program.poll() is None
        children = family.children()
    assert program.returncode < 0
    assert not any(child.is_running() for child in children)
    with pytest.raises(Unavailable, match=r"no answer within 0\.1 s"):
        answer_of("benchmarks._queues", "latency", 9, 0.001, seconds=0.1)


@pytest.mark.processes
def test_a_peer_that_fails_says_why() -> None:
    """The last line of what it wrote is the reason; so is that it is not installed."""
    with pytest.raises(Unavailable, match="KeyError: 'no_such_job'"):
        answer_of("benchmarks._queues", "no_such_job", seconds=30)
    without = "import sys; sys.modules['ray'] = None; from benchmarks._pipeline_peers import main"
    ran = subprocess.run(
        [sys.executable, "-c", f"{without}; main('ray', '1', '1')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == '{"why": "not installed"}\n'


@pytest.mark.processes
def test_both_sides_count_the_same_words() -> None:
    """The topology in configs/, with clocks in it, and one process."""
    ours, floor = wordcount.run_actorflow("json/*.py"), wordcount.run_floor("json/*.py")
    assert ours[:2] == floor[:2]
    assert ours[2] > 0 < floor[2]


@pytest.mark.processes
def test_every_event_goes_to_the_consumer_of_its_partition() -> None:
    """In a topology as on bare pipes."""
    assert fan.run_actorflow("partition", 4000, 100)[0] == fan.total_of("partition", 4000)
