"""A→B→C, GenStage's first example: A counts, B multiplies by two, C adds up.

Three processes. C asks B for events and B asks A, so that none is ever given more than it can take.

    $ python examples/pipeline.py
"""

from actorflow import Consumer, Producer, ProducerConsumer, SubscribeTo, Topology


class A(Producer):
    """Counts from 0 to `limit`, exactly as it is asked."""

    def __init__(self, limit):
        self.limit = limit
        self.next = 0

    def handle_demand(self, demand):
        events = range(self.next, min(self.limit, self.next + demand))
        self.next += len(events)
        if self.next == self.limit:
            self.finish()
        return events


class B(ProducerConsumer):
    """Multiplies each event by two."""

    def handle_events(self, events, subscription):
        return [2 * event for event in events]


class C(Consumer):
    """Adds up, and keeps the size of the largest batch."""

    def __init__(self):
        self.total = self.events = self.largest = 0

    def handle_events(self, events, subscription):
        self.total += sum(events)
        self.events += len(events)
        self.largest = max(self.largest, len(events))

    def on_stop(self, reason):
        self.set_result((self.events, self.total, self.largest))


topology = (
    Topology("pipeline")
    .stage("a", A, args={"limit": 10_000})
    .stage("b", B, subscribe_to=["a"])
    .stage("c", C, subscribe_to=[SubscribeTo("b", max_demand=100, min_demand=50)])
)
with topology.start() as run:
    events, total, largest = run.wait(timeout=60)["c"]

print(f"C took {events} events, {total} in all")
print(f"no batch was larger than max_demand - min_demand = 50: {largest <= 50}")
