"""The host of a real run, a program of its own so that it can be killed: FOLDER says what to run.

It runs ``python -m tests.chaos.host FOLDER``, and leaves there what is needed to judge the run, and
to understand it should it hang.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actorflow import Run
from actorflow.runtime.local import links
from tests.chaos.players import topology_of
from tests.chaos.shapes import Shape

__all__ = ["CHECKPOINT", "REPORT", "SETTINGS", "SHAPE", "STACKS", "STATUS", "main"]

SHAPE, SETTINGS, CHECKPOINT = "shape.json", "settings.json", "run.checkpoint"
REPORT, STATUS, LOG, STACKS = "report.json", "status.json", "host.log", "host-0-0.stacks"
LOOK_EVERY = 0.1


def main(folder: Path) -> int:
    """Run to the end; 0 when it is done."""
    settings = json.loads((folder / SETTINGS).read_text())
    stacks = (folder / STACKS).open("a")
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
    if settings["pipe"]:
        links.WIDE = settings["pipe"]
    shape = Shape.from_json((folder / SHAPE).read_text())
    checkpoint = str(folder / CHECKPOINT) if settings["checkpoint"] else None
    topology = topology_of(shape, folder=str(folder), checkpoint=checkpoint)
    log = (folder / LOG).open("a", buffering=1)

    def listen(event: Any) -> None:
        # Under the nemesis this process may be allowed neither descriptors nor bytes.
        with contextlib.suppress(OSError):
            print(event, file=log)

    with topology.start(listen) as run:
        while True:
            try:
                outcome = run.outcome(timeout=LOOK_EVERY)
                break
            except TimeoutError:
                show_status(run, folder)
    error = repr(outcome.root_cause) if outcome.root_cause is not None else None
    report = {"status": outcome.status, "error": error, "results": outcome.results}
    while True:
        try:
            write(folder / REPORT, report)
            break
        except OSError:
            time.sleep(LOOK_EVERY)  # the nemesis has not given the disk back yet
    return 0 if outcome.status == "done" else 1


def show_status(run: Run, folder: Path) -> None:
    """Leave a picture of the run: who has how much from whom, and what waits."""
    statistics = run.stats()
    with contextlib.suppress(OSError):
        write(folder / STATUS, asdict(statistics))


def write(path: Path, content: Any) -> None:
    """Replace a file at once, so that whoever reads it has all of it."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, default=str))
    os.replace(new, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
