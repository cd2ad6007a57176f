"""The stages of the random topologies, and how a `Shape` becomes a topology of them."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actorflow import (
    Consumer,
    Defaults,
    Producer,
    ProducerConsumer,
    SubscribeTo,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.stage.behaviour import Stage
from actorflow.testing import spend
from tests.chaos.history import DONE, EMITTED, TAKEN, HistoryFile, tap_acknowledgements
from tests.chaos.shapes import Part, Shape, Take, derived

__all__ = ["topology_of"]

TICK = 0.002


class _Player(Stage):
    """What all have in common.

    Args:
        part: what it is, as fields of `Part`.
        folder: where its history is written; nothing for a simulated run, which is watched.
    """

    def __init__(self, part: dict[str, Any], folder: str) -> None:
        takes = tuple(Take(**take) for take in part["takes"])
        self.part = Part(**{**part, "takes": takes})
        self.folder = folder
        self.life = ""
        self.made = 0
        self.events: list[str] = []
        """What it has taken."""
        self.history: HistoryFile | None = None

    def on_start(self) -> None:
        # The processes are forks of one, so that Python's generator is the same in all.
        self.life = os.urandom(4).hex() if self.folder else f"{random.getrandbits(32):08x}"
        if self.folder:
            self.history = HistoryFile(self.folder, self.name, self.index, self.life)
            # Where it is, should the run hang.
            path = Path(self.folder, f"{self.name}-{self.index}-{os.getpid()}.stacks")
            self.stacks = path.open("a")
            faulthandler.register(signal.SIGUSR1, self.stacks)
            tap_acknowledgements(self.history.add)

    def add(self, kind: str, events: Iterable[str]) -> None:
        if self.history is not None:
            self.history.add(kind, events)

    def take(self, events: list[str]) -> None:
        self.add(TAKEN, events)
        if self.part.pause:
            spend(self.part.pause)
        self.events += events

    def on_stop(self, reason: Any) -> None:
        if self.part.kind != "source":
            self.set_result(self.events)


class Source(_Player, Producer):
    """Emits numbers, each once; under at_most_once each life has numbers of its own."""

    def __init__(self, part: dict[str, Any], folder: str) -> None:
        super().__init__(part, folder)
        self.next = 0

    def on_start(self) -> None:
        super().on_start()
        if self.part.answer == "ticks":
            self.send_after(TICK, "tick")

    def handle_demand(self, demand: int) -> list[str]:
        if self.part.answer == "ticks":
            return []
        return self._emit(demand + 3 if self.part.answer == "more" else demand)

    def handle_info(self, message: Any) -> list[str]:
        if self.next < self.part.count:
            self.send_after(TICK, "tick")
        return self._emit(3)

    def _emit(self, count: int) -> list[str]:
        numbers = range(self.next, min(self.next + count, self.part.count))
        self.next = numbers.stop
        if self.next == self.part.count:
            self.finish()
        mine = f"~{self.life}" if self.part.delivery == "at_most_once" else ""
        events = [f"{self.name}/{self.index}{mine}:{number}" for number in numbers]
        if events:
            self.add(EMITTED, events)
        return events


class KeptSource(Source):
    """One that goes on from its position."""

    def snapshot(self) -> int:
        return self.next

    def restore(self, state: int) -> None:
        self.next = state


class Through(_Player, ProducerConsumer):
    """Makes none, one or several events of each."""

    def handle_events(self, events: list[str], subscription: Subscription) -> list[str]:
        self.take(events)
        made = [each for event in events for each in derived(self.part, event)]
        if self.part.delivery == "at_most_once":
            made = [self._mark(event) for event in made]
        if made:
            self.add(EMITTED, made)
        self.add(DONE, events)
        return made

    def _mark(self, event: str) -> str:
        """What is made of an event that comes twice is something else: it says so itself."""
        self.made += 1
        return f"{event.rpartition('.')[0]}~{self.life}.{self.made}"


class KeptThrough(Through):
    """One that keeps what it has taken."""

    def snapshot(self) -> list[str]:
        return self.events

    def restore(self, state: list[str]) -> None:
        self.events = state


class Sink(_Player, Consumer):
    """Takes events."""

    def handle_events(self, events: list[str], subscription: Subscription) -> None:
        self.take(events)
        self.add(DONE, events)


class KeptSink(Sink):
    """One that keeps what it has taken."""

    def snapshot(self) -> list[str]:
        return self.events

    def restore(self, state: list[str]) -> None:
        self.events = state


_CLASSES: dict[tuple[str, bool], Any] = {
    ("source", False): Source,
    ("source", True): KeptSource,
    ("through", False): Through,
    ("through", True): KeptThrough,
    ("sink", False): Sink,
    ("sink", True): KeptSink,
}


def topology_of(shape: Shape, *, folder: str = "", checkpoint: str | None = None) -> Topology:
    """The topology that a shape describes.

    Args:
        shape: what runs.
        folder: where the stages write their histories; nothing for a simulated run.
        checkpoint: the run's checkpoint file, or None.
    """
    topology = Topology(
        "chaos",
        # What is tested is what becomes of events, and not when a supervisor gives up.
        supervisor=SupervisorOptions(max_restarts=1000, max_seconds=1.0),
        defaults=Defaults(delivery="exactly_once") if shape.exact else Defaults(),
        checkpoint=checkpoint,
    )
    for part in shape.parts:
        topology = topology.stage(
            part.name,
            _CLASSES[part.kind, part.keeps],
            args={"part": _as_data(part), "folder": folder},
            replicas=part.replicas,
            subscribe_to=[SubscribeTo(t.producer, max_demand=t.max_demand) for t in part.takes],
            **_options(shape, part),
        )
    return topology


def _as_data(part: Part) -> dict[str, Any]:
    data = asdict(part)
    data["takes"] = list(data["takes"])
    return data


def _options(shape: Shape, part: Part) -> dict[str, Any]:
    if part.kind == "sink":
        return {}
    dispatcher: Any = part.dispatcher
    if dispatcher == "partition":
        (consumer,) = shape.consumers(part.name)
        dispatcher = {"partition": {"partitions": consumer.replicas}}
    options: dict[str, Any] = {
        "dispatcher": dispatcher,
        "delivery": part.delivery,
        "buffer_size": None,
    }
    if part.max_unfinished:
        options["max_unfinished"] = part.max_unfinished
    return options
