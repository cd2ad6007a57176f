"""A task pool: folders make tasks of their subfolders, files are counted; nobody waits for room.

One task per folder; how many there will be, nobody knows before. A stop waits for the last of them.

    $ python examples/pool.py
"""

import json
import tempfile
from pathlib import Path

from actorflow import Consumer, Topology, from_iterable
from actorflow.stages.pool import Pipeline, Query, TaskPool


def walk(folder, context):
    """Make a task of each subfolder, and one of each file."""
    for path in sorted(Path(folder).iterdir()):
        context.emit(str(path), to="walk" if path.is_dir() else "measure")


def measure(path, context):
    """The size of one file."""
    context.emit({"name": Path(path).name, "bytes": Path(path).stat().st_size})


class Total(Consumer):
    """Counts and adds up."""

    def __init__(self):
        self.files = self.bytes = 0

    def handle_events(self, events, subscription):
        self.files += len(events)
        self.bytes += sum(event["bytes"] for event in events)

    def on_stop(self, reason):
        self.set_result({"files": self.files, "bytes": self.bytes})


sizes = Query(
    name="sizes",
    pipelines={"walk": Pipeline(run=walk, to=["walk", "measure"]), "measure": measure},
    sources={"folders": "walk"},
)

with tempfile.TemporaryDirectory() as top:
    for depth in range(1, 6):
        for name in ("a", "b"):
            folder = Path(top, *["deep"] * depth, name)
            folder.mkdir(parents=True)
            (folder / "file.txt").write_text("x" * 10 * depth)
    topology = (
        Topology("sizes")
        .stage("folders", from_iterable([top]))
        .stage("pool", TaskPool, args={"queries": [sizes], "workers": 2}, subscribe_to=["folders"])
        .stage("total", Total, subscribe_to=["pool"])
    )
    with topology.start() as run:
        results = run.wait(timeout=60)

query = results["pool"]["sizes"]
print(json.dumps(results["total"]))
print(f"1 task came in, {query['created']} were made inside, {query['executed']} were run")
print("stopped in this order:", ", ".join(query["stops"]))
