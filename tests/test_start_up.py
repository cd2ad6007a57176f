"""What a start imports, counted by modules, and what it costs beside one that imports nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

CHECKED = Path(__file__).parents[1] / "configs" / "wordcount.yaml"

EVERY_PROCESS = "import actorflow.runtime.local.zygote, actorflow.runtime.local.entry"
"""What the zygote imports for all stages."""

EVERY_PROGRAM = (
    "from actorflow import Consumer, LocalRuntime, Producer, Topology;"
    "import actorflow.topology.run, actorflow.runtime.local.processes"
)
"""What a program imports that describes a topology and runs it."""


def imported_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after this."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "without", "at_most"),
    [
        (
            EVERY_PROCESS,
            "psutil pykka yaml structlog cloudpickle asyncio tempfile decimal uuid random"
            " threading actorflow.errors.batcher actorflow.errors.scans actorflow.errors.pool",
            120,
        ),
        (EVERY_PROGRAM, "structlog asyncio yaml", 200),
    ],
    ids=["process", "program"],
)
def test_a_start_imports_what_it_needs(code: str, without: str, at_most: int) -> None:
    """Each of these costs milliseconds, structlog up to 80; a module of our own a third of one.

    random and threading also write to some pages of memory after each fork.
    """
    found = imported_by(code)
    own = sorted(name for name in found if name.startswith("actorflow"))
    assert sorted(found & set(without.split())) == []
    assert len(own) <= at_most, own


def processor_seconds(arguments: Sequence[str]) -> float:
    """What an interpreter uses: the least of three, as others on the machine only add to it."""
    return min(_used([sys.executable, *arguments]) for _ in range(3))


def _used(command: Sequence[str]) -> float:
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    assert program.returncode == 0
    return used.ru_utime + used.ru_stime


def test_a_start_costs_a_few_times_what_an_empty_program_costs() -> None:
    """`import actorflow` at most 10 times (2 when this was written), `actorflow check` 30 (11)."""
    nothing = processor_seconds(["-c", "pass"])
    assert processor_seconds(["-c", "import actorflow"]) < 10 * nothing
    assert processor_seconds(["-m", "actorflow", "check", str(CHECKED)]) < 30 * nothing
