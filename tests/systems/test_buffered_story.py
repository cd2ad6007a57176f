"""Barbara's story in virtual time: the original drops clients and deadlocks, ours does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from actorflow.stage.children import ChildEnd, ChildEnded
from actorflow.stages.buffered.options import CallOptions
from actorflow.stages.buffered.window import CallWindow, Item, Owner
from tests.systems.barbara import Running, Steps, Stuck, World
from tests.systems.buffered_rig import select
from tests.systems.naive import buffered as naive

Work = Callable[
    [World, Iterable[int], Callable[[int], Steps], Callable[[Any], Steps], int], list[Any]
]


class Apart:
    """Our window, with an event loop that polls every call, and a body in a process of its own."""

    def __init__(
        self,
        world: World,
        items: Iterable[int],
        call: Callable[[int], Steps],
        body: Callable[[Any], Steps],
        concurrency: int,
    ) -> None:
        self.results: list[Any] = []
        self._world = world
        self._items = list(items)
        self._call = call
        self._body = body
        self._calls: dict[int, Running] = {}
        self._ready: list[Any] = []
        self._in_body: Running | None = None
        owner = Owner(
            who="select/0",
            start=self._start,
            cancel=lambda life: None,
            emit=self._ready.extend,
            free=self._free,
            requeue=lambda items: None,
            emptied=lambda: None,
            now=lambda: world.now,
            after=lambda seconds, act: None,
            log=lambda level, event, values: None,
        )
        self.window = CallWindow(CallOptions(run=select, concurrency=concurrency), owner)
        self.window.open()
        self._claim(concurrency)

    def run(self) -> list[Any]:
        """Until everything is done."""
        total = len(self._items) + self.window.counts.claimed
        while len(self.results) < total:
            self._turn()
        return self.results

    def _turn(self) -> None:
        moved = False
        for life, running in list(self._calls.items()):
            if running.poll(self._world.now):
                del self._calls[life]
                self.window.ended([ChildEnded(life, ChildEnd("normal", True, running.result))])
                moved = True
        if self._in_body is None and self._ready:
            self._in_body = Running(self._body(self._ready[0]))
            moved = True
        if self._in_body is not None and self._in_body.poll(self._world.now):
            self._in_body = None
            self.results.append(self._ready.pop(0))
            self.window.finished(len(self.results))
            moved = True
        if not moved:
            body = [] if self._in_body is None else [self._in_body]
            self._world.pass_time([*self._calls.values(), *body])

    def _start(self, life: int, item: int) -> None:
        self._calls[life] = Running(self._call(item))

    def _free(self, items: list[Item]) -> None:
        self._claim(len(items))

    def _claim(self, count: int) -> None:
        claimed, self._items = self._items[:count], self._items[count:]
        self.window.add(claimed, None)


def ours(
    world: World,
    items: Iterable[int],
    call: Callable[[int], Steps],
    body: Callable[[Any], Steps],
    concurrency: int,
) -> list[Any]:
    """The same work as the naive one's."""
    return Apart(world, items, call, body, concurrency).run()


@pytest.mark.parametrize(("work", "timeouts"), [(naive.do_work, True), (ours, False)])
def test_d_01_d_02_a_body_of_two_seconds(work: Work, timeouts: bool) -> None:
    """Five calls, clients that may be idle for 0.2 s: the original's are dropped, ours never."""
    world = World()
    results = work(world, range(50), world.select, world.slow_body, 5)
    assert sorted(results) == list(range(50))
    assert bool(world.dropped) is timeouts
    assert world.most_in_flight <= 5


@pytest.mark.parametrize(("work", "stuck"), [(naive.do_work, True), (ours, False)])
def test_d_04_two_permits_for_calls_and_bodies(work: Work, stuck: bool) -> None:
    """The original's calls hold both permits while the body waits for one, for ever."""
    world = World(permits=2)
    if stuck:
        with pytest.raises(Stuck):
            work(world, range(100), world.two_steps, world.body_with_permit, 5)
    else:
        assert len(work(world, range(100), world.two_steps, world.body_with_permit, 5)) == 100


@pytest.mark.parametrize(("work", "stuck"), [(naive.do_work, True), (ours, False)])
def test_d_05_a_lock_three_calls_deep(work: Work, stuck: bool) -> None:
    """The original's body waits for a lock that a call has, which nobody polls."""
    world = World()
    if stuck:
        with pytest.raises(Stuck):
            work(world, range(10), world.locked, world.body_with_lock, 2)
    else:
        assert len(work(world, range(10), world.locked, world.body_with_lock, 2)) == 10
