"""What a test that hangs shows of the processes it started.

pytest-timeout shows the stacks of this process's threads. The other processes are gone by the time
the test's own clean-up has run; this looks at them before.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

from tests.leaks import MARK, children, describe, orphans


def processes() -> str:
    """Each process under this one: what it is, where in the kernel it waits, what it has open."""
    found = children()
    if mark := os.environ.get(MARK):
        found |= orphans(mark)
    blocks = [describe_process(one) for one in sorted(found, key=lambda one: one.pid)]
    return "\n".join(blocks) or "no process was left"


def describe_process(process: psutil.Process) -> str:
    """What it is, what it has used, where each thread waits, and what it has open."""
    lines = [describe(process)]
    with contextlib.suppress(psutil.Error, OSError):
        used = process.cpu_times()
        memory = process.memory_info().rss >> 20
        lines.append(f"  cpu {used.user + used.system:.2f} s, memory {memory} MB")
    with contextlib.suppress(OSError):
        for task in sorted(Path(f"/proc/{process.pid}/task").iterdir()):
            name = (task / "comm").read_text().strip()
            lines.append(f"  thread {task.name} {name}: {_waits_in(task)}")
    with contextlib.suppress(OSError):
        for link in sorted(
            Path(f"/proc/{process.pid}/fd").iterdir(), key=lambda one: int(one.name)
        ):
            with contextlib.suppress(OSError):
                lines.append(f"  descriptor {link.name} -> {os.readlink(link)}")
    return "\n".join(lines)


def _waits_in(task: Path) -> str:
    """The kernel function a thread waits in, or what it is doing where that is secret."""
    place = (task / "wchan").read_text().strip()
    if place not in ("", "0"):
        return place
    state = (task / "stat").read_text().rpartition(")")[2].split()[0]
    return f"state {state}"
