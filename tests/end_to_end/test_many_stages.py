"""Many stages that have nothing to do."""

from __future__ import annotations

import pytest

from benchmarks import many_stages


@pytest.mark.processes
def test_many_stages_that_have_nothing_to_do_cost_little() -> None:
    """Their memory and idleness by counts; how fast they start is the benchmark's business."""
    figures = many_stages.run_stages(20, 0.3)
    assert figures.idle_ticks <= 1
    assert figures.worst_sink < 5
    assert figures.source < figures.sink + 2
