"""A producer-consumer as a cache: it answers demand with what it has, and asks for the rest alone.

The cache already knows the first answers; the source is slow and is asked for nothing that the
cache can answer.

    $ python examples/cache.py
"""

from queue import Queue

from actorflow import Consumer, Producer, ProducerConsumer, SubscribeTo, Topology


class Source(Producer):
    """Finds answers slowly, say; its result is how many it was asked for."""

    def __init__(self, first):
        self.next = first
        self.asked = 0

    def handle_demand(self, demand):
        self.asked += demand
        events = [f"found {number}" for number in range(self.next, self.next + demand)]
        self.next += demand
        return events

    def on_stop(self, reason):
        self.set_result(self.asked)


class Cache(ProducerConsumer):
    """Gives what it has; its producers are asked for what is left of the demand."""

    def __init__(self, known):
        self.known = known

    def handle_demand(self, demand):
        answers, self.known = self.known[:demand], self.known[demand:]
        return answers

    def handle_events(self, events, subscription):
        return events


class Ask(Consumer):
    """Wants a number of answers, then leaves."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.answers = []

    def handle_subscribe(self, side, options, subscription):
        self.ask(subscription, self.wanted)
        return "manual"

    def handle_events(self, events, subscription):
        self.answers += events
        if len(self.answers) == self.wanted:
            self.set_result(self.answers)
            self.stop()


topology = (
    Topology("cache")
    .stage("source", Source, args={"first": 4})
    .stage(
        "cache",
        Cache,
        args={"known": ["known 1", "known 2", "known 3"]},
        subscribe_to=[SubscribeTo("source", max_demand=10)],
    )
    .stage("ask", Ask, args={"wanted": 5}, subscribe_to=["cache"])
)
with topology.start() as run:
    gone = Queue()
    run.monitor("ask", gone)
    gone.get(timeout=60)
    results = run.stop().results

print("answers:", ", ".join(results["ask"]))
print("the source was asked for:", results["source"])
