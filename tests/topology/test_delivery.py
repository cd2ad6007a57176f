"""What of `delivery`, and of the state that stages keep, is refused before anything runs."""

from __future__ import annotations

from typing import Any

from actorflow import Consumer, Defaults, Topology
from actorflow.stages.sources import Items


class Sink(Consumer):
    """Takes everything."""

    def handle_events(self, events: list[Any], subscription: Any) -> None: ...


class OnlySnapshot(Sink):
    """A state that nobody could go on from."""

    def snapshot(self) -> int:
        return 1


class OnlyRestore(Sink):
    """A state that is never kept."""

    def restore(self, state: int) -> None: ...


def said(topology: Topology) -> list[str]:
    """The mistakes of a topology."""
    return [str(problem) for problem in topology.problems()]


def test_exactly_once_is_for_both_sides_of_a_subscription() -> None:
    """One side alone is a mistake, named at the subscription."""
    topology = Topology("mixed").stage(
        "numbers", Items, args={"items": [1]}, delivery="exactly_once"
    )
    assert said(topology.stage("sink", Sink, subscribe_to=["numbers"])) == [
        "stages.sink.subscribe_to.0.to: 'numbers' has delivery exactly_once and 'sink' has"
        " at_least_once; exactly_once is for all stages that take events from each other"
    ]
    both = topology.stage("sink", Sink, subscribe_to=["numbers"], delivery="exactly_once")
    assert said(both) == []


def test_exactly_once_as_a_default_is_for_all() -> None:
    """Consumers have it, too."""
    topology = Topology("all", defaults=Defaults(delivery="exactly_once"))
    topology = topology.stage("numbers", Items, args={"items": [1]})
    topology = topology.stage("sink", Sink, subscribe_to=["numbers"])
    assert said(topology) == []
    modes = {child.stage.options.delivery for child in topology.plan().children}
    assert modes == {"exactly_once"}


def test_a_state_is_kept_and_restored_or_neither() -> None:
    """A class with one half of it is refused."""
    for use, has, lacks in (
        (OnlySnapshot, "snapshot", "restore"),
        (OnlyRestore, "restore", "snapshot"),
    ):
        topology = Topology("half").stage("numbers", Items, args={"items": [1]})
        assert said(topology.stage("sink", use, subscribe_to=["numbers"])) == [
            f"stages.sink.use: {use.__name__} defines {has} and not {lacks};"
            " it takes both to keep a state"
        ]
