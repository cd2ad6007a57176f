"""What the tests of the commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from actorflow.cli import main

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Runs a command in this process; returns exit code, standard output and standard error."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as request:  # argparse ends the program by itself
            code = int(request.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield run
    # So that no later log line goes to a stream that is gone.
    structlog.reset_defaults()


@pytest.fixture
def topology(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a topology into a file."""

    def write(text: str, name: str = "topology.yaml") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    return write
