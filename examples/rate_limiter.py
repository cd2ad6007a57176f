"""A rate limiter: no more than so many events in a second, whatever the source could give.

The rate is an option of the subscription: the consumer asks for no more than it allows. It may be
changed while events flow, and costs the other consumers of the source nothing.

    $ python examples/rate_limiter.py
"""

import time

from actorflow import Consumer, SubscribeTo, Topology, from_iterable

RATE, BURST, EVENTS = 100, 10, 60


class Limited(Consumer):
    """Notes how long it takes from its subscription to its last event."""

    def __init__(self):
        self.events = 0
        self.seconds = 0.0

    def handle_subscribe(self, side, options, subscription):
        self.began = time.monotonic()

    def handle_events(self, events, subscription):
        self.events += len(events)
        self.seconds = time.monotonic() - self.began

    def on_stop(self, reason):
        self.set_result((self.events, self.seconds))


topology = (
    Topology("rate_limiter")
    .stage("numbers", from_iterable(range(EVENTS)))
    .stage(
        "limited",
        Limited,
        subscribe_to=[SubscribeTo("numbers", max_demand=20, rate=RATE, burst=BURST)],
    )
)
with topology.start() as run:
    events, seconds = run.wait(timeout=60)["limited"]

fastest = (EVENTS - BURST) / RATE
print(f"{events} events at {RATE} per second, {BURST} of them at once")
print(f"that takes {fastest:g} s at least, and it did: {seconds >= fastest}")
