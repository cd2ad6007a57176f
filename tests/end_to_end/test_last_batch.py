"""A producer that emits its last batch and exits loses nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorflow import Defaults, Producer, SubscribeTo, Topology
from actorflow.runtime.local import handover
from tests.end_to_end.helpers import numbers_in
from tests.end_to_end.stages import Collect, Count, Once, Pass

pytestmark = pytest.mark.processes

BOTH = pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])


class Impatient(Once):
    """Would give up very soon on a consumer that does not read."""

    def on_start(self) -> None:
        handover.LAST_WORDS = 0.05


def pair(
    source: type[Producer], delivery: str, demand: int, *, seconds: float = 0.0, **args: int
) -> Topology:
    """A source and a counting sink, which takes so many seconds for each batch."""
    demand_of = SubscribeTo("source", max_demand=demand)
    return (
        Topology("pair", defaults=Defaults(delivery=delivery))
        .stage("source", source, args=args)
        .stage("sink", Count, args={"seconds": seconds}, subscribe_to=[demand_of])
    )


@BOTH
def test_s115_the_last_batch_arrives(delivery: str) -> None:
    """Emitting and finishing in one callback hands all of it over."""
    with pair(Once, delivery, 10_000, count=10_000).start() as run:
        assert run.wait(50)["sink"]["events"] == 10_000


@BOTH
def test_a_last_batch_larger_than_the_pipe_arrives(delivery: str) -> None:
    """So does one of 16 MB, which no pipe holds."""
    with pair(Once, delivery, 16, count=16, size=1 << 20).start() as run:
        assert run.wait(50)["sink"] == {"events": 16, "bytes": 16 << 20}


@BOTH
def test_a_slow_consumer_gets_the_last_batch(delivery: str) -> None:
    """However long a consumer takes, an orderly producer waits until it has read everything.

    The last event is on its way while the consumer is busy with the one before it.
    """
    topology = pair(Impatient, delivery, 2, count=3, size=4 << 20, seconds=0.3)
    with topology.start() as run:
        assert run.wait(50)["sink"] == {"events": 3, "bytes": 12 << 20}


@BOTH
def test_the_last_batch_goes_through_a_chain(delivery: str, tmp_path: Path) -> None:
    """Each stage of a chain hands on everything before it ends."""
    journal = tmp_path / "journal"
    topology = (
        Topology("chain", defaults=Defaults(delivery=delivery))
        .stage("source", Once, args={"count": 5000})
        .stage("pass", Pass, subscribe_to=[SubscribeTo("source", max_demand=5000)])
        .stage("again", Pass, subscribe_to=[SubscribeTo("pass", max_demand=7)])
        .stage(
            "sink",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("again", max_demand=100)],
        )
    )
    with topology.start() as run:
        assert run.wait(50)["sink"] == 5000
    assert numbers_in(journal) == list(range(5000))


@BOTH
def test_every_consumer_gets_its_share(delivery: str, tmp_path: Path) -> None:
    """With several consumers each last batch arrives where it was sent, once."""
    journal = tmp_path / "journal"
    topology = (
        Topology("several", defaults=Defaults(delivery=delivery))
        .stage("source", Once, args={"count": 1000})
        .stage(
            "sink",
            Collect,
            replicas=3,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("source", max_demand=5)],
        )
    )
    with topology.start() as run:
        assert sum(run.wait(50)["sink"]) == 1000
    assert sorted(numbers_in(journal)) == list(range(1000))
