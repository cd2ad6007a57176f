"""Word count under fire: processes, and the host, are killed, and every word counts once."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actorflow import Defaults, Run, SupervisorOptions, Topology, load
from tests.end_to_end.helpers import ROOT, finish, start_python, wait_until
from tests.end_to_end.stages_of_under_fire import AT_MOST, MergeAtMost

# Hundreds of starts, one after the other: a busy machine takes its time for each.
pytestmark = [pytest.mark.processes, pytest.mark.timeout(170)]

CONFIG = ROOT / "configs" / "wordcount.yaml"
KILLS = 50
SMALL = (
    "stages.count.subscribe_to.0.max_demand=8",
    "stages.count.subscribe_to.0.min_demand=4",
    f"stages.merge.use={MergeAtMost.__module__}:{MergeAtMost.__name__}",
)
"""Batches of which there are several hundred, so that there is always something to kill."""

HOST = """
import json, sys, time
from tests.end_to_end.test_under_fire import patient

with patient(sys.argv[1]).start() as run:
    before = -1
    while not run.over:
        done = run.stats().stage("merge").events_in
        if done != before:
            print(done, flush=True)
            before = done
        time.sleep(0.002)  # this thread looks on; the supervisor's has work to do
    print(json.dumps(run.wait(60)["merge"]), flush=True)
"""


def patient(checkpoint: str | None = None) -> Topology:
    """The word count with `exactly_once`, and no end to restarts."""
    return replace(
        load(str(CONFIG), overrides=SMALL),
        supervisor=SupervisorOptions(max_restarts=10 * KILLS),
        defaults=Defaults(delivery="exactly_once"),
        checkpoint=checkpoint,
    )


def is_right(result: Any, expected: Counter[str]) -> bool:
    """Whether the totals are those of one process."""
    return (result["words"], result["distinct"]) == (expected.total(), len(expected))


def kill_one(run: Run, chance: random.Random) -> bool:
    """Kill -9 any of the stages that run; returns whether there was one."""
    living = [child for child in run.which_children() if child.pid and child.state == "running"]
    if not living:
        return False
    with suppress(ProcessLookupError):
        os.kill(chance.choice(living).pid, signal.SIGKILL)
        return True
    return False


def moved_on(run: Run) -> Callable[[], bool]:
    """Whether the merge has taken anything since, or all is over."""
    before = run.stats().stage("merge").batches_in
    return lambda: run.over or run.stats().stage("merge").batches_in != before


def test_fifty_kills_change_no_total(expected: Counter[str]) -> None:
    """Sources, counters and the merge are killed all through the run."""
    chance = random.Random(20261121)
    killed = 0
    while killed < KILLS:  # mostly one run; another when that one was too fast for who kills
        with patient().start(lambda _: None) as run:
            while killed < KILLS and not run.over:
                killed += kill_one(run, chance)
                # The next one strikes when the run has moved on, if only by a batch.
                wait_until(moved_on(run), "the run to move on")
            assert is_right(run.wait(60)["merge"], expected)


def test_a_run_whose_host_was_killed_goes_on_from_its_checkpoint(
    expected: Counter[str], tmp_path: Path
) -> None:
    """Three times the host is killed, and the fourth comes to the right totals."""
    chance = random.Random(20261121)
    checkpoint = str(tmp_path / "words.checkpoint")
    for _ in range(3):
        kill_host_after(checkpoint, chance.randrange(20, 100))
    code, output, errors = finish(start_python("-c", HOST, checkpoint), 60)
    assert (code, errors) == (0, "")
    assert is_right(json.loads(output.splitlines()[-1]), expected)


def kill_host_after(checkpoint: str, counts: int) -> None:
    """Run until the merge has taken so many more counts, then kill the host.

    It takes no more than that, however late the kill is.
    """
    host = start_python("-c", HOST, checkpoint, env={AT_MOST: str(counts)})
    try:
        assert host.stdout is not None
        done = 0
        while done < counts:
            line = host.stdout.readline()
            assert line.strip().isdigit(), f"it came to its end too soon: {line!r}"
            done = int(line)
    finally:
        host.kill()
        finish(host)
