"""A fault in the runtime itself ends the run with an error, and never in silence."""

from __future__ import annotations

import pytest

from actorflow import Broken, Producer, Topology
from actorflow.runtime.local.processes import Processes


class Endless(Producer):
    """A source."""

    def handle_demand(self, demand: int) -> list[int]:
        """As many as are wanted."""
        return [0] * demand


@pytest.mark.processes
def test_a_fault_in_the_runtime_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When a start is lost inside the runtime, `wait` raises instead of waiting for ever."""

    def fail(*_: object) -> None:
        raise NameError("a slip of ours")

    monkeypatch.setattr(Processes, "spawn", fail)
    topology = Topology("broken").stage("endless", Endless)
    with topology.start() as run, pytest.raises(Broken, match="a slip of ours"):
        run.wait(timeout=20)
    assert "a slip of ours" in caplog.text
