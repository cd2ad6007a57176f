"""A pool of workers and a queue that the program fills.

The queue is a source that has nothing at first. Each worker asks for as much as it can do soon, so
a worker with long jobs gets few of them. What nobody has asked for waits in the queue's buffer.

    $ python examples/worker_pool.py
"""

import time

from actorflow import Consumer, Producer, ProducerConsumer, SubscribeTo, Topology

WORKERS = 4


class Queue(Producer):
    """Emits the jobs that it is cast."""

    def handle_demand(self, demand):
        return None

    def handle_cast(self, jobs):
        return jobs


class Worker(ProducerConsumer):
    """Takes its time over each job."""

    def handle_events(self, jobs, subscription):
        time.sleep(0.005 * len(jobs))
        return [[self.index, job, job % 7] for job in jobs]


class Results(Consumer):
    """Keeps who did what."""

    def __init__(self):
        self.done = {}

    def handle_events(self, events, subscription):
        for worker, job, result in events:
            self.done[job] = (worker, result)

    def on_stop(self, reason):
        self.set_result(self.done)


topology = (
    Topology("worker_pool")
    .stage("queue", Queue)
    .stage("worker", Worker, replicas=WORKERS, subscribe_to=[SubscribeTo("queue", max_demand=4)])
    .stage("results", Results, subscribe_to=["worker"])
)
with topology.start() as run:
    run.cast("queue", list(range(60)))
    run.cast("queue", list(range(60, 100)))
    done = run.drain(timeout=60).results["results"]

print(f"{len(done)} jobs done, each by one of {WORKERS} workers")
print("the sum of their results:", sum(result for _, result in done.values()))
