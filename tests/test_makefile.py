"""What `make` does before and beside its recipes; nothing is installed or run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

ROOT = Path(__file__).parents[1]


def make(*arguments: str) -> str:
    """What `make` prints; an error ends the test."""
    command = ["make", "-C", str(ROOT), "--no-print-directory", *arguments]
    # `make test` may be what runs this: its own flags and variables are not for this one.
    own = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=own)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("target", ["help", "clean"])
def test_what_needs_no_python_asks_for_none(target: str, tmp_path: Path) -> None:
    """No command runs but the recipe's own, and none complains."""
    asked = tmp_path / "asked"
    shell = tmp_path / "shell"
    shell.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{asked}"\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    make("PYTHON=", f"SHELL={shell}", *(["-n"] if target == "clean" else []), target)
    said = asked.read_text() if asked.exists() else ""
    assert "python" not in said
    assert "getconf" not in said


@pytest.mark.parametrize("core", ["python", "compiled"])
def test_the_benchmarks_have_what_they_compare_with(core: str, tmp_path: Path) -> None:
    """Also when the core is named: the peers are installed before anything is measured."""
    nowhere = (f"VENV={tmp_path / 'venv'}", f"COMPILED={tmp_path / 'compiled'}")
    said = make("-n", *nowhere, f"PYTHON={sys.executable}", f"bench-{core}")
    peers, measures = said.index("[dev,bench]"), said.index("actorflow bench")
    assert peers < measures
    assert ("ACTORFLOW_COMPILED=1" in said) == (core == "compiled")
    assert f"bench-{core}" in make("-n", *nowhere, "PYTHON=", f"CORE={core}", "bench")
