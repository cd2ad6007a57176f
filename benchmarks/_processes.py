"""`multiprocessing` with its forkserver: a Process and a Pipe for each child.

In a program of its own: a child of `multiprocessing` imports the program that it was made in.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import Any


def _answer(number: int, answer: Connection) -> None:
    answer.send(2 * number)


def main(children: int, window: int) -> None:
    """Print the total and the seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks._processes"])
    running: deque[tuple[Any, Connection]] = deque()

    def start(number: int) -> None:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(number, theirs))
        process.start()
        theirs.close()
        running.append((process, ours))

    def reap() -> int:
        process, answer = running.popleft()
        found = int(answer.recv())
        answer.close()
        process.join()
        process.close()
        return found

    start(0)
    total = reap()
    began = time.perf_counter()
    for number in range(children):
        if len(running) == window:
            total += reap()
        start(number)
    while running:
        total += reap()
    print(total, time.perf_counter() - began)


def command(children: int, window: int) -> list[str]:
    """What runs this; a program without a file, so that no child imports it again."""
    program = "import sys; from benchmarks._processes import main; main(*map(int, sys.argv[1:]))"
    return [sys.executable, "-c", program, str(children), str(window)]
