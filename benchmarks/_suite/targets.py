"""Every target in one place: what is wanted, whose goal it is, which benchmark measures it.

A benchmark names a target by its key in a `Finding`; several findings may measure one target, which
is met when all of them are within it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TARGETS", "Target", "target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is wanted: a least or a most.

    Args:
        key: how findings name it.
        what: what is measured.
        against: what it is compared with; nothing for a plain figure.
        benchmark: the module that measures it.
        source: whose goal it is.
        unit: of the bound; ``"×"`` for a ratio.
        at_least: the bound, when more is better.
        at_most: the bound, when less is better.
        reason: the measured reason, where one is known, for when it is not met; a finding that
            measures the reason along with its value says so itself.
    """

    key: str
    what: str
    against: str = ""
    benchmark: str
    source: str
    unit: str = "×"
    at_least: float | None = None
    at_most: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a target that nothing, or everything, meets."""
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"target {self.key!r}: give either at_least or at_most")

    @property
    def bound(self) -> float:
        """The least, or the most, that is wanted."""
        bound = self.at_most if self.at_least is None else self.at_least
        assert bound is not None
        return bound

    def met_by(self, value: float) -> bool:
        """Whether a measured value is within it."""
        return value <= self.bound if self.at_least is None else value >= self.bound

    def __str__(self) -> str:
        """The bound, as a person reads it."""
        sign = "≤" if self.at_least is None else "≥"
        return f"{sign} {self.bound:,g} {self.unit}"


DESIGN = "the design"
SPEED = "the suite's own goals"
SYSTEMS = "the ready-made stages' goals"
SUPERVISION = "supervision's goals"
PIPES = "three bare processes, the same batches over pipes with the same window"

BOTH_CORES_FULL = (
    "three processes share two cores: for a batch of 5000 the one in the middle takes as much "
    "processor time as that on bare pipes (271 to 292 µs to 258 to 290), and what is left is how "
    "long it waits for a processor: 13 to 21 µs a batch on bare pipes, 37 to 57 here with Linux's "
    "usual policy, which is why a stage's own is another (scheduling: batch)"
)
"""Why batches of five thousand are not as fast as on bare pipes."""

TARGETS: tuple[Target, ...] = (
    Target(
        key="pipeline_batches",
        what="three-stage pipeline of ints, max_demand 1000 and 10 000",
        against=PIPES,
        at_least=0.8,
        benchmark="pipeline",
        source=DESIGN,
        reason=BOTH_CORES_FULL,
    ),
    Target(
        key="pipeline_single",
        what="three-stage pipeline of ints, max_demand 1 to 10",
        against=PIPES,
        at_least=0.6,
        benchmark="pipeline",
        source=DESIGN,
    ),
    Target(
        key="queue_batches",
        what="three-stage pipeline of ints, batches",
        against="multiprocessing.Queue with the same batches",
        at_least=1.2,
        benchmark="peers",
        source=DESIGN,
    ),
    Target(
        key="mpire_per_event",
        what="three-stage pipeline of ints, per event",
        against="mpire imap",
        at_least=20,
        benchmark="peers",
        source=DESIGN,
    ),
    Target(
        key="pypeln_per_event",
        what="three-stage pipeline of ints, per event",
        against="pypeln.process",
        at_least=500,
        benchmark="peers",
        source=DESIGN,
    ),
    Target(
        key="ray_batches",
        what="three-stage pipeline of ints, batches",
        against="a Ray actor with the same batches",
        at_least=5,
        benchmark="peers",
        source=DESIGN,
    ),
    Target(
        key="at_least_once",
        what="throughput under at_least_once",
        against="the same run under at_most_once",
        at_least=0.95,
        benchmark="delivery",
        source=DESIGN,
        reason=(
            "rounds of one run are up to 25 percent apart: 0.91 with 3 rounds and 0.90 with 9, "
            "0.97, 0.995 and 1.00 with 9, 15 and 15 on the same day"
        ),
    ),
    Target(
        key="scoreboard",
        what="throughput with the statistics of edges",
        against="the same run without them",
        at_least=0.97,
        benchmark="statistics",
        source=DESIGN,
        reason=(
            "by instructions a batch costs as much with as without them (0.992 times at a "
            "max_demand of 10); rounds of one run are up to ten percent apart"
        ),
    ),
    Target(
        key="child_start",
        what="starting a child process to its first callback, children per second",
        against="a bare fork server",
        at_least=0.7,
        benchmark="spawn",
        source=DESIGN,
        reason=(
            "on two cores that are full, fork server and child take 1,200 µs of processor time,"
            " where the bare ones take 970: a child has 114 page faults for 93, a group of its own,"
            " the parent-death signal, event and result pickled, streams flushed, its end watched;"
            " the stage that takes events and passes results on takes 115 µs a child, source and"
            " sink 80; that makes 0.70: 0.68 with 3 rounds, 0.71 with 9, 0.699 with 11"
        ),
    ),
    Target(
        key="word_count",
        what="word count over Python's standard library, 2 cores, first event to result",
        against="one process with collections.Counter",
        at_least=1.5,
        benchmark="wordcount",
        source=DESIGN,
        reason=(
            "two cores have 1.22 to 1.35 s of work where one process has 0.96 to 1.00: to count "
            "takes as long in two processes as in one; to send 56 maps of 3 100 words 0.08 s, to "
            "read and merge them 0.17 s; and the end waits for the last snapshot, 0.02 s"
        ),
    ),
    Target(
        key="stage_memory",
        what="a stage's private memory",
        at_most=4,
        unit="MiB",
        benchmark="many_stages",
        source=DESIGN,
    ),
    Target(
        key="recovery",
        what="killed stage to its successor's first event, at the median",
        at_most=50,
        unit="ms",
        benchmark="recovery",
        source=DESIGN,
    ),
    Target(
        key="payload_memcpy",
        what="4 MiB arrays through a pipeline, bytes per second",
        against="memcpy of the same arrays",
        at_least=0.6,
        benchmark="payloads",
        source=SPEED,
    ),
    Target(
        key="payload_queue",
        what="4 MiB arrays through a pipeline, bytes per second",
        against="multiprocessing.Queue with the same arrays",
        at_least=8,
        benchmark="payloads",
        source=SPEED,
    ),
    Target(
        key="pipeline_fast",
        what="three-stage pipeline of ints, max_demand 1000 and 10 000",
        against="bare pipes: 9 of their 10 million events/s, 18 of their 20",
        at_least=0.9,
        benchmark="pipeline",
        source=SPEED,
        reason=BOTH_CORES_FULL,
    ),
    Target(
        key="auto_uniform",
        what="auto demand, uniform cheap events, throughput after one second",
        against="the best fixed max_demand",
        at_least=0.9,
        benchmark="uneven",
        source=SPEED,
        reason=(
            "rounds of events that cost nothing are up to 30 percent apart, two processes on two "
            "cores: 0.88 with 3 rounds, 0.97 with 5 and with 11 on the same day"
        ),
    ),
    Target(
        key="auto_uneven",
        what="auto demand, events of uneven cost, makespan",
        against="the best fixed max_demand",
        at_most=1.2,
        benchmark="uneven",
        source=SPEED,
    ),
    Target(
        key="import_time",
        what="import actorflow",
        against="python -c pass (100 ms where that takes 10)",
        at_most=10,
        benchmark="start_up",
        source=SPEED,
    ),
    Target(
        key="check_time",
        what="actorflow check FILE",
        against="python -c pass (300 ms where that takes 10)",
        at_most=30,
        benchmark="start_up",
        source=SPEED,
    ),
    Target(
        key="warm_children",
        what="events per second through warm workers, one child's task each",
        at_least=20_000,
        unit="events/s",
        benchmark="spawn",
        source=SUPERVISION,
    ),
    Target(
        key="many_stages_start",
        what="200 stages run and are subscribed, on two cores",
        at_most=3,
        unit="s",
        benchmark="many_stages",
        source=SUPERVISION,
    ),
    Target(
        key="batches_of_four",
        what="items per second in batches of four, five round trips each",
        against="one item at a time (780 of 200 items/s)",
        at_least=3.9,
        benchmark="batcher",
        source=SYSTEMS,
    ),
    Target(
        key="service_delay",
        what="p99 of the time until a call's I/O is served, with the body busy",
        against="the same with the body idle",
        at_most=1.5,
        benchmark="buffered",
        source=SYSTEMS,
    ),
)


def target(key: str) -> Target:
    """The target with this key.

    Raises:
        ValueError: there is none.
    """
    for each in TARGETS:
        if each.key == key:
            return each
    known = ", ".join(each.key for each in TARGETS)
    raise ValueError(f"there is no target {key!r}; there are {known}")
