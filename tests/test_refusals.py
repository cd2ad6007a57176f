"""Every public function refuses bad arguments where it is called: parameter, rule and value.

`TABLE` has a row for everything public that is called by a user, and in it every parameter: with
values that it must refuse, or with `ANY` when it takes whatever there is. What is public and not in
the table fails `test_every_public_callable_has_its_row`: add the row.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import actorflow
from actorflow import (
    ActorflowError,
    ChildSpec,
    Consumer,
    OptionError,
    Producer,
    ProducerConsumer,
    Run,
    StageId,
    StageSpec,
    Topology,
    TopologyError,
    testing,
)
from actorflow.stage.behaviour import Stage
from actorflow.stages.buffered import AsyncStage, ForEach
from actorflow.stages.departition import Departition
from actorflow.stages.pool import InFlight, MemoryBudget, Pipeline, Query, TaskPool
from actorflow.stages.zip import Zip
from actorflow.testing import StageHarness

NAN, INF = float("nan"), float("inf")


class _Any:
    """Takes anything: a message, a reason, an event."""


ANY = _Any()

NO_TEXT: tuple[Any, ...] = (None, 5, b"text", ["text"])
NO_INTEGER: tuple[Any, ...] = (None, 1.5, "5", True, NAN)
NO_NATURAL = (*NO_INTEGER, -1)
NO_COUNT = (*NO_NATURAL, 0)
NO_SECONDS: tuple[Any, ...] = ("5", True, -1, NAN, [5])
NO_TIMEOUT = (*NO_SECONDS, INF)
NO_RATE: tuple[Any, ...] = (0, -1, NAN, INF, "5", True)
NO_BURST: tuple[Any, ...] = (0, -1, 1.5, "5", True)
NO_FUNCTION: tuple[Any, ...] = (5, "text")
NO_SIZE: tuple[Any, ...] = (None, -1, 65535, 1.5, "5", "64 MB", True)
NO_MAP: tuple[Any, ...] = (5, "text", ["text"])
NO_CLASS: tuple[Any, ...] = (None, 5, "text", int)
NO_MEMBERS: tuple[Any, ...] = (None, 5, "source", [5])
NOBODY: tuple[Any, ...] = (*NO_TEXT, "nobody", "")


class Source(Producer):
    def handle_demand(self, demand: int) -> None:
        return None


class Between(ProducerConsumer):
    def handle_events(self, events: Any, subscription: Any) -> None:
        return None

    def handle_demand(self, demand: int) -> Any:
        return actorflow.HOLD


class Sink(Consumer):
    def handle_events(self, events: Any, subscription: Any) -> None:
        return None


SPEC = StageSpec(id=StageId("new"), behaviour=Sink)
CHILD = ChildSpec(stage=SPEC)
PLAIN = Topology("plain").stage("source", Source)

Row = dict[str, Any]
SUPERVISOR: Row = {
    "max_restarts": NO_NATURAL,
    "max_seconds": (*NO_TIMEOUT, 0, None),
    "restart": ("sometimes", None, 5),
    "significant": (None, 5, "yes"),
}
SPECIFIED: Row = {
    "name": (None, 5, b"text"),
    "parent": (None, 5),
    "strategy": ("sometimes", None, 5),
    "order": ("sorted", None, 5),
    "intensity": (None, 5, {"max_restarts": 1}),
    "restart": ("sometimes", None, 5),
    "auto_shutdown": ("sometimes", None, 5),
    "significant": (None, 5, "yes"),
    "backoff": (5, "text"),
}
TABLE: dict[str, Row] = {
    # --- topologies
    "Topology": {
        "name": (*NO_TEXT, ""),
        "stages": (5, "text", [5]),
        "supervisor": (5, "text", None),
        "defaults": (5, "text", None),
        "import_paths": (5, "text"),
        "supervisors": (5, "text", (5,)),
        "checkpoint": (5,),
        "dead_letters": (5,),
        "permits": (5, "text", {"pool": 0}),
    },
    "Topology.stage": {
        "name": (*NO_TEXT, "", "a/b"),
        "use": NO_CLASS,
        "args": NO_MAP,
        "replicas": NO_COUNT[1:],
        "restart": ("sometimes", 5),
        "shutdown": (*NO_SECONDS[:-1], "sometimes"),
        "start_within": (0, *NO_SECONDS[:-1]),
        "subscribe_to": (5, "source", [5], [None], [{"max_demand": 5}]),
        "buffer_size": (-1, 1.5, "5", True),
        "buffer_keep": ("middle", 5),
        "when_no_consumers": ("cry", 5),
        "dispatcher": ("sideways", 5),
        "demand": ("sideways", 5),
        "poll_interval": (0, -1, NAN, "5"),
        "max_unfinished": (0, -1, 1.5, "5"),
        "on_error": ("ignore", None, 5, {"retry": 3}),
        "max_deliveries": (0, -1, 1.5, "5"),
        "shared_memory": NO_SIZE[1:],
        "busy_poll": (-1, 0.011, NAN, "5"),
        "scheduling": ("idle", 5),
        "backoff": (5, "text"),
    },
    "Topology.supervise": {
        "name": (*NO_TEXT, "", "a/b"),
        "stages": (None, 5, "source", [5], {"source": 1}),
        "inside": (5, b"text"),
        **SUPERVISOR,
        "strategy": ("sometimes", None, 5),
        "order": ("sorted", None, 5),
        "auto_shutdown": ("sometimes", None, 5),
        "backoff": (5, "text", {"first": 1}),
    },
    "Topology.dynamic_supervisor": {
        "name": (*NO_TEXT, "", "a/b"),
        "max_children": (0, -1, 1.5, "5", True),
        "shards": NO_COUNT,
        "inside": (5, b"text"),
        **SUPERVISOR,
    },
    # --- a run
    "Run.wait": {"timeout": NO_TIMEOUT},
    "Run.outcome": {"timeout": NO_TIMEOUT},
    "Run.wait_async": {"timeout": NO_TIMEOUT},
    "Run.outcome_async": {"timeout": NO_TIMEOUT},
    "Run.on_over": {"callback": (None, *NO_FUNCTION)},
    "Run.drain": {"timeout": NO_TIMEOUT},
    "Run.drain_async": {"timeout": NO_TIMEOUT},
    "Run.stop": {"reason": ANY},
    "Run.stop_async": {"reason": ANY},
    "Run.start_child": {"spec": (None, 5, "text", SPEC), "timeout": NO_TIMEOUT},
    "Run.terminate_child": {"stage": NOBODY, "timeout": NO_TIMEOUT},
    "Run.restart_child": {"stage": NOBODY, "timeout": NO_TIMEOUT},
    "Run.delete_child": {"stage": NOBODY},
    "Run.subscribe": {
        "consumer": NOBODY,
        "to": NOBODY,
        "options": (5, {"max_demand": 5}),
        "shared_fate": (5, "yes"),
        "timeout": NO_TIMEOUT,
    },
    "Run.resubscribe": {
        "ref": (*NO_NATURAL, 99),
        "to": (*NO_TEXT[1:], ""),
        "options": (5, {"max_demand": 5}),
        "reason": ANY,
        "consumer": (*NO_TEXT[1:], ""),
        "timeout": NO_TIMEOUT,
    },
    "Run.pause": {"ref": (*NO_NATURAL, 99)},
    "Run.resume": {"ref": (*NO_NATURAL, 99)},
    "Run.set_rate": {"ref": (*NO_NATURAL, 99), "rate": NO_RATE, "burst": NO_BURST},
    "Run.which_subscriptions": {"stage": NOBODY[1:]},
    "Run.stream": {"stage": NOBODY},
    "Run.astream": {"stage": NO_TEXT},  # who there is, is asked when it is iterated
    "Run.consumer_supervisor": {"stage": NO_TEXT},
    "Run.task_pool": {"stage": NO_TEXT},
    "Run.terminate_supervisor": {"name": NOBODY[:-1], "timeout": NO_TIMEOUT},
    "Run.restart_supervisor": {"name": NOBODY[:-1]},
    "Run.kill_supervisor": {"name": NOBODY[:-1]},
    "Run.dynamic": {"name": NOBODY},
    "Run.cancel": {"ref": (*NO_NATURAL, 99), "reason": ANY},
    "Run.set_demand": {"stage": NOBODY, "mode": ("sideways", None, 5)},
    "Run.demand": {"stage": NOBODY},
    "Run.call": {"stage": NOBODY, "request": ANY, "timeout": NO_TIMEOUT},
    "Run.cast": {"stage": NOBODY, "message": ANY},
    "Run.info": {"stage": NOBODY, "message": ANY},
    "Run.status": {"stage": NOBODY, "timeout": NO_TIMEOUT},
    "Run.monitor": {"stage": NOBODY, "target": (None, *NO_FUNCTION)},
    "Run.demonitor": {"monitor": NO_INTEGER},
    "Run.scale": {
        "stage": NOBODY,
        "replicas": NO_COUNT[1:],
        "within": (*NO_TIMEOUT, None, INF),
        "timeout": NO_TIMEOUT,
    },
    "Run.replace": {
        "stage": NOBODY,
        "args": (*NO_MAP, {"nothing": 1}),
        "options": (5, "text", ["demand"], {"nothing": 1}),
        "within": (*NO_TIMEOUT, None, INF),
        "timeout": NO_TIMEOUT,
    },
    "Run.unsubscribe": {"consumer": NOBODY, "to": NOBODY, "reason": ANY},
    "Run.pause_stage": {"stage": NOBODY},
    "Run.batcher": {"stage": NO_TEXT},
    "Run.add_members": {"manager": NOBODY, "stages": NO_MEMBERS},
    "Run.remove_members": {"manager": NOBODY, "stages": NO_MEMBERS},
    "Run.set_members": {"manager": NOBODY, "stages": NO_MEMBERS},
    "Run.notify": {"broker": NOBODY, "event": ANY},
    "Run.sync_notify": {"broker": NOBODY, "event": ANY, "timeout": NO_TIMEOUT},
    "Run.resume_stage": {"stage": NOBODY},
    "DynamicSupervisor.shard_of": {"name": (*NO_TEXT, "", "a/b")},
    "DynamicSupervisor.stage_name": {"name": (*NO_TEXT, "", "a/b")},
    "DynamicSupervisor.start_child": {
        "name": (*NO_TEXT, "", "a/b"),
        "use": NO_CLASS,
        "args": NO_MAP,
        "restart": ("sometimes", None, 5),
        "shutdown": (-1, NAN, None, "sometimes"),
        "start_within": (0, -1, NAN, None, "5"),
        "backoff": (5, "text", {"first": 1}),
        "timeout": NO_TIMEOUT,
    },
    "DynamicSupervisor.lookup": {"name": (*NO_TEXT, "", "nobody")},
    "DynamicSupervisor.terminate_child": {
        "name": (*NO_TEXT, "", "nobody"),
        "timeout": NO_TIMEOUT,
    },
    "DynamicSupervisor.subscribe": {
        "to": NOBODY,
        "options": (5, {"max_demand": 5}),
        "timeout": NO_TIMEOUT,
    },
    # --- a stage's verbs
    "Stage.cancel": {"subscription": (None, 5, "text"), "reason": ANY},
    "Stage.send_after": {"seconds": (*NO_TIMEOUT, None), "message": ANY},
    "Stage.stop": {"reason": ANY},
    "Stage.set_result": {"value": ANY},
    "Producer.emit": {"events": (None, 5, "text", {"a": 1})},
    "Producer.notify": {"message": ANY},
    "Producer.set_demand": {"mode": ("sideways", None, 5)},
    "Consumer.ask": {"subscription": (None, 5, "text"), "count": (*NO_NATURAL, 2**50)},
    "Consumer.pause": {"subscription": (None, 5, "text")},
    "Consumer.resume": {"subscription": (None, 5, "text")},
    "Consumer.set_mode": {"subscription": (None, 5, "text"), "mode": ("sideways", None, 5)},
    "Consumer.set_rate": {
        "subscription": (None, 5, "text"),
        "rate": NO_RATE,
        "burst": NO_BURST,
    },
    "ProducerConsumer.forward": {"count": (-1, 1.5, "5", True)},
    # --- ready-made stages
    "Zip": {
        "sources": (None, 5, "text", [], ["one"], ["a", "a"]),
        "skew_limit": NO_COUNT[1:],
    },
    "par_distribute_scan": {
        "source": (None, 5, "text"),
        "scans": (None, 5, "text", [5]),
        "config": (5, "text", {"nothing": 1}),
    },
    "par_distribute_scan_m": {
        "source": (None, 5, "text"),
        "next_scans": (None, *NO_FUNCTION),
        "config": (5, "text", {"nothing": 1}),
    },
    "par_demux_scan": {
        "source": (None, 5, "text"),
        "key": (None, *NO_FUNCTION),
        "make": (None, *NO_FUNCTION),
        "restart": (None, 5, "never"),
        "config": (5, "text", {"nothing": 1}),
    },
    "TaskPool": {
        "queries": (None, 5, "text", [5], {"name": "q"}),
        "workers": NO_COUNT[1:],
        "admission_size": NO_COUNT,
        "internal_soft_limit": NO_COUNT,
        "internal_bytes_limit": NO_COUNT,
        "on_overflow": (None, 5, "drop"),
        "output_size": NO_COUNT,
        "deal": (None, 5, "any"),
        "steal": (None, True, "always"),
        "fair": (None, 1, "no"),
        "max_inline_depth": NO_COUNT,
        "memory": (5, "text", {"patience": 1}),
        "in_flight": (5, "text", {"limits": 1}),
    },
    "Pipeline": {
        "run": (None, 5, "text", "operator:no_such"),
        "to": (None, 5, "text", [5], ["a", "a"]),
        "start": (5, "text"),
        "stop": (5, "text"),
    },
    "Query": {
        "name": (*NO_TEXT, ""),
        "pipelines": (*NO_MAP, None, {}),
        "sources": (*NO_MAP, None, {"numbers": "nobody"}),
        "idempotent": (None, 1, "yes"),
    },
    "MemoryBudget": {"limit": NO_COUNT, "patience": (*NO_SECONDS, INF, None)},
    "InFlight": {"limit": NO_COUNT, "most": (*NO_COUNT[1:], 63), "step": NO_COUNT},
    "Departition": {
        "partitions": NO_COUNT,
        "merge": (None, *NO_FUNCTION),
        "init": (None, *NO_FUNCTION),
        "finish": NO_FUNCTION,
        "window": NO_FUNCTION,
        "report": NO_FUNCTION,
        "patience": (*NO_TIMEOUT, None),
        "max_open": NO_COUNT,
    },
    "permit": {"name": (*NO_TEXT, ""), "timeout": NO_TIMEOUT},
    "AsyncStage": {
        "run": (None, *NO_FUNCTION, len),
        "concurrency": NO_COUNT[1:],
        "ordered": (None, 1, "yes"),
        "claim": ("all", None, 5, ["total"]),
        "setup": NO_FUNCTION,
        "teardown": (*NO_FUNCTION, len),
        "timeout": (0, *NO_TIMEOUT),
        "retries": NO_NATURAL,
        "on_error": ("cry", None, 5),
        "on_stop": ("cry", None, 5),
        "requeue": (*NO_FUNCTION, len),
    },
    "ForEach": {
        "run": (None, *NO_FUNCTION, asyncio.sleep),
        "concurrency": NO_COUNT,
        "executor": ("task", None, 5, ["process"]),
        "restart": ("permanent", None, 5),
        "shutdown": ("soon", -1, NAN),
        "timeout": (0, *NO_TIMEOUT),
        "max_restarts": NO_NATURAL,
        "max_seconds": (0, -1, NAN, "5", None),
    },
    # --- options and specifications
    "SubscriptionOptions": {
        "max_demand": (0, -1, 1.5, "5", None, True),
        "min_demand": (-1, 1.5, "5", 10_000, True),
        "cancel": ("sometimes", None, 5),
        "rate": NO_RATE,
        "burst": NO_BURST,
        "extra": NO_MAP,
    },
    "StageOptions": {
        "buffer_size": (-1, 1.5, "5", True),
        "buffer_keep": ("middle", None, 5),
        "when_no_consumers": ("cry", None, 5),
        "dispatcher": (5, None),  # a name is looked up where the topology's import path is known
        "demand": ("sideways", None, 5),
        "poll_interval": (0, -1, NAN, INF, "5", True),
        "delivery": ("perhaps", None, 5),
        "max_unfinished": (0, -1, 1.5, "5", True),
        "on_error": ("ignore", None, 5, {"retry": 3}),
        "max_deliveries": (0, -1, 1.5, "5", True),
        "codec": ("json", None, 5, {}, {"json": "a:B"}, {"msgspec": "B"}),
        "shared_memory": NO_SIZE,
        "busy_poll": (-1, 0.011, NAN, INF, None, "5", True),
        "scheduling": ("idle", None, 5),
    },
    "SubscribeTo": {
        "to": NO_TEXT,  # whether there is such a stage is seen when the topology is complete
        "max_demand": (0, -1, 1.5, "5", True),
        "min_demand": (-1, 1.5, "5", True),
        "cancel": ("sometimes", 5),
        "rate": NO_RATE,
        "burst": NO_BURST,
        "partition": ([1],),
        "selector": (5, "text", lambda event: True),
        "extra": NO_MAP,
        "shared_fate": (5, "yes"),
    },
    "Intensity": {"max_restarts": NO_NATURAL, "max_seconds": (*NO_TIMEOUT, None)},
    "ChildSpec": {
        "stage": (None, 5, "text"),
        "restart": ("sometimes", None, 5),
        "shutdown": (-1, NAN, None, "sometimes"),
        "start_within": (0, -1, NAN, None, "5"),
        "supervisor": (None, 5),
        "significant": (None, 5, "yes"),
        "backoff": (5, "text"),
    },
    "SupervisorSpec": SPECIFIED,
    "DynamicSupervisorSpec": {
        **SPECIFIED,
        "strategy": (*SPECIFIED["strategy"], "one_for_all"),
        "order": (*SPECIFIED["order"], "one_by_one"),
        "auto_shutdown": (*SPECIFIED["auto_shutdown"], "any_significant"),
        "max_children": (0, -1, 1.5, "5", True),
        "shards": NO_COUNT,
    },
    "SubscriptionSpec": {
        "consumer": (*NO_TEXT, ""),
        "producer": (*NO_TEXT, ""),
        "options": (None, 5, {"max_demand": 5}),
        "shared_fate": (5, "yes"),
    },
    "RouterSpec": {
        "manager": (*NO_TEXT, ""),
        "members": (None, 5, "text", [5]),
        "ends_with_members": (None, 5, "yes"),
    },
    "Plan": {
        "name": (*NO_TEXT, ""),
        "children": (None, 5, "text", [5], [SPEC], [CHILD, CHILD]),
        "subscriptions": (None, 5, "text", [5]),
        "strategy": ("sometimes", None, 5),
        "order": ("sorted", None, 5),
        "intensity": (None, 5),
        "import_paths": (None, 5, "text", [5]),
        "preload": (None, 5, "text", [5]),
        "partitions": (None, 5, "text", {5: [1]}, {"new": 5}),
        "auto_shutdown": ("sometimes", None, 5),
        "supervisors": (None, 5, "text", [5]),
        "ends_when_idle": (None, 5, "yes"),
        "checkpoint": (5, ""),
        "dead_letters": (5, ""),
        "routers": (None, 5, "text", [5]),
    },
    "DemandDispatcher": {
        "shuffle_demands_on_first_dispatch": (5, None, "yes"),
        "seed": ANY,
        "chunk": (0, -1, 1.5, "5", True),
    },
    "PartitionDispatcher": {
        "partitions": (0, -1, 1.5, None, True, ()),
        "by": NO_FUNCTION,
        "when_unassigned": ("cry", None, 5),
    },
    "BroadcastDispatcher": {"replay": NO_NATURAL},
    "LocalRuntime": {
        "permits": (5, "text", {"pool": 0}),
        "import_paths": (5, "text"),
        "preload": (5, "text"),
        "stdout_to_stderr": ANY,
        "count_links": ANY,
        "boot_within": (0, -1, NAN, None, "5"),
        "entry": ANY,
    },
    "from_iterable": {
        "iterable": (None, 5, "text", b"bytes", {"a": 1}),
        "max_demand": (0, -1, 1.5, "5", True),
        "on_cancel": ("sometimes", None, 5),
        "dispatcher": ("sideways", 5, None),
        "demand": ("sideways", None, 5),
    },
    "stable_hash": {"value": ANY},
    # --- testing
    "testing.run": {
        "stage": NO_CLASS,
        "inputs": (5,),
        "args": NO_MAP,
        "options": (5, {"demand": "forward"}),
        "max_demand": (0, -1, 1.5, "5", None, True),
        "take": (-1, 1.5, "5", True),
        "name": (*NO_TEXT, ""),
        "seed": NO_INTEGER,
        "faults": (5, "text"),
    },
    "testing.simulate": {
        "topology": (None, 5, "text"),
        "seed": NO_INTEGER,
        "faults": (5, "text"),
        "conditions": (5, "text"),
        "max_steps": NO_COUNT,
        "laws": ANY,
        "witness": (5, "text"),
        "check": ANY,
    },
    "testing.Faults": {
        "crashes": NO_NATURAL,
        "within": NO_COUNT,
        "at": (5, "text", (5,)),
        "stages": (5, "text"),
        "points": (*NO_MAP, {"point": 0}),
        "spawn_failures": NO_NATURAL,
        "children": NO_NATURAL,
    },
    "testing.CrashAt": {"step": NO_COUNT, "stage": (5, b"text")},
    "testing.Conditions": {
        "pick": ("sideways", 5),
        "cut": ("sideways", 5),
        "eager": ANY,
        "capacity": (0, -1, 1.5, "5", True),
        "slowest": (-1, NAN, "5"),
        "haste": (-1, 1, NAN, "5"),
    },
    "Backoff": {
        "initial": (None, 0, *NO_SECONDS),
        "factor": (None, 0.5, *NO_SECONDS),
        "max": (None, 0.05, *NO_SECONDS),
        "attempts": (0, *NO_INTEGER[1:]),
        "jitter": (None, 1.01, *NO_SECONDS),
    },
    "testing.FakeClock": {"start": (None, "5", NAN)},
    "testing.FakeClock.advance": {"seconds": (-1, None, "5", NAN)},
    "testing.spend": {"seconds": (-1, None, "5", NAN)},
    "testing.fault_point": {"name": NO_TEXT},
}

ELSEWHERE = {
    "Batcher": "tests/systems/test_batcher_runs.py",
    "ChildTemplate": "tests/conformance/test_5_12_consumer_supervisor.py",
    "ConsumerSupervisor": "tests/conformance/test_5_12_consumer_supervisor.py",
    "ProducerConsumerSupervisor": "tests/conformance/test_5_12_consumer_supervisor.py",
    "ConsumerSupervisorHandle": "tests/conformance/test_5_12_consumer_supervisor.py",
    "Broker": "tests/conformance/test_proposals_router.py",
    "Defaults": "tests/topology",
    "DeadLetter": "tests/supervision/test_dead_letters.py",
    "DynamicSupervisor": "tests/supervision",  # its constructor; its methods have rows
    "SupervisorOptions": "tests/topology",
    "Supervisor": "tests/end_to_end/test_embedding.py",
    "Remains": "tests/supervision",  # what a run makes of its end, and nobody gives
    "Retry": "tests/stage/test_on_error.py",
    "load": "tests/topology/test_mistakes.py",
    "read_letters": "tests/supervision/test_dead_letters.py",
    "testing.check_dispatcher": "tests/dispatch",
}
"""Whose arguments are checked, and the checks tested, in rooms of their own."""

REQUIRED: dict[str, dict[str, Any]] = {
    "Topology": {"name": "good"},
    "Topology.stage": {"name": "good", "use": Sink},
    "Topology.supervise": {"name": "good"},
    "Topology.dynamic_supervisor": {"name": "good"},
    "SupervisorSpec": {"name": "good"},
    "DynamicSupervisorSpec": {"name": "good"},
    "SubscriptionSpec": {"consumer": "sink", "producer": "source"},
    "RouterSpec": {"manager": "source"},
    "Plan": {"name": "good", "children": [CHILD]},
    "Run.scale": {"stage": "sink", "replicas": 2},
    "Run.add_members": {"manager": "source", "stages": ["source"]},
    "Run.remove_members": {"manager": "source", "stages": ["source"]},
    "Run.set_members": {"manager": "source", "stages": ["source"]},
    "Run.notify": {"broker": "source", "event": 1},
    "Run.sync_notify": {"broker": "source", "event": 1},
    "Run.replace": {"stage": "sink", "args": {}},
    "Run.unsubscribe": {"consumer": "sink", "to": "source"},
    "DynamicSupervisor.start_child": {"name": "good", "use": Sink},
    "DynamicSupervisor.terminate_child": {"name": "nobody"},
    "DynamicSupervisor.subscribe": {"to": "source"},
    "Run.on_over": {"callback": lambda: None},
    "Run.start_child": {"spec": CHILD},
    "Run.cancel": {"ref": 99},
    "Run.resubscribe": {"ref": 1},
    "Run.terminate_supervisor": {"name": "nobody"},
    "Run.set_demand": {"stage": "source", "mode": "forward"},
    "Run.subscribe": {"consumer": "sink", "to": "source"},
    "Run.monitor": {"stage": "source", "target": print},
    "Run.demonitor": {"monitor": 99},
    "Zip": {"sources": ["a", "b"]},
    "par_distribute_scan": {"source": [1], "scans": []},
    "par_distribute_scan_m": {"source": [1], "next_scans": list},
    "par_demux_scan": {"source": [1], "key": abs, "make": abs},
    "Departition": {"partitions": 2, "merge": max, "init": int},
    "Pipeline": {"run": print},
    "Query": {"name": "good", "pipelines": {"a": print}},
    "MemoryBudget": {"limit": 1},
    "permit": {"name": "pool"},
    "AsyncStage": {"run": asyncio.sleep, "concurrency": 1},
    "ForEach": {"run": print},
    "SubscribeTo": {"to": "source"},
    "ChildSpec": {"stage": SPEC},
    "PartitionDispatcher": {"partitions": 2},
    "from_iterable": {"iterable": [1]},
    "testing.run": {"stage": Source},
    "testing.simulate": {"topology": PLAIN},
    "testing.CrashAt": {"step": 5},
    "Consumer.ask": {"subscription": None, "count": 1},
    "Stage.cancel": {"subscription": None},
    "Consumer.set_mode": {"subscription": None, "mode": "manual"},
    "Consumer.set_rate": {"subscription": None, "rate": 5},
    "Run.set_rate": {"ref": 1, "rate": 5},
    "Stage.send_after": {"seconds": 1, "message": "hello"},
}
"""Right values of what has to be given beside the wrong one."""
for _name, _row in TABLE.items():
    if _name.startswith("Run.") and "stage" in _row:
        REQUIRED.setdefault(_name, {"stage": "source"})
REQUIRED["Run.call"] = {"stage": "source", "request": "hello"}
REQUIRED["Run.cast"] = REQUIRED["Run.info"] = {"stage": "source", "message": "hello"}

LIVE = ("Run.", "DynamicSupervisor.")
CONSTRUCTED = {
    "Zip": Zip,
    "Departition": Departition,
    "TaskPool": TaskPool,
    "Pipeline": Pipeline,
    "Query": Query,
    "MemoryBudget": MemoryBudget,
    "InFlight": InFlight,
    "AsyncStage": AsyncStage,
    "ForEach": ForEach,
}
VERBS = {"Stage": Sink, "Producer": Source, "Consumer": Sink, "ProducerConsumer": Between}


def cases(prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every row, parameter and bad value."""
    for name, row in TABLE.items():
        for parameter, values in row.items():
            if name.startswith(prefix) and values is not ANY:
                for value in values:
                    yield name, parameter, value


def refused(name: str, parameter: str, value: Any, act: Callable[[], Any]) -> str | None:
    """What is wrong with how a bad value was refused; None when all is well."""
    where = f"{name}({parameter}={value!r})"
    try:
        result = act()
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except OptionError as error:
        if parameter not in error.option:
            return f"{where} is refused as {error.option}"
        return None if error.rule and repr(error.value) in str(error) else f"{where}: {error}"
    except ActorflowError as error:
        said = isinstance(error, TopologyError) or repr(value) in str(error)
        return None if said else f"{where} is refused without its value: {error!r}"
    except Exception as error:  # noqa: BLE001  (whatever it is, it is no refusal)
        return f"{where} raises {error!r}"
    return f"{where} is taken"


def target(name: str) -> Callable[..., Any]:
    """What a row is about, where it is no method of a running thing."""
    if name.startswith("Topology."):
        return getattr(Topology("good"), name.removeprefix("Topology."))  # type: ignore[no-any-return]
    if name == "testing.FakeClock.advance":
        return testing.FakeClock().advance
    if name.startswith("testing."):
        return getattr(testing, name.removeprefix("testing."))  # type: ignore[no-any-return]
    return CONSTRUCTED.get(name) or getattr(actorflow, name)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "name", [n for n in TABLE if not n.startswith(LIVE) and n.partition(".")[0] not in VERBS]
)
def test_bad_arguments_are_refused_where_they_are_given(name: str) -> None:
    """The error names the parameter, what is accepted and what was given."""
    problems = []
    for _, parameter, value in (case for case in cases(name) if case[0] == name):
        given = {**REQUIRED.get(name, {}), parameter: value}
        problems.append(refused(name, parameter, value, lambda g=given: target(name)(**g)))
    assert [each for each in problems if each] == []


@pytest.mark.parametrize("name", [n for n in TABLE if n.partition(".")[0] in VERBS])
def test_a_verb_refuses_bad_arguments(name: str) -> None:
    """In the callback that gives them, and the stage may catch the error and go on."""
    owner, _, verb = name.partition(".")
    problems = []
    for _, parameter, value in (case for case in cases(name) if case[0] == name):
        stage = StageHarness(VERBS[owner])
        given = {**REQUIRED.get(name, {}), parameter: value}
        if "subscription" in given and parameter != "subscription":
            stage.link_to_producer(1, "producer", max_demand=5)
            given["subscription"] = stage.calls("handle_subscribe")[0][2]
        call = getattr(stage.behaviour, verb)
        problems.append(refused(name, parameter, value, lambda c=call, g=given: c(**g)))
        assert stage.exiting is None
    assert [each for each in problems if each] == []


@pytest.mark.processes
def test_a_run_refuses_bad_arguments() -> None:
    """Each of its methods, and each of a dynamic supervisor's; and it goes on."""
    topology = Topology("run").stage("source", Source).stage("sink", Sink, subscribe_to=["source"])
    with topology.dynamic_supervisor("jobs").start() as run:
        owners: dict[str, Any] = {"Run": run, "DynamicSupervisor": run.dynamic("jobs")}
        problems = []
        for name, parameter, value in (case for of in LIVE for case in cases(of)):
            given = {**REQUIRED.get(name, {}), parameter: value}
            owner, _, verb = name.partition(".")
            method = getattr(owners[owner], verb)
            problems.append(refused(name, parameter, value, lambda m=method, g=given: m(**g)))
        assert [each for each in problems if each] == []
        assert not run.over


# --- is it complete? ------------------------------------------------------------------------------

RESULTS = {
    *("ChildCounts", "ChildInfo", "ConsumerChildCounts", "ConsumerChildInfo", "Outcome", "Problem"),
    *(
        "DownMessage",
        "MembersRefused",
        "RouterInfo",
        "EdgeStatistics",
        "RunDown",
        "RunStatistics",
        "StageStatistics",
    ),
    *("SupervisorInfo", "Sender", "Subscription", "HeldBatch", "Run", "Told", "UnfinishedBatch"),
    *("Delivery", "Dispatched", "Dispatcher", "Incarnation", "StageId", "StageSpec"),
    *("Stream", "AsyncStream"),
    *("Evidence", "Handled", "Outputs", "SimulatedRun", "Witness", "Gate", "Stalled", "Endless"),
    *("Simulation", "StageHarness"),
}
"""What actorflow makes itself and hands out, and what sends right and wrong on purpose."""

CALLBACKS = {
    name
    for kind in (Stage, Producer, ProducerConsumer, Consumer)
    for name in vars(kind)
    if name.startswith(("handle_", "on_")) or name in ("snapshot", "restore")
}


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every class and function that is public, and the methods of those that users call."""
    for prefix, module in (("", actorflow), ("testing.", testing)):
        for name in module.__all__:
            value = getattr(module, name)
            abstract = value in (Producer, ProducerConsumer, Consumer)
            error = inspect.isclass(value) and issubclass(value, BaseException)
            if callable(value) and not error and not abstract and name not in RESULTS:
                yield prefix + name, value
    parts = [part for part in Run.__mro__ if part is not object]
    for owner in (*parts, actorflow.DynamicSupervisor, Stage, Producer, ProducerConsumer, Consumer):
        label = "Run" if owner in parts else owner.__name__
        for name, value in vars(owner).items():
            if inspect.isfunction(value) and not name.startswith("_") and name not in CALLBACKS:
                yield f"{label}.{name}", value


def parameters(function: Callable[..., Any]) -> set[str]:
    """What it takes, `self` and catch-alls excepted."""
    found = inspect.signature(function).parameters.values()
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {each.name for each in found if each.kind not in variable} - {"self", "cls"}


"""A row lists them."""


def test_every_public_callable_has_its_row() -> None:
    """And in it every parameter that it has."""
    missing = []
    for name, function in public():
        wanted = parameters(function)
        if not wanted or name in ELSEWHERE:
            continue
        absent = wanted - set(TABLE.get(name, {}))
        missing += [f"{name}: {parameter}" for parameter in sorted(absent)]
    assert missing == []
