"""D-07, and whole topologies with an asynchronous stage in the simulator and from YAML."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from actorflow import Topology, TopologyError, load
from actorflow.dispatch.demand import DemandDispatcher
from actorflow.stages.buffered import AsyncStage, ForEach
from actorflow.stages.buffered.claims import Claims
from actorflow.stages.sources import Range
from actorflow.testing import Faults, simulate
from actorflow.testing.topologies import Sink
from tests.seeds import seeds


async def double(number: int) -> int:
    """A call that waits for nothing: there is no event loop in a simulation."""
    return 2 * number


def chain(count: int, *, hosts: int = 1, **arguments: Any) -> Topology:
    """Numbers, a window of calls, and a sink."""
    return (
        Topology("chain")
        .stage("numbers", Range, args={"stop": count})
        .stage(
            "calls",
            AsyncStage,
            args={"run": double, "concurrency": 4, **arguments},
            replicas=hosts,
            subscribe_to=["numbers"],
        )
        .stage("sink", Sink, subscribe_to=["calls"])
    )


@pytest.mark.parametrize("claim", ["total", "window"])
def test_every_item_has_its_result_whoever_is_killed(claim: str) -> None:
    """At least once, in any order of messages, with crashes of the calls' stage and of the sink."""
    for seed in seeds(20):
        faults = Faults(crashes=2, within=150, stages=("calls", "sink"))
        ran = simulate(chain(25, claim=claim), seed=seed, faults=faults)
        assert set(ran.handled("sink")) == set(range(0, 50, 2))


def test_without_kills_every_item_comes_once_and_in_order() -> None:
    """``ordered=True``: as they came."""
    for seed in seeds(10):
        ran = simulate(chain(25, ordered=True), seed=seed)
        assert ran.handled("sink") == list(range(0, 50, 2))


def test_at_most_once_has_no_acknowledgements_and_does_not_wait_for_any() -> None:
    """What is handed over counts as finished there."""
    topology = chain(25)
    loose = Topology("loose", stages=topology.stages, defaults=_loose())
    assert sorted(simulate(loose, seed=1).handled("sink")) == list(range(0, 50, 2))


def _loose() -> Any:
    from actorflow import Defaults

    return Defaults(delivery="at_most_once")


class Host:
    """One of two stages that claim from the same queue."""

    def __init__(self, queue: DemandDispatcher, ref: int, limit: int) -> None:
        queue.subscribe(ref, f"host/{ref}", {})
        self.held: deque[int] = deque()
        self.taken = 0
        self._claims = Claims(limit, lambda: 1, lambda _, count: queue.ask(ref, count))
        self._claims.joined("queue")

    def take(self, items: Sequence[int]) -> None:
        """Items have come."""
        self._claims.came("queue", len(items))
        self.held.extend(items)
        self.taken += len(items)

    def work(self) -> None:
        """One item is done with."""
        if self.held:
            self.held.popleft()
            self._claims.done("queue", 1)


def test_d_07_two_hosts_share_a_spike() -> None:
    """10 000 items at once, hosts of the same speed: alike at every moment, within the limit."""
    limit = 5
    queue = DemandDispatcher()
    hosts = {ref: Host(queue, ref, limit) for ref in (1, 2)}
    left = deque(range(10_000))
    while left:
        room = min(queue.capacity, len(left))
        for delivery in queue.dispatch([left.popleft() for _ in range(room)], 0).deliveries:
            hosts[delivery.ref].take(delivery.events)
        assert all(len(host.held) <= limit for host in hosts.values())
        assert abs(hosts[1].taken - hosts[2].taken) < 2 * limit
        for host in hosts.values():
            host.work()
    assert hosts[1].taken + hosts[2].taken == 10_000


def test_d_07_no_host_holds_more_than_its_limit() -> None:
    """Two hosts in the simulator, which lets them run in any order."""
    limit = 5
    for seed in seeds(10):
        ran = simulate(chain(100, hosts=2, concurrency=limit), seed=seed)
        taken: Counter[str] = Counter()
        done: Counter[str] = Counter()
        for each in ran.history:
            host = str(each.stage.stage)
            if host.startswith("calls"):
                taken[host] += len(each.events)
            else:
                done[str(each.producer.stage)] += len(each.events)
            assert all(taken[name] - done[name] <= limit for name in taken)
        assert sum(taken.values()) == 100


YAML = """
name: rows
permits: {connections: 2}
stages:
  items:
    use: actorflow.stages.sources:Items
    args: {items: [1, 2, 3]}
  select:
    use: actorflow.stages.buffered:AsyncStage
    args: {run: "%s:double", concurrency: 5, on_error: skip, backoff: {initial: 0.5}}
    subscribe_to: [items]
  process:
    use: actorflow.stages.buffered:ForEach
    args: {run: "builtins:abs"}
    subscribe_to: [select]
"""


def test_a_topology_in_yaml(tmp_path: Path) -> None:
    """Functions by name, permits by number."""
    file = tmp_path / "rows.yaml"
    file.write_text(YAML % __name__)
    topology = load(file)
    assert topology.permits == {"connections": 2}
    stages = {stage.name: stage for stage in topology.stages}
    assert (stages["select"].use, stages["process"].use) == (AsyncStage, ForEach)
    ran = simulate(topology)
    assert (ran.status, sorted(ran.handled("process"))) == ("done", [2, 4, 6])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("concurrency: 0", "stages.select.args.concurrency: must be an integer of at least 1"),
        ("on_error: cry", "stages.select.args.on_error: must be one of fail, emit, skip, retry"),
        ("initial: 0", "stages.select.args.backoff.initial: must be a number of seconds above 0"),
        ("run: builtins:abs", "stages.select.args.run: must be a coroutine function"),
        ("connections: 0", "permits.connections: must be an integer of at least 1"),
    ],
)
def test_a_mistake_in_yaml_is_shown_with_its_line(tmp_path: Path, wrong: str, said: str) -> None:
    """Before anything is started."""
    good = {
        "concurrency: 0": "concurrency: 5",
        "on_error: cry": "on_error: skip",
        "initial: 0": "initial: 0.5",
        "run: builtins:abs": f'run: "{__name__}:double"',
        "connections: 0": "connections: 2",
    }[wrong]
    file = tmp_path / "rows.yaml"
    file.write_text((YAML % __name__).replace(good, wrong))
    with pytest.raises(TopologyError) as refused:
        load(file)
    assert said in str(refused.value)
