"""``actorflow bench``: finds the benchmarks, which are not a part of the package, and runs them."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from actorflow.cli.check import MISTAKE
from actorflow.errors import OptionError

__all__ = ["bench", "find_suite"]

SUITE = Path("benchmarks", "_suite", "suite.py")


def bench(options: argparse.Namespace) -> int:
    """Run the benchmarks; returns the exit code."""
    try:
        root = find_suite(options.directory)
        return int(_imported(root).run(options, root))
    except OptionError as error:
        print(f"actorflow bench: {error}", file=sys.stderr)
        return MISTAKE


def _imported(root: Path) -> Any:
    """The suite's module, from where it was found."""
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module("benchmarks._suite.suite")
    finally:
        sys.path.remove(str(root))


def find_suite(directory: str | None) -> Path:
    """The directory that holds the folder ``benchmarks``.

    Args:
        directory: where to look, or None for beside the package and in the current directory.

    Raises:
        OptionError: it is not there.
    """
    beside_the_package = Path(__file__).resolve().parents[2]
    places = [beside_the_package, Path.cwd()] if directory is None else [Path(directory).resolve()]
    for place in places:
        if (place / SUITE).is_file():
            return place
    raise OptionError(
        "--directory",
        f"a directory that holds actorflow's benchmarks ({SUITE.as_posix()})",
        directory if directory is not None else " or ".join(map(str, places)),
        "the benchmarks are in the source tree and in the source distribution, not in the wheel:"
        " unpack one of them and name its directory",
    )
