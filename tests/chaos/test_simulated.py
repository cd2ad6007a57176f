"""The laws of delivery in the simulator: some seeds here, any number with ``python -m``."""

from __future__ import annotations

import pytest

from tests.chaos.simulated import DeliveryExperiment
from tests.seeds import seeds


def test_no_mode_breaks_its_promise() -> None:
    """Whatever the topology, whoever is killed, the host and its checkpoint included."""
    for seed in seeds(80):
        DeliveryExperiment.of(seed).run()


@pytest.mark.parametrize("seed", [7018, 15222, 18135])
def test_what_a_campaign_has_found(seed: int) -> None:
    """It stays found.

    A partition whose consumer had gone home; a state that died with its stage's last words; a stage
    at its end that was linked with the successor of a source that had finished.
    """
    DeliveryExperiment.of(seed).run()


def test_the_experiments_differ() -> None:
    """All modes are among them, and crashes, and hosts that are killed."""
    drawn = [DeliveryExperiment.of(seed) for seed in range(60)]
    assert {each.shape.mode for each in drawn} == {
        "at_least_once",
        "at_most_once",
        "exactly_once",
        "mixed",
    }
    assert (
        {each.crashes > 0 for each in drawn} == {each.hosts > 0 for each in drawn} == {True, False}
    )
