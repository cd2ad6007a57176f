"""Batches: one slow request for each item, or one for all that wait.

Eight threads look prices up at a shop that answers slowly. One by one, each item is a request; in
batches they share them. An item that the shop does not know fails alone.

    $ python examples/batcher.py
"""

import time
from concurrent.futures import ThreadPoolExecutor

from actorflow import Batcher, BatchFailed
from actorflow.stages.batcher import Err, Limits, Size

ITEMS = 160
CALLERS = 8


class Shop:
    """Answers all questions of one request in the same time, and says which request it was."""

    requests = 0

    def process(self, key, inputs, resources):
        self.requests += 1
        time.sleep(0.005)
        return [Err("unknown") if number < 0 else (10 * number, self.requests) for number in inputs]


def ask(batch_size):
    """How many requests all items took, their prices, and what an unknown one ends with."""
    limits = Limits(max_batch_size=batch_size, max_key_concurrency=1, max_batch_queue_size=CALLERS)
    with Batcher.start(Shop, policy=Size(linger=0.2), limits=limits) as batcher:
        with ThreadPoolExecutor(CALLERS) as callers:
            answers = list(callers.map(lambda number: batcher.add("shop", number), range(ITEMS)))
        try:
            batcher.add("shop", -1)
        except BatchFailed as error:
            failed = str(error)
    requests = len({request for _, request in answers})
    return requests, [price for price, _ in answers], failed


alone, prices, failed = ask(batch_size=1)
together, again, _ = ask(batch_size=CALLERS)
print("each has its own price:", prices == again == [10 * number for number in range(ITEMS)])
print("one by one,", ITEMS, "items are", alone, "requests")
print("in batches of up to", CALLERS, "less than half as many:", together < alone / 2)
print(failed)
