"""Processors for batchers with real processes; light to import, as each process does it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actorflow.stages.batcher import Outcome
    from actorflow.testing import Gate

__all__ = ["Diary", "Held", "die_or_echo", "echo"]


def echo(key: Any, inputs: list[Any]) -> list[Any]:
    """Outputs are inputs."""
    return inputs


def die_or_echo(key: Any, inputs: list[Any]) -> list[Any]:
    """Kills its own process when it is told to."""
    if inputs[0] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return inputs


class Held:
    """Waits at a gate.

    Args:
        gate: the test's.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def process(self, key: Any, inputs: list[Any], resources: Any) -> list[Any]:
        self.gate.wait()
        return inputs


class Diary(Held):
    """One whose releases are lines in a file, so that every process can write them.

    Args:
        diary: the file.
        gate: the test's.
    """

    def __init__(self, diary: Path, gate: Gate) -> None:
        super().__init__(gate)
        self.diary = diary

    def acquire_resources(self, key: str) -> str:
        return f"lease of {key}"

    def process(self, key: str, inputs: list[Any], resources: str) -> list[Any]:
        die_or_echo(key, inputs)
        if inputs[0] == "wait":
            self.gate.wait()
        if inputs[0] == "raise":
            raise ValueError("no")
        return [(key, each, os.getpid()) for each in inputs]

    def release_resources(self, key: str, resources: str, outcome: Outcome) -> None:
        with self.diary.open("a") as diary:
            diary.write(f"{resources} {outcome.value}\n")


class Unmade:
    """Cannot be constructed."""

    def __init__(self) -> None:
        raise FileNotFoundError("no such weights")

    def process(self, key: Any, inputs: list[Any], resources: Any) -> list[Any]:
        """Never gets so far."""
        return inputs
