"""D-08, D-17 and D-21: the bodies, with everybody else played, and in the simulator."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import Topology
from actorflow.stages.buffered import AsyncStage, ForEach
from actorflow.stages.sources import Range
from actorflow.testing import StageHarness, simulate
from actorflow.testing.offspring import PlayedChildren
from tests.seeds import seeds

RESULTS = 1


class Bodies:
    """A `ForEach` alone: the test is the window before it, and the end of each body."""

    def __init__(self, concurrency: int = 1, **arguments: Any) -> None:
        arguments = {"run": print, "concurrency": concurrency, **arguments}
        self.harness = StageHarness(ForEach, arguments)
        self.harness.link_to_producer(RESULTS, "select")
        self.sent = 0

    @property
    def played(self) -> PlayedChildren:
        assert self.harness.offspring is not None
        return self.harness.offspring

    def feed(self) -> None:
        """Send what is asked for."""
        wanted = sum(self.harness.asks(RESULTS)) - self.sent
        if wanted:
            self.harness.route(RESULTS, range(self.sent, self.sent + wanted))
            self.sent += wanted


@pytest.mark.parametrize("concurrency", [1, 3])
def test_d_08_exactly_so_many_bodies_and_none_is_fetched_ahead(concurrency: int) -> None:
    """200 results: one more comes when one is finished, whichever that is."""
    bodies = Bodies(concurrency)
    while bodies.sent < 200:
        bodies.feed()
        running = list(bodies.played.running)
        assert len(running) == concurrency
        bodies.played.returns(running[bodies.sent % concurrency])
    assert sum(bodies.harness.asks(RESULTS)) == bodies.sent + 1


def test_d_17_a_body_that_raises_is_logged_counted_and_done_with() -> None:
    """``restart="temporary"``: the next result comes."""
    bodies = Bodies()
    bodies.feed()
    bodies.played.raises(*bodies.played.running)
    bodies.feed()
    assert (bodies.sent, len(bodies.played.running)) == (2, 1)
    assert any("a child ended badly" in str(line) for line in bodies.harness.log)


def test_d_17_a_body_that_raises_is_run_again() -> None:
    """``restart="transient"``, with a limit: then the stage ends, and its supervisor decides."""
    bodies = Bodies(restart="transient", max_restarts=2)
    bodies.feed()
    for _ in range(2):
        bodies.played.raises(*bodies.played.running)
        assert bodies.harness.asks(RESULTS) == [1]
    bodies.played.raises(*bodies.played.running)
    assert "children were run again more than 2 times" in str(bodies.harness.error)


@pytest.mark.parametrize(("restart", "again"), [("temporary", False), ("transient", True)])
def test_d_21_a_body_whose_process_is_killed(restart: str, again: bool) -> None:
    """It is reported, or run again; the window goes on."""
    bodies = Bodies(restart=restart)
    bodies.feed()
    (life,) = bodies.played.running
    bodies.played.die(life)
    assert bool(bodies.played.running) is again
    assert bodies.harness.asks(RESULTS) == ([1] if again else [1, 1])


async def found(number: int) -> int:
    """A call that is done at once."""
    return number


def hates_sevens(number: int) -> None:
    """A body that raises now and then."""
    if number % 7 == 0:
        raise ValueError(f"not {number}")


def test_d_17_calls_and_claims_stay_right_when_bodies_raise() -> None:
    """Every result has its body, and the run ends as if nothing had happened."""
    for seed in seeds(10):
        topology = (
            Topology("bodies")
            .stage("numbers", Range, args={"stop": 25})
            .stage(
                "calls",
                AsyncStage,
                args={"run": found, "concurrency": 4},
                subscribe_to=["numbers"],
            )
            .stage(
                "bodies",
                ForEach,
                args={"run": hates_sevens},
                subscribe_to=["calls"],
            )
        )
        ran = simulate(topology, seed=seed, laws=True)
        assert ran.status == "done"
        assert sorted(ran.handled("bodies")) == list(range(25))
