"""The original: `buffered(n)` and `for_each` in one task, as Barbara wrote it.

The calls of the window move only while somebody asks the stream for its next result. While the
body is awaited nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.systems.barbara import Running, Steps, World

__all__ = ["do_work"]


def do_work(
    world: World,
    items: Iterable[int],
    call: Callable[[int], Steps],
    body: Callable[[Any], Steps],
    concurrency: int,
) -> list[Any]:
    """Every item through a call, so many at a time, and then through the body; returns results."""
    left = list(items)
    window: list[Running] = []
    results = []
    while left or window:
        result = _next(world, left, window, call, concurrency)
        results.append(result)
        # The second await: until it is done control does not return to the first.
        running = Running(body(result))
        while not running.poll(world.now):
            world.pass_time([running])
    return results


def _next(
    world: World,
    left: list[int],
    window: list[Running],
    call: Callable[[int], Steps],
    concurrency: int,
) -> Any:
    while left and len(window) < concurrency:
        window.append(Running(call(left.pop(0))))
    while True:
        for running in window:
            if running.poll(world.now):
                window.remove(running)
                return running.result
        world.pass_time(window)
