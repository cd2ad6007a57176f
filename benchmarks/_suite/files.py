"""The files of a run: results.json and report.html, and old results to compare with."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from actorflow.errors import OptionError
from benchmarks._suite.compare import Comparison
from benchmarks._suite.forms import from_plain, to_plain
from benchmarks._suite.records import SuiteReport
from benchmarks._suite.report import page

__all__ = ["Output", "read_results"]


class Output:
    """A directory that always has the results so far.

    Args:
        directory: where; it is made if it is not there.

    Raises:
        OptionError: it cannot be made or written to.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._directory):
                """It can be written to; an earlier run's files are still there."""
        except OSError as error:
            raise OptionError(
                "--output", "a directory that can be written to", directory, str(error)
            ) from error

    def write(self, suite: SuiteReport, comparison: Comparison | None) -> None:
        """Write both files anew.

        Raises:
            OSError: they cannot be written.
        """
        self._replace("results.json", json.dumps(to_plain(suite), indent=1))
        self._replace("report.html", page(suite, comparison))

    def _replace(self, name: str, text: str) -> None:
        # In one step: whoever reads it, or kills this program, finds the old file or the new one.
        part = self._directory / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        os.replace(part, self._directory / name)


def read_results(file: str) -> SuiteReport:
    """The results of an earlier run.

    Raises:
        OptionError: they cannot be read, or are something else.
    """
    try:
        return from_plain(SuiteReport, json.loads(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise OptionError(
            "--compare", "a results.json of an earlier run", file, str(error)
        ) from error
