"""A run as an actor among a program's own pykka actors.

`Supervisor.start(topology, owner=…)` gives an actor. It tells its owner when its run is over, and
why; it stops with everybody else, and its processes with it.

    $ python examples/embedded_actor.py
"""

import threading

import pykka

from actorflow import (
    Consumer,
    RunDown,
    Supervisor,
    SupervisorOptions,
    Topology,
    from_iterable,
)

told = threading.Event()


class Parse(Consumer):
    """Adds up what its events say; runs in a process of its own."""

    def __init__(self):
        self.total = 0

    def handle_events(self, events, subscription):
        for event in events:
            self.total += int(event)
        self.set_result(self.total)


class Owner(pykka.ThreadingActor):
    """One of the program's actors: has two runs, one after the other."""

    def __init__(self):
        super().__init__()
        self.inputs = [["1", "2", "3"], ["1", "two", "3"]]

    def on_start(self):
        self.next_run()

    def on_receive(self, message):
        if isinstance(message, RunDown):
            outcome = message.outcome
            why = outcome.error.__cause__ if outcome.error else outcome.results
            print(f"{message.run} is {outcome.status}: {why}")
            self.next_run()

    def next_run(self):
        if not self.inputs:
            told.set()
            return
        # The second run fails, which is this actor's business and nobody else's.
        options = SupervisorOptions(max_restarts=0)
        topology = (
            Topology(f"parse-{3 - len(self.inputs)}", supervisor=options)
            .stage("texts", from_iterable(self.inputs.pop(0)))
            .stage("parse", Parse, subscribe_to=["texts"])
        )
        Supervisor.start(topology, owner=self.actor_ref)


Owner.start()
told.wait(timeout=60)
print(f"{len(pykka.ActorRegistry.get_all())} actors are stopped")
pykka.ActorRegistry.stop_all()
