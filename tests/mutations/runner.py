"""Applies mutations in a scratch copy of the project and runs the tests that have to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutations.table import Edit, Mutation

__all__ = ["ROOT", "Verdict", "apply", "copy_project", "try_mutation"]

ROOT = Path(__file__).resolve().parents[2]

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build", "dist"
)

TIMEOUT = 30
"""Seconds for one test: a mutation may make it hang, which counts as caught."""

_ALL_PASSED, _SOME_FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mutation.

    Args:
        mutation: which.
        missed: the tests that passed in spite of it.
        unsound: the tests that say nothing, as they fail without it too, or cannot be run.
    """

    mutation: Mutation
    missed: tuple[str, ...]
    unsound: tuple[str, ...]

    @property
    def caught(self) -> bool:
        """Whether every test noticed."""
        return not self.missed and not self.unsound

    def __str__(self) -> str:
        if self.caught:
            return f"{self.mutation.id}: caught ({self.mutation.breaks})"
        lines = [f"{self.mutation.id}: MISSED ({self.mutation.breaks})"]
        lines += [f"    passes all the same: {test}" for test in self.missed]
        lines += [f"    does not pass without the mutation: {test}" for test in self.unsound]
        return "\n".join(lines)


def copy_project(into: Path) -> Path:
    """A copy of the project, without what is made from it."""
    copy = into / "project"
    shutil.copytree(ROOT, copy, ignore=_LEFT_OUT, symlinks=True)
    return copy


def apply(edits: Sequence[Edit], root: Path) -> None:
    """Make the edits below this folder.

    Raises:
        ValueError: a text is not there exactly once.
    """
    for edit in edits:
        path = root / edit.file
        content = path.read_text()
        found = content.count(edit.text)
        if found != 1:
            raise ValueError(f"{edit.file} has {found} times, and not once: {edit.text!r}")
        path.write_text(content.replace(edit.text, edit.replacement))


def try_mutation(mutation: Mutation, copy: Path) -> Verdict:
    """Break the copy, run the tests, and mend it again."""
    touched = {edit.file: (copy / edit.file).read_bytes() for edit in mutation.edits}
    unsound = tuple(test for test in mutation.tests if _run(test, copy) != _ALL_PASSED)
    apply(mutation.edits, copy)
    try:
        sound = [test for test in mutation.tests if test not in unsound]
        missed = tuple(test for test in sound if _run(test, copy) != _SOME_FAILED)
    finally:
        for file, content in touched.items():
            (copy / file).write_bytes(content)
    return Verdict(mutation, missed, unsound)


def _run(test: str, copy: Path) -> int:
    """Run a test with the copy's code; returns pytest's exit status.

    The copy is first on the path of this process and of all that it starts. No bytecode is kept:
    two edits within a second that leave the size as it was would not be seen.
    """
    environment = dict(os.environ, PYTHONPATH=str(copy), PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, "-m", "pytest", "-q", "-x", f"--timeout={TIMEOUT}"]
    command += ["-p", "no:cacheprovider", "-p", "no:randomly", test]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, check=False)
    return done.returncode
