"""Batches: five round trips of a millisecond for each item, or for each batch.

Eight threads look prices up at a shop that answers slowly. One by one, each item pays for five
trips; in batches they share them. An item that the shop does not know fails alone.

    $ python examples/batcher.py
"""

import time
from concurrent.futures import ThreadPoolExecutor

from actorflow import Batcher, BatchFailed
from actorflow.stages.batcher import Err, Immediate, Limits

ITEMS = 160
CALLERS = 8


class Shop:
    """Answers any number of questions of one request in the same time."""

    def process(self, key, inputs, resources):
        for _ in range(5):
            time.sleep(0.001)
        return [Err("unknown") if number < 0 else 10 * number for number in inputs]


def ask(batch_size):
    """Seconds for all items, and their prices."""
    limits = Limits(max_batch_size=batch_size, max_key_concurrency=1, max_batch_queue_size=CALLERS)
    with Batcher.start(Shop, policy=Immediate(), limits=limits) as batcher:
        batcher.add("shop", 0, timeout=30)
        began = time.perf_counter()
        with ThreadPoolExecutor(CALLERS) as callers:
            prices = list(callers.map(lambda number: batcher.add("shop", number), range(ITEMS)))
        seconds = time.perf_counter() - began
        try:
            batcher.add("shop", -1)
        except BatchFailed as error:
            failed = str(error)
    return seconds, prices, failed


alone, prices, failed = ask(batch_size=1)
together, again, _ = ask(batch_size=CALLERS)
print("each has its own price:", prices == again == [10 * number for number in range(ITEMS)])
print("batches of", CALLERS, "are more than twice as fast:", together < alone / 2)
print(failed)
