"""A stage that is killed while it starts is started again; one that fails to start is not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from actorflow import Producer, Topology


class DiesOnce(Producer):
    """Kills itself in its first start."""

    def __init__(self, mark: str) -> None:
        if not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def handle_demand(self, demand: int) -> None:
        """Nobody asks."""

    def on_start(self) -> None:
        """It made it."""
        self.set_result("started")
        self.finish()


class Refuses(Producer):
    """Cannot start."""

    def __init__(self) -> None:
        raise ValueError("no database")

    def handle_demand(self, demand: int) -> None:
        """Nobody asks."""


@pytest.mark.processes
def test_a_kill_during_the_first_start_is_survived(tmp_path: Path) -> None:
    """A signal is no fault of the stage's: it is restarted like at any other moment."""
    topology = Topology("start").stage("once", DiesOnce, args={"mark": str(tmp_path / "mark")})
    with topology.start() as run:
        assert run.wait(timeout=30) == {"once": "started"}
        assert run.stats().stage("once").restarts == 1


@pytest.mark.processes
def test_an_exception_in_the_first_start_ends_the_run() -> None:
    """A constructor that raises would raise again: the run ends with its exception at once."""
    with Topology("start").stage("refuses", Refuses).start() as run:
        with pytest.raises(ValueError, match="no database"):
            run.wait(timeout=30)
        assert run.stats().stage("refuses").restarts == 0
