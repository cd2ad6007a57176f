"""Scenario 119 with real processes: random kills of a running topology, and nothing is lost.

``ACTORFLOW_CHAOS=60`` makes it last so many seconds; the suite has a few. The same, with every law
asked at every step, is simulated in `tests/simulation`.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from actorflow import SubscribeTo, SupervisorOptions, Topology
from tests.end_to_end.helpers import Events, numbers_in, wait_until
from tests.end_to_end.stages import Collect, Numbers, Pass

SECONDS = float(os.environ.get("ACTORFLOW_CHAOS", "3"))
SEED = int(os.environ.get("ACTORFLOW_CHAOS_SEED", "119"))


@pytest.mark.processes
@pytest.mark.timeout(SECONDS + 90)
def test_s119_random_kills_lose_nothing(tmp_path: Path) -> None:
    """Any stage but the source, at any moment, with SIGKILL: every number arrives."""
    draw = random.Random(SEED)
    journal = tmp_path / "journal"
    events = Events()
    demand = draw.choice((1, 7, 50))
    topology = (
        Topology("chaos", supervisor=SupervisorOptions(max_restarts=100_000, max_seconds=60))
        .stage("numbers", Numbers)
        .stage("pass", Pass, replicas=3, subscribe_to=[SubscribeTo("numbers", max_demand=demand)])
        .stage(
            "collect",
            Collect,
            args={"path": str(journal)},
            replicas=2,
            subscribe_to=[SubscribeTo("pass", max_demand=20)],
        )
    )
    kills = 0
    with topology.start(events) as run:
        events.started("numbers", "pass", "collect")
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            alive = [c for c in run.which_children() if c.pid and c.id != "numbers/0"]
            if alive:
                victim = draw.choice(alive)
                with suppress(ProcessLookupError):  # the row was older than its death
                    os.kill(victim.pid, signal.SIGKILL)
                kills += 1
            seen = len(numbers_in(journal))
            pace = draw.randint(1, 2000)
            wait_until(lambda: len(numbers_in(journal)) > seen + pace, "events to flow")  # noqa: B023
        outcome = run.drain(timeout=60)
        restarts = sum(child.restarts for child in run.stats().stages)
    print(f"seed {SEED}, demand {demand}: {kills} kills, {restarts} restarts")
    assert outcome.status == "done"
    assert set(numbers_in(journal)) == set(range(outcome.results["numbers"]))
    assert restarts > 0
