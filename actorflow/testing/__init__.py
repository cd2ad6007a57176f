"""For tests of your own stages: simulated runs, one stage alone, gates, fake time."""

from actorflow.runtime.simulated.clock import FakeClock
from actorflow.runtime.simulated.faults import CrashAt, Faults
from actorflow.runtime.simulated.schedule import Conditions
from actorflow.runtime.simulated.stall import Endless, Evidence, Stalled
from actorflow.runtime.simulated.witness import Witness
from actorflow.testing.dispatchers import check_dispatcher
from actorflow.testing.harness import StageHarness
from actorflow.testing.laws import LawBroken
from actorflow.testing.points import Gate, fault_point, spend
from actorflow.testing.simulation import Handled, SimulatedRun, Simulation, simulate
from actorflow.testing.trial import Outputs, run

__all__ = [
    "Conditions",
    "CrashAt",
    "Endless",
    "Evidence",
    "FakeClock",
    "Faults",
    "Gate",
    "Handled",
    "LawBroken",
    "Outputs",
    "SimulatedRun",
    "Simulation",
    "StageHarness",
    "Stalled",
    "Witness",
    "check_dispatcher",
    "fault_point",
    "run",
    "simulate",
    "spend",
]
