"""An event manager: whatever the program notifies goes to every handler that wants it.

Handlers are stages, so a slow or broken one is alone with that. A handler with a selector gets what
its selector takes, and the rest costs it nothing.

    $ python examples/event_manager.py
"""

from actorflow import Consumer, Producer, SubscribeTo, Topology


class Events(Producer):
    """Emits what it is notified of; what nobody has asked for yet waits in its buffer."""

    dispatcher = "broadcast"

    def handle_demand(self, demand):
        return None

    def handle_call(self, event, sender):
        self.emit([event])
        return "notified"


class Handler(Consumer):
    """Keeps the events it gets, in order."""

    def __init__(self):
        self.seen = []

    def handle_events(self, events, subscription):
        self.seen += [event["text"] for event in events]

    def on_stop(self, reason):
        self.set_result(self.seen)


def is_alarm(event):
    """The selector of who is called at night."""
    return event["level"] == "alarm"


if __name__ == "__main__":  # the broadcast imports this file, for the selector
    topology = (
        Topology("event_manager")
        .stage("events", Events)
        .stage("diary", Handler, subscribe_to=["events"])
        .stage(
            "pager",
            Handler,
            subscribe_to=[SubscribeTo("events", selector="event_manager:is_alarm")],
        )
    )
    with topology.start() as run:
        for level, text in [("note", "it rains"), ("alarm", "it pours"), ("note", "it is dry")]:
            answer = run.call("events", {"level": level, "text": text})
        results = run.drain(timeout=60).results

    print("the last call was answered with:", answer)
    print("diary:", results["diary"])
    print("pager:", results["pager"])
