"""C-30: the batcher's core against the table of the specification, step by step, at random."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorflow.errors import BatchCancelled, BatcherClosed, BatchFailed, BatchRejected
from actorflow.stages.batcher import Balanced, Duration, Immediate, Limits, OnFull, Size
from actorflow.stages.batcher.core import BatcherCore
from tests.seeds import THOROUGH, seeds
from tests.systems.batcher_bench import MS, Bench
from tests.systems.batcher_reference import Reference

POLICIES = st.sampled_from(
    [
        Immediate(),
        Size(),
        Size(linger=3.0),
        Duration(2.0),
        Duration(2.0, OnFull.WAIT_DEADLINE),
        Balanced(1),
        Balanced(2),
        Balanced(3),
    ]
)
KEYS = st.sampled_from("ab")


class BatcherMachine(RuleBasedStateMachine):
    """Tells both the same, and compares what they decide."""

    @initialize(
        policy=POLICIES,
        size=st.integers(1, 3),
        concurrency=st.integers(1, 2),
        queue=st.integers(1, 2),
        acquires=st.booleans(),
    )
    def begin(self, policy: Any, size: int, concurrency: int, queue: int, acquires: bool) -> None:
        limits = Limits(
            max_batch_size=size, max_key_concurrency=concurrency, max_batch_queue_size=queue
        )
        self.bench = Bench(
            policy,
            {
                "max_batch_size": size,
                "max_key_concurrency": concurrency,
                "max_batch_queue_size": queue,
            },
            process=None,
            acquires=True,
        )
        self.bench.core = BatcherCore(policy, limits, acquires=acquires)
        self.reference = Reference(policy.within(limits), limits, acquires)
        self.limits = limits
        self.accepted: set[int] = set()
        self.seen = 0

    # --- rules ------------------------------------------------------------------------------------

    @rule(key=KEYS, count=st.integers(1, 3))
    def add(self, key: str, count: int) -> None:
        """Items come."""
        for _ in range(count):
            found = self.bench.try_add(key)
            if isinstance(found, int):
                said, token = "accepted", found
                self.accepted.add(token)
            else:
                token = -1
                rejection = isinstance(found, BatchRejected)
                said = f"rejected {found.concurrency}" if rejection else "closed"  # type: ignore[union-attr]
                assert rejection or isinstance(found, BatcherClosed)
            assert self.reference.add(token, key, self.bench.now) == said

    @rule(seconds=st.integers(1, 3))
    def tick(self, seconds: int) -> None:
        """Time passes."""
        self.bench.advance(self.bench.at + 1000 * seconds)
        self.reference.now = self.bench.now
        self.reference.tick(self.bench.now)

    @precondition(lambda self: self.acquiring)
    @rule(data=st.data(), fails=st.booleans())
    def end_acquisition(self, data: st.DataObject, fails: bool) -> None:
        """Resources come, or do not."""
        batch = data.draw(st.sampled_from(self.acquiring))
        if fails:
            self.bench.not_acquired(batch, BatchFailed("no"))
            self.reference.failed(batch)
        else:
            self.bench.acquired(batch, "lease")
            self.reference.acquired(batch)

    @precondition(lambda self: self.processing)
    @rule(data=st.data(), how=st.sampled_from(["ok", "fails", "short"]))
    def end_processing(self, data: st.DataObject, how: str) -> None:
        """A batch is processed, well or not."""
        batch = data.draw(st.sampled_from(self.processing))
        if how == "ok":
            self.bench.finish(batch)
        elif how == "fails":
            self.bench.finish(batch, BatchFailed("no"))
        else:
            self.bench.finish(batch, outputs=self.bench.processing[batch].inputs[1:])
        self.reference.finished(batch, "ok" if how == "ok" else "failed")

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A caller leaves."""
        token = data.draw(st.sampled_from(sorted(self.accepted)))
        assert self.bench.cancel(token) == self.reference.cancel(token)

    @precondition(lambda self: len(self.accepted) > 5)
    @rule(mode=st.sampled_from(["upstream", "drain", "flush", "close", "abort"]))
    def shut_down(self, mode: Any) -> None:
        """Somebody wants it to end."""
        self.bench.shut_down(mode)
        self.reference.shut_down(mode)

    # --- what holds -------------------------------------------------------------------------------

    @property
    def acquiring(self) -> list[int]:
        """Batches that acquire resources and are wanted."""
        return [n for n in self.bench.acquiring if n not in self.bench.interrupted]

    @property
    def processing(self) -> list[int]:
        """Batches that are processed and wanted."""
        return [n for n in self.bench.processing if n not in self.bench.interrupted]

    @invariant()
    def same_answers(self) -> None:
        """Each item has the same outcome on both sides, and one."""
        if not hasattr(self, "bench"):
            return
        found = {}
        for token, reply in self.bench.replies.items():
            cancelled = isinstance(reply.error, BatchCancelled)
            found[token] = "cancelled" if cancelled else "failed" if reply.error else "ok"
        assert found == self.reference.answers

    @invariant()
    def same_batches(self) -> None:
        """The same batches acquire, and the same are processed with the same items."""
        if not hasattr(self, "bench"):
            return
        expected = {
            n: list(items) for what, n, items in self.reference.decisions if what == "process"
        }
        calls = [call.inputs for call in self.bench.calls]
        assert sorted(calls) == sorted(expected.values())
        live = {group.number: group for group in self.reference.groups}
        assert sorted(self.acquiring) == sorted(n for n, g in live.items() if g.acquiring)
        running = {n for n, g in live.items() if g.place == "processing" and not g.acquiring}
        assert set(self.processing) == running

    @invariant()
    def limits_hold(self) -> None:
        """I-C1, I-C2: capacity, batches and queues; and nothing is kept of idle keys."""
        if not hasattr(self, "bench"):
            return
        statistics = self.bench.core.statistics
        keys = {group.key for group in self.reference.groups}
        assert statistics.active_keys == len(keys)
        most = len(keys) * self.limits.max_key_concurrency
        assert statistics.processing + statistics.acquiring <= most
        assert statistics.queued_batches <= len(keys) * self.limits.queue_size
        assert all(len(call.inputs) <= self.limits.max_batch_size for call in self.bench.calls)
        assert statistics.accepted - statistics.answered == sum(
            len(group.tokens) for group in self.reference.groups
        )
        assert (self.bench.report is not None) == self.reference.over or self.bench.interrupted

    def teardown(self) -> None:
        """I-C7: after a flush it always ends, with every accepted item answered once."""
        if not hasattr(self, "bench"):
            return
        self.bench.shut_down("flush")
        for _ in range(10 * len(self.accepted) + 10):
            for batch in list(self.bench.acquiring):
                self.bench.acquired(batch, "lease")
            for batch in list(self.bench.processing):
                self.bench.finish(batch)
            self.bench.advance(self.bench.at + 3000)
        assert self.bench.report is not None
        assert set(self.bench.replies) == self.accepted
        assert self.bench.idle


BatcherMachine.TestCase.settings = settings(
    max_examples=1000 if THOROUGH else 60,
    stateful_step_count=80 if THOROUGH else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
test_c_30_the_core_decides_as_the_table_says = BatcherMachine.TestCase


def test_c_30_whatever_happens_everything_is_answered() -> None:
    """With everything at once: bytes, a total, items that wait, limits in time, at random."""
    for seed in seeds(100):
        dice = random.Random(seed)
        policy = dice.choice(
            [Immediate(), Size(), Size(0.02), Duration(0.01), Duration(0.01, "reject"), Balanced(3)]
        )
        limits = {
            "max_batch_size": dice.randint(1, 4),
            "max_key_concurrency": dice.randint(1, 3),
            "max_batch_queue_size": dice.randint(1, 3),
            "max_total_concurrency": dice.choice([None, 1, 2]),
            "max_batch_bytes": dice.choice([None, 10]),
        }
        bench = Bench(
            policy,
            limits,
            process=dice.choice([0, 3, 30]),
            acquire=dice.choice([None, lambda number: number % 4]),
            waits=True,
            process_timeout=dice.choice([None, 0.02]),
        )
        tokens = []
        for _ in range(60):
            tokens.append(bench.add(dice.choice("abc"), weight=dice.randrange(8)))
            if dice.random() < 0.2:
                bench.cancel(dice.choice(tokens))
            if dice.random() < 0.1:
                bench.flush(dice.choice("abc"))
            bench.advance(bench.at + dice.randrange(4))
            statistics = bench.core.statistics
            most = limits["max_total_concurrency"] or 9
            assert statistics.processing + statistics.acquiring <= most
        bench.shut_down(dice.choice(["flush", "drain", "close", "abort"]))
        bench.advance(bench.at + 60_000)
        assert bench.report is not None
        assert sorted(bench.replies) == tokens
        assert bench.idle
        leases = [call.resources for call in bench.calls if call.resources is not None]
        released = [each.resources for each in bench.released]
        assert len(set(released)) == len(released)
        assert set(leases) <= set(released)


def test_every_policy_serves_items_that_come_and_go_at_random() -> None:
    """3 keys, 100 items each within 20 ms of each other, resources and processing up to 50 ms."""
    for seed in seeds(5):
        for policy in (Immediate(), Size(0.03), Duration(20 * MS), Balanced(3)):
            for size in (5, 50):
                for concurrency in (1, 2):
                    dice = random.Random(seed)
                    bench = Bench(
                        policy,
                        {
                            "max_batch_size": size,
                            "max_key_concurrency": concurrency,
                            "max_batch_queue_size": 300,
                        },
                        process=dice.randint(0, 50),
                        acquire=lambda number, dice=dice: dice.randint(0, 50),
                    )
                    for _ in range(300):
                        bench.add(dice.choice("abc"))
                        bench.advance(bench.at + dice.randrange(7))
                    bench.shut_down("flush")
                    bench.advance(bench.at + 60_000)
                    assert len(bench.answered()) == 300
                    assert bench.report is not None


def test_a_resource_that_one_batch_holds_at_a_time_fails_nobody() -> None:
    """Ten callers, each with the lock for a second: all are answered, the last after ten."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 10}
    bench = Bench(Immediate(), limits, process=0, acquire=lambda number: 1000 * (number + 1))
    tokens = [bench.add() for _ in range(10)]
    bench.advance(10_000)
    assert bench.answered() == {token: 1000 * place for place, token in enumerate(tokens, 1)}
