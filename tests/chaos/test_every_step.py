"""A crash at every step of small topologies: exhaustively, in each mode, for each stage.

The suite tries some of the steps; a thorough run (``ACTORFLOW_THOROUGH=1``) tries all.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from actorflow.testing import Conditions, CrashAt, Faults, Simulation
from tests.chaos.checker import check
from tests.chaos.players import topology_of
from tests.chaos.shapes import Part, Shape, Take
from tests.chaos.simulated import MAX_STEPS, Watching
from tests.seeds import THOROUGH

MODES = ("at_most_once", "at_least_once", "exactly_once")
STRIDE = 1 if THOROUGH else 97
"""Which steps are tried: one in so many, each case from another one on."""

SOURCE = Part("s", "source", count=3)
SINK = Part("c", "sink", takes=(Take("s", 2),))
BETWEEN = Part("p", "through", takes=(Take("s", 2),))
BEHIND = replace(SINK, takes=(Take("p", 2),))

TOPOLOGIES = {
    "chain": (SOURCE, BETWEEN, BEHIND),
    "one_to_many": (SOURCE, replace(BETWEEN, rule="expand"), BEHIND),
    "filter": (SOURCE, replace(BETWEEN, rule="filter"), BEHIND),
    "broadcast": (replace(SOURCE, dispatcher="broadcast"), replace(SINK, replicas=2)),
    "partition": (replace(SOURCE, dispatcher="partition"), replace(SINK, replicas=2)),
    "two_producers": (
        SOURCE,
        replace(SOURCE, name="t", count=2),
        replace(SINK, takes=(Take("s", 2), Take("t", 1))),
    ),
}


def crashed(shape: Shape, *crashes: CrashAt) -> int:
    """Run it and judge it; returns how many steps it took."""
    watching = Watching()
    simulation = Simulation(
        topology_of(shape),
        seed=5,
        faults=Faults(at=crashes),
        conditions=Conditions(cut="whole"),
        witness=watching,
    )
    run = simulation.finish(max_steps=MAX_STEPS)
    assert run.status == "done"
    assert check(shape, watching.lives, run.results) == [], crashes
    return run.steps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_crash_at_every_step_breaks_no_promise(name: str, mode: str) -> None:
    """Whoever is killed at whatever moment, and each of the stages."""
    parts = tuple(replace(part, delivery=mode) for part in TOPOLOGIES[name])
    shape = Shape(mode if mode == "exactly_once" else "mixed", parts)
    steps = crashed(shape)
    first = sum(f"{name} {mode}".encode()) % STRIDE + 1
    for victim in (part.name for part in parts):
        for step in range(first, steps + 1, STRIDE):
            crashed(shape, CrashAt(step, victim))
