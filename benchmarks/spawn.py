"""Children per second: a process, a warm worker's task, a thread for each event, beside the rivals.

Each side runs a child for each of so many numbers and gets twice the number back, with the same
number of children under way: as soon as one has ended, the next is started. Sides alternate, so
that a noisy machine is noisy for all.

    os.fork       fork, exit, wait, one after the other, in a small program: nothing comes back
    fork server   a bare one: a socket, a fork, four bytes back (`benchmarks._fork_server`)
    forkserver    multiprocessing's, a Process for each, with a pipe for the result
    process       actorflow, ProducerConsumerSupervisor, a fresh process for each event
    worker        the same, in warm workers
    thread        the same, a pykka actor for each
    task          the same, an asyncio task for each

What a process and the bare server's child have in common: both are forked, with the same modules in
memory, come to their work, leave four bytes or more, exit and are waited for. Beyond that a process
of actorflow has its event from another process and its result goes to a third; it leads a group,
dies with its parent, and has no descriptor of anybody else's; what it raises arrives with its
traceback, and what it has forked is killed with it.

    python -m benchmarks.spawn
    python -m benchmarks.spawn --side process --side server --children 2000 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from actorflow import (
    ChildTemplate,
    ProducerConsumerSupervisor,
    SubscribeTo,
    Topology,
)
from benchmarks import _processes
from benchmarks._fork_server import NUMBER
from benchmarks._numbers import Numbers
from benchmarks._spawned import Total, double, double_in_task
from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    alternate,
    at_least,
    parser,
    publish,
    quotients,
    series,
)
from benchmarks._suite.records import Role

# --- actorflow ------------------------------------------------------------------------------------


def run_actorflow(kind: str, children: int, window: int) -> float:
    """Children per second of one run.

    Processes have the rivals' window, which is refilled as theirs is; what is cheap has a window of
    its own, as it would have.
    """
    run = double_in_task if kind == "task" else double
    template = ChildTemplate(run=run, kind=kind)  # type: ignore[arg-type]
    # In several batches, however few they are: the time is taken from the first to the last.
    demand: dict[str, Any] = {"max_demand": min(1000, max(2, children // 5))}
    if kind in ("process", "thread"):
        demand = {"max_demand": window, "min_demand": window - 1}
    topology = (
        Topology("spawn")
        .stage("numbers", Numbers, args={"limit": children})
        .stage(
            "jobs",
            ProducerConsumerSupervisor,
            args={"template": template},
            subscribe_to=[SubscribeTo("numbers", **demand)],
        )
        .stage("total", Total, subscribe_to=[SubscribeTo("jobs", max_demand=1000)])
    )
    with topology.start() as run_:
        total, count, seconds = run_.wait(timeout=300)["total"]
    _check(total, children)
    return float(count / seconds) if seconds else 0.0


# --- rivals ---------------------------------------------------------------------------------------

_PLAIN = """
import os, sys, time
children = int(sys.argv[1])
began = time.perf_counter()
for _ in range(children):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
print(children / (time.perf_counter() - began))
"""


def run_plain(kind: str, children: int, window: int) -> float:
    """`os.fork` and nothing else, in a program that has imported nothing."""
    command = [sys.executable, "-S", "-c", _PLAIN, str(children)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def run_server(kind: str, children: int, window: int) -> float:
    """The bare fork server."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "benchmarks._fork_server", str(theirs.fileno())]
    server = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    theirs.close()
    with ours:
        # The first child is there when the server has imported everything.
        ours.sendall(NUMBER.pack(0))
        _receive(ours, 1)
        began = time.perf_counter()
        total = given = done = 0
        while done < children:
            while given < children and given - done < window:
                ours.sendall(NUMBER.pack(given))
                given += 1
            numbers = _receive(ours, 1)
            total += sum(numbers)
            done += len(numbers)
        seconds = time.perf_counter() - began
    server.wait(60)
    _check(total, children)
    return children / seconds


def _receive(sock: socket.socket, at_least: int) -> list[int]:
    data = b""
    while len(data) < at_least * NUMBER.size or len(data) % NUMBER.size:
        part = sock.recv(4096)
        if not part:
            raise AssertionError("the fork server is gone")
        data += part
    return [number for (number,) in NUMBER.iter_unpack(data)]


def run_multiprocessing(kind: str, children: int, window: int) -> float:
    """`multiprocessing` with its forkserver."""
    ran = subprocess.run(
        _processes.command(children, window), capture_output=True, check=True, text=True
    )
    total, seconds = ran.stdout.split()
    _check(int(total), children)
    return children / float(seconds)


def _check(total: int, children: int) -> None:
    if total != children * (children - 1):
        raise AssertionError(f"a wrong total of {children} children: {total}")


# --- the comparison -------------------------------------------------------------------------------

Side = Callable[[str, int, int], float]
SIDES: dict[str, Side] = {
    "plain": run_plain,
    "server": run_server,
    "forkserver": run_multiprocessing,
    "process": run_actorflow,
    "worker": run_actorflow,
    "thread": run_actorflow,
    "task": run_actorflow,
}
TIMES = {"worker": 40, "task": 10}
"""How many times the children a cheap side runs, to take a comparable time."""


NAMES: dict[str, tuple[str, Role]] = {
    "plain": ("os.fork", "floor"),
    "server": ("bare fork server", "floor"),
    "forkserver": ("multiprocessing forkserver", "peer"),
    "process": ("actorflow, process", "actorflow"),
    "worker": ("actorflow, warm worker", "actorflow"),
    "thread": ("actorflow, thread", "actorflow"),
    "task": ("actorflow, asyncio task", "actorflow"),
}


def compare(
    sides: Sequence[str], *, children: int, window: int, rounds: int
) -> dict[str, tuple[float, ...]]:
    """Children per second of each side, in turns."""
    return alternate(
        {side: partial(SIDES[side], side, children * TIMES.get(side, 1), window) for side in sides},
        rounds,
    )


def measure(options: argparse.Namespace) -> Result:
    """The sides that are asked for, and what they are of the bare fork server."""
    children = 100 if options.quick else options.children
    rates = compare(
        options.side or list(SIDES),
        children=children,
        window=options.window,
        rounds=options.rounds,
    )
    findings = []
    if "server" in rates and "process" in rates:
        findings.append(
            Finding(
                name="fresh processes of the bare fork server",
                rounds=quotients(rates["process"], rates["server"]),
                targets=("child_start",),
            )
        )
    if "worker" in rates:
        findings.append(
            Finding(
                name="events through warm workers",
                rounds=rates["worker"],
                unit="events/s",
                targets=("warm_children",),
            )
        )
    return Result(
        name="spawn",
        title="A child for each event",
        measures="Children per second, each of which gets a number and gives twice the number back,"
        f" {options.window} under way at a time. The floors are os.fork with nothing to hand over,"
        " and a fork server that does nothing but fork and reap.",
        charts=(
            Chart(
                title="Children per second",
                unit="children/s",
                parameter="",
                series=tuple(
                    series(*NAMES[side], {"child": found}) for side, found in rates.items()
                ),
            ),
        ),
        findings=tuple(findings),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--side", action="append", choices=SIDES, help="may be repeated")
    options.add_argument(
        "--children", type=at_least(1), default=1000, help="of each run; workers: 40 times"
    )
    options.add_argument("--window", type=at_least(1), default=2 * (os.cpu_count() or 1))
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
