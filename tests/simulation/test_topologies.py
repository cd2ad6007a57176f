"""Random topologies, drawn and shrunk by Hypothesis, with every law asked at every step."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from actorflow.testing.experiments import Experiment
from actorflow.testing.meddling import DISTURBING, INTERVENTIONS
from actorflow.testing.topologies import random_topology
from tests.seeds import THOROUGH

PARTS = range(8)
"""Eight tests, so that several workers share the work."""

EXAMPLES = 260 if THOROUGH else 16
"""Of each part: more than 2 000 in a thorough run; a campaign has as many as you have time for."""


def part_of(part: int) -> settings:
    """What each part runs: its own examples, the same ones every time."""
    return settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


@pytest.mark.parametrize("part", PARTS)
def test_s119_every_law_holds_at_every_step(part: int) -> None:
    """No run hangs, no law breaks, and every event arrives as its dispatcher demands.

    Without crashes exactly once and in order, with crashes at least once.
    """

    @seed(part)
    @part_of(part)
    @given(
        random=st.randoms(use_true_random=False),
        crashes=st.sampled_from((0, 0, 0, 1, 2)),
        interventions=st.lists(st.sampled_from(INTERVENTIONS), max_size=2),
        choices=st.integers(0, 2**32),
    )
    def holds(random: Random, crashes: int, interventions: list[str], choices: int) -> None:
        lossless = crashes > 0 or any(each in DISTURBING for each in interventions)
        topology = random_topology(random, lossless=lossless)
        Experiment(topology, choices, crashes, tuple(interventions)).run()

    holds()
