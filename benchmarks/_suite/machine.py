"""The machine that measures, as far as it changes figures."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from actorflow.compiled import core
from benchmarks._suite.records import Machine, Package

__all__ = ["load", "machine"]

PACKAGES = (
    *("actorflow", "msgpack", "msgspec", "cloudpickle", "pykka", "numpy"),
    *("billiard", "loky", "mpire", "pypeln", "ray"),
)
"""What takes part when it is installed."""


@cache
def machine() -> Machine:
    """This one."""
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu(),
        cores=_cores(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        packages=tuple(_packages()),
    )


def load() -> float:
    """How many processes wanted a processor, over the last minute."""
    return os.getloadavg()[0]


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _packages() -> list[Package]:
    found = []
    for name in PACKAGES:
        kind = " (compiled)" if name == "actorflow" and core() == "compiled" else ""
        try:
            found.append(Package(name=name, version=version(name) + kind))
        except PackageNotFoundError:
            continue
    return found
