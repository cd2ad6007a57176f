"""Jobs from a queue outside, a database, which are acknowledged only when their work is done.

The source leases jobs, two workers do them, and the sink stores each result and takes its job off
the queue in one transaction. So a job that comes twice, as a worker is killed on the way, counts
once; and a program that is killed finds its leases in the queue when it starts again.

    $ python examples/job_queue.py
"""

import os
import signal
import sqlite3
import tempfile
from pathlib import Path

from actorflow import Consumer, Producer, ProducerConsumer, Topology

JOBS = 100
LEASE = """UPDATE jobs SET state = 'leased'
WHERE id IN (SELECT id FROM jobs WHERE state = 'new' LIMIT ?) RETURNING id"""


def connect(path):
    queue = sqlite3.connect(path, timeout=30, isolation_level=None)
    queue.execute("PRAGMA synchronous = OFF")  # it need not outlive the machine
    return queue


class Lease(Producer):
    """Takes from the queue as many jobs as are wanted; looks again while it finds fewer."""

    poll_interval = 0.02

    def __init__(self, path):
        self.queue = connect(path)
        self.queue.execute("UPDATE jobs SET state = 'new'")  # leases of a life before this one

    def handle_demand(self, demand):
        if not self.queue.execute("SELECT 1 FROM jobs LIMIT 1").fetchall():
            self.finish()  # everything is acknowledged; a service would go on looking
        return [job for (job,) in self.queue.execute(LEASE, [demand])]


class Square(ProducerConsumer):
    """Does the work. The first of its processes kills itself in the middle of it."""

    def __init__(self, killed):
        self.killed = Path(killed)

    def handle_events(self, jobs, subscription):
        if JOBS // 2 in jobs and not self.killed.exists():
            self.killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [(job, job * job) for job in jobs]


class Acknowledge(Consumer):
    """Stores results and takes their jobs off the queue, all of a batch or nothing."""

    def __init__(self, path):
        self.queue = connect(path)

    def handle_events(self, results, subscription):
        self.queue.execute("BEGIN IMMEDIATE")
        for job, square in results:
            if self.queue.execute("DELETE FROM jobs WHERE id = ?", [job]).rowcount:
                self.queue.execute("INSERT INTO results VALUES (?, ?)", [job, square])
        self.queue.execute("COMMIT")


with tempfile.TemporaryDirectory() as folder:
    path = {"path": f"{folder}/queue"}
    queue = connect(**path)
    queue.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state)")
    queue.execute("CREATE TABLE results (id, square)")
    queue.executemany("INSERT INTO jobs (id) VALUES (?)", [(job,) for job in range(JOBS)])
    killed = {"killed": f"{folder}/killed"}
    topology = (
        Topology("job_queue")
        .stage("lease", Lease, args=path)
        .stage("square", Square, args=killed, replicas=2, subscribe_to=["lease"])
        .stage("acknowledge", Acknowledge, args=path, subscribe_to=["square"])
    )
    with topology.start(lambda event: None) as run:  # no log lines about the kill
        run.wait(timeout=60)
        restarts = sum(stage.restarts for stage in run.stats().stages)
    results = queue.execute("SELECT id, square FROM results ORDER BY id").fetchall()
    queue.close()
print(f"{len(results)} results, after {restarts} kill of a worker")
print("each job has one, and the right one:", results == [(job, job * job) for job in range(JOBS)])
