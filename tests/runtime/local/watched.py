"""What the tests of the local runtime share: a runtime that keeps all its observations."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Info
from actorflow.runtime.local.runtime import LocalRuntime
from actorflow.stage.behaviour import Consumer
from actorflow.supervision.runtime import Exited, Observation, Received, Started
from actorflow.supervision.specs import StageSpec
from tests.stopwatch import LOOK, looks

HERE = str(Path(__file__).parent)
PATIENCE = 30.0


def stage_spec(name: str = "stage", index: int = 0, **arguments: Any) -> StageSpec:
    """A specification whose behaviour does not matter."""
    return StageSpec(id=StageId(name, index), behaviour=Consumer, arguments=arguments)


def stage(name: str = "stage", index: int = 0, generation: int = 1) -> Incarnation:
    """An incarnation."""
    return Incarnation(StageId(name, index), generation)


def eventually(condition: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
    """Look until the condition holds and return its value; for what has no event to wait for."""
    for _ in looks(within):
        if value := condition():
            return value
    pytest.fail(f"not within {within} s: {what}")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Watched:
    """A local runtime and everything it has observed, in order."""

    def __init__(self, entry: str, **options: Any) -> None:
        self.runtime = LocalRuntime(entry=f"entries:{entry}", import_paths=[HERE], **options)
        self.seen: list[Observation] = []
        self._changed = threading.Condition()
        self.threads: set[str] = set()

    def open(self) -> Watched:
        self.runtime.open(self.observe)
        return self

    def observe(self, observation: Observation) -> None:
        with self._changed:
            self.threads.add(threading.current_thread().name)
            self.seen.append(observation)
            self._changed.notify_all()

    def wait(
        self, condition: Callable[[list[Any]], Any], what: str, within: float = PATIENCE
    ) -> Any:
        """Wait until the condition on everything seen holds; returns its value.

        A time in which the machine stands still does not count.
        """
        for _ in looks(within):
            with self._changed:
                if self._changed.wait_for(lambda: condition(self.seen), LOOK):
                    return condition(self.seen)
        pytest.fail(f"not within {within} s: {what}; seen {self.seen[-20:]}")

    def spawn(self, child: Incarnation | None = None, **arguments: Any) -> Incarnation:
        child = child or stage()
        self.runtime.spawn(child, stage_spec(child.stage.name, child.stage.index, **arguments))
        return child

    def started(self, child: Incarnation) -> int:
        """Wait for the child's start; returns its process id."""
        found: Started = self.wait(
            lambda seen: [o for o in seen if isinstance(o, Started) and o.child == child],
            f"{child} started",
        )[0]
        return found.pid

    def exited(self, child: Incarnation, within: float = PATIENCE) -> Exited:
        """Wait for the child's exit."""
        found: Exited = self.wait(
            lambda seen: [o for o in seen if isinstance(o, Exited) and o.child == child],
            f"{child} exited",
            within,
        )[0]
        return found

    def texts(self, child: Incarnation, count: int) -> list[str]:
        """Wait for so many messages of the child; returns their texts."""
        found: list[Received] = self.wait(
            lambda seen: (
                found
                if len(found := [o for o in seen if isinstance(o, Received) and o.child == child])
                >= count
                else None
            ),
            f"{count} messages of {child}",
        )
        return [o.message.body.decode() for o in found if isinstance(o.message, Info)]

    def tell(self, child: Incarnation, text: str, ref: int = 0) -> None:
        self.runtime.send(child, Info(ref, "user", "text", text.encode()))

    @property
    def zygote(self) -> psutil.Process:
        return psutil.Process(self.runtime.describe()["zygote"])

    def spares(self) -> int:
        """How many processes wait to become a stage."""
        return sum(process.name() == "spare" for process in self.zygote.children())


def open_files() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


Make = Callable[..., Watched]
