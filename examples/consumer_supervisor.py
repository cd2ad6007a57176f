"""One child per event: each job is run by a child of its own, at most three at the same time.

Children run in warm worker processes. One that dies takes nothing with it but its worker, which is
replaced; a transient child is run again, so no job is lost.

    $ python examples/consumer_supervisor.py
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from actorflow import (
    ChildTemplate,
    Consumer,
    ProducerConsumerSupervisor,
    SubscribeTo,
    Topology,
    from_iterable,
)


def square(folder, number):
    """The job. Number 5 kills its process, the first time."""
    scar = Path(folder) / "scar"
    if number == 5 and not scar.exists():
        scar.touch()
        os._exit(1)
    return [number, number * number]


class Collect(Consumer):
    """Keeps the children's results."""

    def __init__(self):
        self.results = []

    def handle_events(self, events, subscription):
        self.results += events

    def on_stop(self, reason):
        self.set_result(self.results)


with TemporaryDirectory() as folder:
    children = ChildTemplate(run=square, arguments=(folder,), workers=3)
    topology = (
        Topology("consumer_supervisor")
        .stage("jobs", from_iterable(range(10)))
        .stage(
            "children",
            ProducerConsumerSupervisor,
            args={"template": children},
            subscribe_to=[SubscribeTo("jobs", max_demand=3, min_demand=2)],
        )
        .stage("collect", Collect, subscribe_to=["children"])
    )
    with topology.start() as run:
        results = run.wait(timeout=60)["collect"]
    killed = (Path(folder) / "scar").exists()

print(f"{len(results)} jobs done, one of whose children died and was run again: {killed}")
for number, squared in sorted(results):
    print(f"{number} * {number} = {squared}")
