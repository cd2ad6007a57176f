"""What a pool does when memory is short, and when a worker dies (B-20 to B-22)."""

from __future__ import annotations

import errno
import threading
from typing import Any

import pytest

from actorflow import OptionError
from actorflow.stages.pool import MemoryBudget, Pipeline, TaskPool
from actorflow.stages.pool.memory import MemoryLedger
from actorflow.stages.pool.slices import Chunk
from tests.systems import pool_tasks
from tests.systems.pool_player import PoolPlayer
from tests.systems.pool_tasks import RAN, chain, query


def hog(name: str = "hog") -> Any:
    """A query whose tasks reserve, and hand it on to tasks that are there until it is over."""
    return query(
        name, a=Pipeline(run=pool_tasks.hold, to=["b"]), b=Pipeline(run=pool_tasks.keep, to=[])
    )


def modest(name: str = "modest") -> Any:
    """A query whose tasks reserve for as long as they run."""
    return query(name, a=pool_tasks.use)


def settled(pool: PoolPlayer) -> None:
    """Run what can be run at once; what is delayed stays so."""
    while pool.step():
        pass


# --- the memory budget ----------------------------------------------------------------------------


def test_b_20_a_query_that_is_over_takes_its_own_waiting_tasks_along() -> None:
    """They are given back to be counted; another query's go on waiting, and are served."""
    ledger = MemoryLedger(MemoryBudget(limit=10))
    mine, other = (Chunk(number, 1, 0, "msgpack", b"") for number in (1, 2))
    ledger.take(3, 10)
    for chunk in (mine, other):
        ledger.wait(5, chunk, now=0.0)
    assert ledger.drop(1) == [mine]
    ledger.take(3, -10)
    assert ledger.served() == [other]
    assert ledger.held == {2: 5}


@pytest.mark.parametrize("first", ["hog", "modest"])
def test_b_20_the_query_that_holds_the_most_is_shed(first: str) -> None:
    """64 units: one holds 56, the other wants 16 and gets them."""
    pool = PoolPlayer(workers=2, memory=MemoryBudget(limit=64, patience=1.0))
    runs = {"hog": hog, "modest": modest}
    order = ["hog", "modest"] if first == "hog" else ["modest", "hog"]
    started = {name: pool.start(runs[name]()) for name in order}
    for number in range(7):
        pool.submit(started["hog"], [number, 8])
    settled(pool)
    assert pool.core.stats().memory_held == 56
    wants = pool.submit(started["modest"], [0, 16])
    settled(pool)
    assert pool.core.stats().memory_waiting == 1
    pool.run(until=lambda: "done" in wants.said)
    assert (
        pool.results["hog"].reason
        == "QueryShed: query 'hog' failed with holding 56 of 64, more than any other"
    )
    assert list(pool.results) == ["hog"]
    pool.core.stop(started["modest"])
    pool.run()
    assert pool.results["modest"].state == "stopped"
    assert pool.core.stats().memory_held == 0


def test_b_21_the_modest_query_delivers_throughout() -> None:
    """A hog that wants ever more, and one that wants little: the hog alone is shed."""
    pool = PoolPlayer(workers=1, memory=MemoryBudget(limit=256, patience=1.0))
    greedy, small = pool.start(hog()), pool.start(modest())
    delivered = []
    for turn in range(20):
        if not greedy.over and not greedy.dropped:
            for number in range(3):
                pool.submit(greedy, [[turn, number], 25])
        asked = pool.submit(small, [turn, 8])
        began = pool.clock()
        pool.run(until=lambda asked=asked: "done" in asked.said)
        delivered.append(pool.clock() - began)
        pool.pass_time(0.2)
        settled(pool)
    assert pool.endings == ["hog"]
    assert small.executed == 20
    # The hog was shed after a second of patience; nobody had to wait for longer than that.
    assert max(delivered) < 1.2
    assert sum(wait > 0.1 for wait in delivered) <= 1


def test_b_21_one_is_shed_and_then_looked_again() -> None:
    """Two hogs of the same size: when one is shed there is enough, and the other lives on."""
    pool = PoolPlayer(workers=1, memory=MemoryBudget(limit=64, patience=0.0))
    for name in ("one", "two"):
        run = pool.start(hog(name))
        for number in range(3):
            pool.submit(run, [number, 10])
    settled(pool)
    wants = pool.submit(pool.start(modest()), [0, 20])
    pool.run(until=lambda: "done" in wants.said)
    assert pool.endings == ["two"]


def test_b_20_who_wants_more_than_there_is_is_shed_itself() -> None:
    """However little the others hold, they cannot give that."""
    pool = PoolPlayer(workers=1, memory=MemoryBudget(limit=64))
    other = pool.start(hog("other"))
    pool.submit(other, [0, 60])
    pool.submit(pool.start(modest("big")), [0, 65])
    settled(pool)
    assert pool.endings == ["big"]


def test_b_20_when_nobody_can_give_back_nobody_waits_for_it() -> None:
    """A hog that waits for itself, with nothing running or delayed, is shed at once."""
    pool = PoolPlayer(workers=1, memory=MemoryBudget(limit=10, patience=1000.0), output_size=1)
    run = pool.start(query("two", a=Pipeline(run=pool_tasks.hold, to=["b"]), b=pool_tasks.use))
    pool.submit(run, [0, 8])
    settled(pool)
    assert (pool.endings, pool.clock() < 1) == (["two"], True)


def test_a_task_that_waits_for_memory_runs_again_from_its_beginning() -> None:
    """What it had emitted before is forgotten, so it is there once."""
    pool = PoolPlayer(workers=1, memory=MemoryBudget(limit=10))
    run = pool.start(query(a=Pipeline(run=emits_then_reserves, to=["b"]), b=pool_tasks.note))
    pool.submit(run, [1, 10])
    pool.submit(run, [2, 10])
    pool.run()
    assert sorted(item for pipeline, item in RAN if pipeline == "b") == [[1, 10], [2, 10]]
    assert (run.executed, run.created) == (4, 2)
    assert pool.core.stats().memory_held == 0


def emits_then_reserves(item: list[int], context: pool_tasks.TaskContext) -> None:
    """In the wrong order, on purpose."""
    context.emit(item)
    context.reserve(item[1])


def test_a_lease_may_be_given_back_early_and_given_away_once() -> None:
    """Whoever gives away what is gone is told so."""
    pool = PoolPlayer(workers=1, memory=MemoryBudget(limit=10))
    run = pool.start(query(a=Pipeline(run=misuses, to=["b"]), b=pool_tasks.note))
    asked = pool.submit(run, 10)
    pool.run()
    assert asked.said == ["admitted", "failed"]
    assert "lease must be one that this task has" in pool.results["q"].reason


def misuses(amount: int, context: pool_tasks.TaskContext) -> None:
    """Reserve the whole budget twice, one after the other, and give the second away twice."""
    context.reserve(amount).release()
    lease = context.reserve(amount)
    context.emit("first", lease=lease)
    context.emit("second", lease=lease)


def test_an_item_that_cannot_travel_fails_its_query() -> None:
    """When it is to be given to another worker; with what is the matter."""
    pool = PoolPlayer(workers=1, deal="global")
    run = pool.start(query(a=Pipeline(run=emits_a_lock, to=["b"]), b=pool_tasks.note))
    asked = pool.submit(run, 1)
    pool.run()
    assert asked.said == ["admitted", "failed"]
    assert "cannot pickle '_thread.lock' object" in pool.results["q"].reason


def emits_a_lock(item: Any, context: pool_tasks.TaskContext) -> None:
    """What no other process can have."""
    context.emit(threading.Lock())


# --- the bytes of what is inside ------------------------------------------------------------------


def bulky(item: Any, context: pool_tasks.TaskContext) -> None:
    """Make a hundred children of a kilobyte each."""
    for number in range(100):
        context.emit([number, "x" * 1000])


def many(item: Any, context: pool_tasks.TaskContext) -> None:
    """Note the number alone."""
    RAN.append((context.pipeline, item[0]))


def overflowing(**options: Any) -> PoolPlayer:
    """A pool in which a kilobyte is too much; a child takes so long that most are given back."""
    return PoolPlayer(workers=1, internal_bytes_limit=10_000, seconds=0.001, **options)


def test_spilled_tasks_come_back_and_run_once() -> None:
    """The file is empty at the end."""
    pool = overflowing(on_overflow="spill")
    run = pool.start(chain(bulky, many))
    pool.submit(run, "go")
    pool.step()
    stats = pool.core.stats()
    assert stats.internal_bytes <= 10_000 < stats.spilled_bytes
    pool.run()
    assert sorted(item for _, item in RAN) == list(range(100))
    assert (pool.core.stats().spilled_bytes, pool.spill.size) == (0, 0)
    pool.spill.close()


def test_the_spilled_tasks_of_a_query_that_ends_are_forgotten() -> None:
    """Nothing of it is left in the file."""
    pool = overflowing(on_overflow="spill")
    run = pool.start(chain(bulky, many))
    pool.submit(run, "go")
    pool.step()
    pool.core.stop(run, "hard")
    pool.run()
    assert (pool.core.stats().spilled_bytes, pool.spill.size, pool.endings) == (0, 0, ["q"])
    pool.spill.close()


def test_a_full_disk_leaves_tasks_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged, and they run all the same."""
    pool = overflowing(on_overflow="spill")

    def full(data: bytes) -> Any:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(pool.spill, "put", full)
    pool.submit(pool.start(chain(bulky, many)), "go")
    pool.run()
    assert len(RAN) == 100
    assert ("error", "tasks cannot be spilled") in pool.log


def test_the_query_with_the_most_bytes_fails_where_that_is_wanted() -> None:
    """The other one goes on."""
    pool = overflowing(on_overflow="fail_query")
    large, small = pool.start(chain(bulky, many, name="large")), pool.start(query("small", a=many))
    pool.submit(large, "go")
    pool.submit(small, ["small"])
    pool.run()
    assert pool.endings == ["large"]
    assert pool.results["large"].reason.startswith("QueryShed: query 'large' failed with holding")
    assert ("a", "small") in RAN


def test_past_the_limit_nothing_comes_in_and_what_is_inside_goes_on() -> None:
    """Without spilling: the second task begins when the first one's children are few."""
    pool = overflowing(on_overflow="inline")
    run = pool.start(chain(bulky, many))
    for _ in range(2):
        pool.submit(run, "go")
    pool.run()
    assert [item for _, item in RAN[:100]] == list(range(100))
    assert len(RAN) == 200


# --- dead workers ---------------------------------------------------------------------------------


def test_b_22_a_dead_worker_fails_the_query_whose_tasks_it_had() -> None:
    """Five tasks in its hand: they are counted, the query ends, the other query does not."""
    pool = PoolPlayer(workers=1)
    run, other = (
        pool.start(query("q", a=pool_tasks.note)),
        pool.start(query("r", a=pool_tasks.note)),
    )
    first = pool.submit(run, 0)
    pool.step()
    asked = [pool.submit(run, number) for number in range(1, 6)]
    safe = pool.submit(other, "safe")
    ((_, slice_),) = pool.in_hand.values()
    pool.kill()
    assert slice_.query == run.number
    assert first.said == ["admitted", "done"]
    assert [each.said[-1] for each in asked] == ["failed"] * 5
    pool.run()  # what waited behind that, at the worker
    result = pool.results["q"]
    assert (result.state, result.pending, result.executed, result.expired) == ("failed", 0, 1, 5)
    assert "a worker that had tasks of 'q' ended: ['signal', 9]" in result.reason
    pool.run()
    assert safe.said == ["admitted", "done"]


def test_b_22_tasks_that_may_run_twice_are_run_again_and_the_stop_comes() -> None:
    """The counters reach zero with the second worker, and the parked stop fires."""
    pool = PoolPlayer(workers=1, seconds=0.001)
    run = pool.start(chain(pool_tasks.fan, pool_tasks.note, idempotent=True))
    asked = pool.submit(run, [0, 30])
    pool.core.stop(run)
    pool.kill()
    pool.step()
    pool.kill()
    pool.run()
    assert asked.said == ["admitted", "done"]
    result = pool.results["q"]
    assert (result.state, result.executed, result.stops) == ("stopped", 31, ("a", "b"))


def test_b_22_tasks_that_kill_every_worker_are_given_up() -> None:
    """After three workers, idempotent or not."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=pool_tasks.note, idempotent=True))
    asked = pool.submit(run, "poison")
    for _ in range(4):
        assert not asked.said[1:]
        pool.kill()
    assert (asked.said, pool.endings) == (["admitted", "failed"], ["q"])


def test_b_22_memory_comes_back_from_a_dead_worker() -> None:
    """What it had been granted can be held by others."""
    pool = PoolPlayer(workers=1, memory=MemoryBudget(limit=10))
    run = pool.start(modest())
    pool.submit(run, [0, 10])
    pool.step()  # it has said what it wants, and is given it
    assert pool.core.stats().memory_held == 10
    pool.kill()
    assert pool.core.stats().memory_held == 0


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("workers", (0, -1, 1.5, "2", True)),
        ("admission_size", (0, None, "many")),
        ("internal_soft_limit", (0, None)),
        ("internal_bytes_limit", (0, "1 GB")),
        ("output_size", (0, None)),
        ("max_inline_depth", (0, -1)),
        ("on_overflow", ("drop", None)),
        ("deal", ("any", None)),
        ("steal", ("always", True)),
        ("fair", (1, None)),
        ("memory", (5, {"patience": 1}, {"limit": 0}, {"limit": 1, "patience": -1})),
        ("in_flight", (5, {"limit": 0}, {"limit": 4, "most": 2}, {"step": 0}, {"most": 1})),
        ("queries", ("q", {"name": "q"}, [5], [{"name": "q"}])),
    ],
)
def test_options_out_of_range_are_refused_where_they_are_given(
    option: str, values: tuple[Any, ...]
) -> None:
    """By the constructor, and before that where a topology is declared."""
    for value in values:
        with pytest.raises(OptionError):
            TaskPool(**{option: value})
        with pytest.raises(OptionError):
            TaskPool.check_arguments({option: value})
