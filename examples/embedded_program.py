"""Runs inside a program: a generator goes in, a loop takes out, several at once.

$ python examples/embedded_program.py
"""

from itertools import count

from actorflow import ProducerConsumer, Topology, from_iterable


class Square(ProducerConsumer):
    """Runs in two processes of its own."""

    def handle_events(self, events, subscription):
        return [event * event for event in events]


def squares(numbers):
    """The numbers stay in the program, and are taken as far as somebody wants them."""
    return (
        Topology("squares")
        .stage("numbers", from_iterable(numbers, max_demand=10))
        .stage("square", Square, replicas=2, subscribe_to=["numbers"])
    )


# A run for one loop: nothing else has to be closed.
print("ten squares, of two processes:", sorted(squares(range(10)).stream("square")))

# Two runs at once do not know of each other. Leaving the block stops what still runs.
with squares(range(100)).start() as finite, squares(count()).start() as endless:
    print("all of one run:", sum(finite.stream("square")))
    finite.wait(timeout=60)
    for square in endless.stream("square"):
        if square > 1000:
            break
    print("one is over, the other one is not:", finite.over, endless.over)
print("both are over:", finite.over, endless.over)
