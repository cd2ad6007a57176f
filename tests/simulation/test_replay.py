"""The same seed gives the same run: in one process, and in interpreters that hash differently."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from actorflow.runtime.simulated.faults import Faults
from actorflow.testing import Conditions, simulate
from actorflow.testing.experiments import Experiment
from tests.seeds import seeds

SEEDS = seeds(30)
HASHES = (
    "from actorflow.testing.experiments import Experiment\n"
    f"print(*(Experiment.of(seed).run().trace_hash for seed in range({len(SEEDS)})), sep='\\n')"
)


@pytest.fixture(scope="module")
def hashes() -> list[str]:
    """The digests of all steps of the first experiments."""
    return [Experiment.of(seed).run().trace_hash for seed in SEEDS]


def test_a_seed_gives_the_same_run_again(hashes: list[str]) -> None:
    """Nothing is left over from one run that another could see."""
    assert [Experiment.of(seed).run().trace_hash for seed in SEEDS] == hashes


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_gives_the_same_run_in_another_interpreter(
    hash_seed: str, hashes: list[str]
) -> None:
    """No order of a set, no address and no clock has a part in it."""
    ran = subprocess.run(
        [sys.executable, "-c", HASHES],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == hashes


def test_other_seeds_give_other_runs(hashes: list[str]) -> None:
    """A seed is not a decoration."""
    assert len(set(hashes)) == len(hashes)
    topology = Experiment.of(5).topology
    runs = {simulate(topology.plan, seed=seed).trace_hash for seed in range(10)}
    assert len(runs) == 10


def test_until_its_first_crash_a_run_is_as_without(hashes: list[str]) -> None:
    """Faults draw from numbers of their own, so that a run can be compared with its better half."""
    plan = Experiment.of(5).topology.plan
    well = simulate(plan, seed=3)
    ill = simulate(plan, seed=3, faults=Faults(crashes=1, within=60), check=False)
    crash = next(step.number for step in ill.trace if step.actor.startswith("crash"))
    assert [str(step) for step in ill.trace[: crash - 1]] == [
        str(step) for step in well.trace[: crash - 1]
    ]


def test_fixing_one_condition_leaves_the_others_as_they_were() -> None:
    """What is not fixed is drawn from the seed, whatever else is fixed."""
    plan = Experiment.of(5).topology.plan
    free = simulate(plan, seed=3).conditions
    fixed = simulate(plan, seed=3, conditions=Conditions(capacity=7)).conditions
    assert fixed.capacity == 7
    assert (fixed.pick, fixed.cut, fixed.eager, fixed.slowest, fixed.haste) == (
        free.pick,
        free.cut,
        free.eager,
        free.slowest,
        free.haste,
    )
