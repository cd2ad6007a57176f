"""The request and reply form of the batcher: calls in, replies out, the test plays the children."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actorflow import (
    BatchCancelled,
    BatcherClosed,
    BatchFailed,
    BatchRejected,
    BatchTimeout,
    OptionError,
    ProcessorCrashed,
    ProcessorInvariantViolation,
    ProcessorPanic,
    ResourceAcquisitionFailed,
)
from actorflow.stage.children import ChildEnd, ChildKind
from actorflow.stages.batcher import (
    BatcherServer,
    Err,
    Flush,
    Immediate,
    Ok,
    Outcome,
    Size,
)
from actorflow.stages.batcher.closing import ShutDown
from actorflow.stages.batcher.driver import Statistics
from actorflow.stages.batcher.processors import PhaseEnd, run_phase, run_phase_in_task
from actorflow.stages.batcher.server import AddItem, CancelItem, Failed, WaitForEnd
from actorflow.testing import StageHarness


class Leased:
    """A processor that can do everything wrong, as its inputs say."""

    def acquire_resources(self, key: str) -> str:
        if key == "no lease":
            raise ConnectionError(key)
        if key == "exit":
            raise SystemExit(3)
        return f"lease of {key}"

    def process(self, key: str, inputs: list[Any], resources: str) -> Any:
        match inputs[0]:
            case "raise":
                raise ValueError("no")
            case "exit":
                raise SystemExit(0)
            case "number":
                return 5
            case "short":
                return inputs[1:]
            case "mixed":
                return [Err(KeyError("a")), Err("a text"), Ok(Err("a value")), resources]
        return [f"{each} by {resources}" for each in inputs]

    released: list[Any]

    def release_resources(self, key: str, resources: str, outcome: Outcome) -> None:
        self.released = [*getattr(self, "released", ()), (resources, outcome)]
        if key == "stuck":
            raise OSError("stuck")


def double(key: Any, inputs: list[int]) -> list[int]:
    """A processor without resources."""
    return [2 * each for each in inputs]


async def double_in_task(key: Any, inputs: list[int]) -> list[int]:
    """The same as a coroutine function."""
    return double(key, inputs)


def server(processor: Any = double, **arguments: Any) -> StageHarness:
    """A server whose children the test plays, unless they are inline."""
    given = {"policy": Immediate(), "processor": processor, "workers": "inline", **arguments}
    return StageHarness(BatcherServer, given)


def add(harness: StageHarness, item: Any, key: Any = "key", ticket: Any = None) -> int:
    """Call with an item; returns the call."""
    return harness.send_call(AddItem(item if ticket is None else ticket, key, item))


def reply_to(harness: StageHarness, call: int) -> Any:
    """The reply to a call; what a handle would raise is raised."""
    reply = harness.reply_to(call)
    if isinstance(reply, Failed):
        raise reply.error
    return reply


def played(harness: StageHarness) -> dict[int, tuple[Any, ...]]:
    """The arguments of the children that run."""
    assert harness.offspring is not None
    return {life: child.arguments for life, child in harness.offspring.running.items()}


def returns(harness: StageHarness, *lives: int, value: Any = None) -> None:
    """Children return what a phase has come to."""
    assert harness.offspring is not None
    harness.offspring.returns(*lives, result=PhaseEnd(value))


def test_items_of_one_turn_are_one_batch() -> None:
    """A batch that starts at once still takes what has arrived with its first item."""
    harness = server()
    harness.autorun = False
    calls = [add(harness, item) for item in range(5)]
    harness.run()
    harness.autorun = True
    harness.advance(0)
    assert [reply_to(harness, call) for call in calls] == [0, 2, 4, 6, 8]
    assert harness.call(Statistics()).batches == 1


def test_c_07_replies_go_to_their_callers_whatever_the_order_of_acquisitions() -> None:
    """Through the children: the second lease comes first."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 2}
    harness = server(Leased(), workers=2, limits=limits)
    first, second = add(harness, "a"), add(harness, "b")
    assert [each[0] for each in played(harness).values()] == ["acquire", "acquire"]
    returns(harness, 2, value="two")
    returns(harness, 1, value="one")
    assert {life: each[2:] for life, each in played(harness).items()} == {
        3: (["b"], "two"),
        4: (["a"], "one"),
    }
    returns(harness, 3, value=["B"])
    returns(harness, 4, value=["A"])
    assert (reply_to(harness, first), reply_to(harness, second)) == ("A", "B")
    assert [each[3] for each in played(harness).values()] == [
        ["two", Outcome.DONE],
        ["one", Outcome.DONE],
    ]


def test_c_17_what_is_no_list_of_results_is_a_violation() -> None:
    """Too few, and no list at all."""
    harness = server(Leased())
    for item, actual in (("short", 0), ("number", None)):
        call = add(harness, item)
        harness.advance(0)
        with pytest.raises(ProcessorInvariantViolation) as caught:
            reply_to(harness, call)
        assert (caught.value.expected, caught.value.actual) == (1, actual)


def test_each_item_may_have_a_result_of_its_own() -> None:
    """`Err` fails one item, `Ok` says that a value is one."""
    harness = server(Leased(), policy=Size(), limits={"max_batch_size": 4})
    calls = [add(harness, item, ticket=place) for place, item in enumerate(["mixed", 1, 2, 3])]
    harness.advance(0)
    with pytest.raises(BatchFailed) as caught:
        reply_to(harness, calls[0])
    assert isinstance(caught.value.inner(), KeyError)
    with pytest.raises(BatchFailed, match="a text"):
        reply_to(harness, calls[1])
    assert reply_to(harness, calls[2]) == Err("a value")
    assert reply_to(harness, calls[3]) == "lease of key"


def test_c_18_every_error_is_typed_and_the_key_still_works() -> None:
    """Exceptions, an exit, of both phases; a release for each lease that was had."""
    processor = Leased()
    harness = server(processor)
    expected = [
        ("raise", "key", BatchFailed, ValueError),
        ("exit", "key", ProcessorPanic, SystemExit),
        ("a", "no lease", ResourceAcquisitionFailed, ConnectionError),
        ("b", "exit", ProcessorPanic, SystemExit),
    ]
    for item, key, kind, cause in expected:
        call = add(harness, item, key)
        harness.advance(0)
        with pytest.raises(kind) as caught:
            reply_to(harness, call)
        assert isinstance(caught.value.inner(), cause)
        assert cause.__name__ in caught.value.remote_traceback
    call = add(harness, "fine")
    harness.advance(0)
    assert reply_to(harness, call) == "fine by lease of key"
    assert processor.released == [
        ("lease of key", Outcome.FAILED),
        ("lease of key", Outcome.FAILED),
        ("lease of key", Outcome.DONE),
    ]
    assert harness.call(Statistics()).active_keys == 0


def test_a_release_that_fails_is_logged() -> None:
    """And costs nothing else."""
    harness = server(Leased())
    call = add(harness, "a", "stuck")
    harness.advance(0)
    assert reply_to(harness, call) == "a by lease of stuck"
    assert [line.event for line in harness.log] == ["release_resources failed"]


def test_c_26_what_hangs_is_killed_and_a_late_lease_is_released() -> None:
    """The caller has an error at the limit; the capacity is back."""
    harness = server(Leased(), workers=1, limits={"max_key_concurrency": 1}, acquire_timeout=1.0)
    call = add(harness, "a")
    harness.advance(1.0)
    with pytest.raises(BatchTimeout) as caught:
        reply_to(harness, call)
    assert caught.value.phase == "acquire"
    assert harness.offspring is not None
    assert harness.offspring.signals == [(1, "kill")]
    following = add(harness, "b")
    returns(harness, 1, value="late")
    assert [each[0] for each in played(harness).values()] == ["acquire", "release"]
    returns(harness, 2, value="lease")
    returns(harness, 4, value=["B"])
    assert reply_to(harness, following) == "B"


def test_c_27_a_killed_worker_is_the_error_of_its_batch() -> None:
    """With its signal; what it had leased is released."""
    harness = server(Leased(), workers=1)
    call = add(harness, "a")
    returns(harness, 1, value="lease")
    assert harness.offspring is not None
    harness.offspring.die(2, signal=9)
    with pytest.raises(ProcessorCrashed) as caught:
        reply_to(harness, call)
    assert (caught.value.exitcode, caught.value.phase) == (-9, "process")
    assert played(harness)[3][3] == ["lease", Outcome.FAILED]
    harness.offspring.end(3, end=ChildEnd(["exit", 2], False))
    assert harness.log[-1].event == "release_resources failed"


def test_no_process_to_be_had_is_an_error_of_the_batch() -> None:
    """And of nobody else."""
    harness = server(workers=1, limits={"max_key_concurrency": 1})
    assert harness.offspring is not None
    harness.offspring.refusals.append(BlockingIOError("no processes left"))
    call = add(harness, 1)
    harness.advance(0)
    with pytest.raises(BatchFailed, match="no processes left"):
        reply_to(harness, call)
    call = add(harness, 2)
    harness.advance(0)
    returns(harness, 2, value=[4])
    assert reply_to(harness, call) == 4


def test_c_28_a_cancelled_item_is_left_out() -> None:
    """Its call is answered too, for whoever still listens."""
    harness = server(policy=Size(), limits={"max_batch_size": 2})
    first = add(harness, 1)
    harness.cast(CancelItem(1))
    with pytest.raises(BatchCancelled):
        reply_to(harness, first)
    second, third = add(harness, 2), add(harness, 3)
    harness.advance(0)
    assert (reply_to(harness, second), reply_to(harness, third)) == (4, 6)


def test_what_cannot_be_taken_is_its_callers_error() -> None:
    """A key that is no key, a ticket that is in use, no room; the server goes on."""

    def weigh(item: Any) -> int:
        return len(item)

    harness = server(policy=Size(), weigh=weigh, limits={"max_batch_queue_size": 1})
    with pytest.raises(BatchFailed, match="unhashable"):
        reply_to(harness, harness.send_call(AddItem(1, ["no", "key"], "item")))
    with pytest.raises(BatchFailed, match="has no len"):
        reply_to(harness, harness.send_call(AddItem(2, "key", 5)))
    harness.send_call(AddItem(3, "key", "item"))
    with pytest.raises(OptionError, match="ticket"):
        harness.call(AddItem(3, "key", "item"))
    assert harness.exiting is None


def test_a_rejection_says_how_it_is() -> None:
    """The error travels with its key and the state of its capacity."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 1, "max_batch_queue_size": 1}
    harness = server(workers="thread", policy=Size(), limits=limits)
    calls = [add(harness, item) for item in range(3)]
    with pytest.raises(BatchRejected) as caught:
        reply_to(harness, calls[2])
    assert (caught.value.key, caught.value.concurrency) == ("key", "maxed_out")


def test_flush_and_a_linger_start_what_waits() -> None:
    """A cast, and time."""
    harness = server(policy=Size(linger=1.0))
    call = add(harness, 1)
    harness.cast(Flush("key"))
    harness.advance(0)
    assert reply_to(harness, call) == 2
    call = add(harness, 2)
    harness.advance(1.0)
    assert reply_to(harness, call) == 4


def test_c_20_shutdown_answers_everybody_and_the_stage_ends() -> None:
    """The request is answered with the report, and so is who waits for the end."""
    harness = server(policy=Size(), limits={"max_batch_size": 10})
    waits = harness.send_call(WaitForEnd())
    calls = [add(harness, item) for item in range(7)]
    shut = harness.send_call(ShutDown("flush"))
    late = add(harness, 99)
    harness.advance(0)
    assert [reply_to(harness, call) for call in calls] == [0, 2, 4, 6, 8, 10, 12]
    with pytest.raises(BatcherClosed):
        reply_to(harness, late)
    report = reply_to(harness, shut)
    assert reply_to(harness, waits) == report
    assert (report.mode, report.replied) == ("flush", 7)
    assert harness.exiting is not None
    assert harness.exiting.reason == "normal"


@pytest.mark.parametrize(("reason", "expected"), [("done", 2), ("shutdown", BatchCancelled)])
def test_the_end_of_the_run_answers_everybody(reason: str, expected: Any) -> None:
    """A drain processes what waits, a stop cancels it."""
    harness = server(policy=Size())
    call = add(harness, 1)
    if reason == "done":
        harness.finish()
    else:
        harness.stop(reason)
    harness.advance(0)
    if isinstance(expected, int):
        assert reply_to(harness, call) == expected
    else:
        with pytest.raises(expected):
            reply_to(harness, call)
    assert harness.exiting is not None
    assert harness.exiting.reason == reason


def test_c_20_an_abort_skips_what_has_not_begun() -> None:
    """An inline batch whose turn has not come is not processed."""
    processor = Leased()
    harness = server(processor, policy=Size(), limits={"max_batch_size": 1})
    call = add(harness, "a")
    shut = harness.send_call(ShutDown("abort"))
    with pytest.raises(BatchCancelled):
        reply_to(harness, call)
    harness.advance(0)
    assert harness.reply_to(shut).mode == "abort"
    assert not hasattr(processor, "released")


@pytest.mark.parametrize(
    ("option", "given"),
    [("mode", {"mode": "gently"}), ("mode", {"mode": None}), ("deadline", {"deadline": -1})],
)
def test_a_shutdown_refuses_bad_arguments(option: str, given: dict[str, Any]) -> None:
    """Where they are given."""
    with pytest.raises(OptionError) as caught:
        ShutDown(**given)
    assert caught.value.option == option


def test_what_a_clamped_policy_is_stands_in_the_log() -> None:
    """A hint above the batch size (C-15)."""
    harness = server(policy={"balanced": {"min_size_hint": 500}})
    assert "min_size_hint=100" in str(harness.log[0].values)


class WithoutResources:
    """Is called with one argument more than it takes."""

    def process(self, key: Any, inputs: list[Any]) -> list[Any]:
        raise AssertionError("it cannot be called so")


BAD: list[tuple[str, dict[str, Any]]] = [
    ("processor", {"processor": 5}),
    ("processor", {"processor": "no:where"}),
    ("processor", {"processor": int}),
    ("processor", {"processor": None}),
    ("processor", {"processor": lambda inputs: inputs}),
    ("processor", {"processor": WithoutResources}),
    ("processor", {"processor": WithoutResources()}),
    ("policy", {"policy": "sometimes"}),
    ("policy", {"policy": {"size": {"linger": 1}, "immediate": {}}}),
    ("policy", {"policy": {"size": {"lnger": 1}}}),
    ("policy", {"policy": {"balanced": {}}}),
    ("linger", {"policy": {"size": {"linger": -1}}}),
    ("seconds", {"policy": {"duration": {"seconds": float("nan")}}}),
    ("on_full", {"policy": {"duration": {"seconds": 1, "on_full": "cry"}}}),
    ("min_size_hint", {"policy": {"balanced": {"min_size_hint": 0}}}),
    ("clamp", {"policy": {"balanced": {"min_size_hint": 1, "clamp": "yes"}}}),
    ("min_size_hint", {"policy": {"balanced": {"min_size_hint": 999, "clamp": False}}}),
    ("limits", {"limits": 5}),
    ("limits", {"limits": {"max_batch": 5}}),
    *(
        (name, {"limits": {name: value}})
        for name in (
            "max_batch_size",
            "max_key_concurrency",
            "max_batch_queue_size",
            "max_total_concurrency",
            "max_batch_bytes",
        )
        for value in (0, -1, 1.5, "5", True)
    ),
    *(("workers", {"workers": value}) for value in (0, -1, 1.5, True, "process")),
    ("workers", {"workers": "task"}),
    ("workers", {"workers": "thread", "processor": double_in_task}),
    *(
        (name, {name: value})
        for name in ("acquire_timeout", "process_timeout")
        for value in (0, -1, float("inf"), "5")
    ),
    ("weigh", {"weigh": 5}),
]


@pytest.mark.parametrize(("option", "given"), BAD)
def test_a_bad_argument_is_refused(option: str, given: dict[str, Any]) -> None:
    """Where it is given, by its name: `concurrency=0` and everything else out of range."""
    arguments = {"policy": "immediate", "processor": double, **given}
    for refuse in (BatcherServer.check_arguments, lambda each: BatcherServer(**each)):
        with pytest.raises(OptionError) as caught:
            refuse(arguments)
        assert caught.value.option == option


def test_where_a_processor_runs_follows_from_what_it_is() -> None:
    """A coroutine function in a task, anything else in a thread."""
    kinds = {}
    for processor in (double, double_in_task, Leased):
        harness = StageHarness(BatcherServer, {"policy": "immediate", "processor": processor})
        assert harness.offspring is not None
        kinds[processor] = harness.offspring.kind.name
    assert kinds == {double: "thread", double_in_task: "task", Leased: "thread"}


def test_a_class_is_made_once_where_it_runs() -> None:
    """Not where it is declared."""

    class Counted(Leased):
        made = 0

        def __init__(self) -> None:
            type(self).made += 1

    BatcherServer.check_arguments({"policy": "immediate", "processor": Counted})
    assert Counted.made == 0
    for item in range(3):
        run_phase(Counted, "process", "key", [item], None)
    assert Counted.made == 1


class AsyncLeased:
    """As `Leased`, with coroutine functions."""

    async def acquire_resources(self, key: str) -> str:
        await asyncio.sleep(0)
        return Leased().acquire_resources(key)

    async def process(self, key: str, inputs: list[Any], resources: str) -> Any:
        await asyncio.sleep(0)
        return Leased().process(key, inputs, resources)

    def release_resources(self, key: str, resources: str, outcome: Outcome) -> None:
        """It need not be one."""


def test_a_phase_in_a_task_ends_as_one_in_a_thread() -> None:
    """Its value, its exception, its exit, and `Err` for single items."""
    cases: list[tuple[str, str, list[Any]]] = [
        ("acquire", "key", []),
        ("acquire", "no lease", []),
        ("acquire", "exit", []),
        ("process", "key", ["fine"]),
        ("process", "key", ["raise"]),
        ("process", "key", ["exit"]),
        ("process", "key", ["mixed", 1, 2, 3]),
    ]
    for phase, key, inputs in cases:
        ends = [
            run_phase(Leased(), phase, key, inputs, "lease"),
            asyncio.run(run_phase_in_task(AsyncLeased(), phase, key, inputs, "lease")),
        ]
        plain, task = [(end.panic, end.failure and end.failure.summary) for end in ends]
        assert plain == task
        if plain[1] is None:
            assert [str(each)[:20] for each in ends[0].value] == [
                str(each)[:20] for each in ends[1].value
            ]
    done = asyncio.run(run_phase_in_task(AsyncLeased(), "release", "key", [], ["lease", "done"]))
    assert done == PhaseEnd()


@pytest.mark.parametrize(
    ("arguments", "waiting"),
    [
        ({"workers": 3}, 0),
        ({"workers": 1}, 1),
        ({"workers": 1, "acquire_timeout": 9.0}, 0),
        ({"workers": 1, "process_timeout": 9.0}, 0),
    ],
)
def test_a_batch_waits_in_the_pipe_of_an_only_worker_alone(
    arguments: dict[str, Any], waiting: int
) -> None:
    """However quick acquisitions are, it is never behind a slow batch while others are free.

    Nor where its time is limited: from a pipe nothing can be taken back.
    """
    harness = server(Leased(), **arguments)
    assert harness.offspring is not None
    kind = ChildKind("worker", arguments["workers"], ahead=False, waiting=waiting)
    assert harness.offspring.kind == kind
