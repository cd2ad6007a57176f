"""Calls, casts and infos to stages in other processes, and every way in which a call may fail."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actorflow import CallError, CallTimeout, Closed, NoSuchStage, Run, StageDown, Topology
from tests.end_to_end.helpers import Events, kill, wait_until
from tests.end_to_end.stages import Answers, Idle
from tests.stopwatch import within

pytestmark = pytest.mark.processes


def start(**options: object) -> tuple[Run, Events]:
    """A run of a source and of a stage that answers."""
    topology = (
        Topology("messages")
        .stage("source", Idle)
        .stage("answers", Answers, subscribe_to=["source"], **options)  # type: ignore[arg-type]
    )
    events = Events()
    return topology.start(events), events


def test_a_call_returns_what_the_stage_answered() -> None:
    """Every kind of object goes there and back as it is, also before the stage has started."""
    run, _ = start()
    with run:
        for value in (1, "text", None, (1, 2), {"a": [1]}, {3}, 1 << 80, b"x" * 300_000, Answers):
            assert run.call("answers", value, timeout=50) == value
        assert run.call("answers/0", "later") == "at last"


def test_casts_and_infos_arrive_in_order() -> None:
    """What is cast and told is handled in the order in which it was sent."""
    run, _ = start()
    with run:
        for number in range(100):
            run.cast("answers", number)
        run.info("answers", "told")
        assert run.call("answers", "told", timeout=50) == [*range(100), "told"]


def test_a_call_that_raises_has_the_original_exception_as_its_cause() -> None:
    """`CallError` names the stage; its cause is the exception, with the remote traceback."""
    run, events = start()
    with run:
        with pytest.raises(CallError, match=r"answers/0 raised in the call: KeyError") as caught:
            run.call("answers", "raise", timeout=50)
        cause = caught.value.__cause__
        assert type(cause) is KeyError
        assert cause.args == ("nothing of that name",)
        assert "in handle_call" in str(cause.__cause__)
        # As in OTP an exception in a call ends the stage, and its supervisor starts it again.
        events.restarted("answers")
        assert run.call("answers", "again") == "again"


def test_a_call_without_an_answer_times_out(tmp_path: Path) -> None:
    """After its time a call fails, whether the stage is busy or never answers; both live on."""
    run, _ = start()
    with run:
        run.call("answers", "up", timeout=50)
        with within(5):
            with pytest.raises(CallTimeout, match=r"no answer within 0.1 s"):
                run.call("answers", "never", timeout=0.1)
            gate = tmp_path / "gate"
            with pytest.raises(TimeoutError):
                run.call("answers", ["wait for", str(gate)], timeout=0.1)
            gate.touch()
        assert run.call("answers", "still there") == "still there"


@pytest.mark.parametrize("how", ["exit", "kill", "terminate", "stop"])
def test_a_call_to_a_stage_that_ends_fails_at_once(how: str) -> None:
    """Whoever waits for an answer does not wait for its time-out when there will be none."""
    run, _ = start(shutdown=0.2)
    with run, ThreadPoolExecutor() as pool:
        run.call("answers", "up", timeout=50)
        with within(10):
            request = "exit" if how == "exit" else ["sleep", 10.0]
            answer = pool.submit(run.call, "answers", request, 30)
            wait_until(lambda: run.stats().stage("answers").busy_for or answer.done(), "the call")
            if how == "kill":
                kill(run, "answers")
            elif how == "terminate":
                run.terminate_child("answers")
            elif how == "stop":
                run.stop()
            error = answer.exception(50)
        assert isinstance(error, StageDown)
        assert "answers/0 ended before it replied" in str(error)


def test_a_call_that_is_under_way_when_the_run_is_closed_fails_at_once() -> None:
    """Closing does not leave anybody waiting."""
    run, _ = start()
    with ThreadPoolExecutor() as pool:
        run.call("answers", "up", timeout=50)
        answer = pool.submit(run.call, "answers", "never", 30)
        wait_until(lambda: run.stats().stage("answers"), "a turn of the supervisor")
        with within(5):
            run.close()
            error = answer.exception(50)
        assert isinstance(error, Closed | StageDown)


def test_a_name_that_is_wrong_is_answered_with_the_nearest() -> None:
    """`NoSuchStage` proposes what was probably meant."""
    run, _ = start(replicas=2)
    with run:
        with pytest.raises(NoSuchStage, match="no stage 'sorce'; did you mean 'source'"):
            run.call("sorce", 1)
        with pytest.raises(NoSuchStage, match="name one of answers/0, answers/1"):
            run.call("answers", 1)
        with pytest.raises(NoSuchStage, match="no stage 'answers/2'; did you mean 'answers/"):
            run.cast("answers/2", 1)
        assert run.call("answers/1", "here", timeout=50) == "here"


def test_a_request_that_cannot_be_sent_is_told_where_it_was_passed() -> None:
    """The caller gets the error, and nobody else notices."""
    run, _ = start()
    with run:
        for send in (run.call, run.cast, run.info):
            with pytest.raises(TypeError, match=r"a _thread.lock cannot be sent"):
                send("answers", threading.Lock())
        assert run.call("answers", "told", timeout=50) == []


def test_an_answer_that_cannot_be_sent_is_an_error_of_the_stage() -> None:
    """The caller learns why there is no answer."""
    run, _ = start()
    with run, pytest.raises(CallError, match=r"a _thread.lock cannot be sent") as caught:
        run.call("answers", "unsendable", timeout=50)
    assert isinstance(caught.value.__cause__, TypeError)


def test_nothing_can_be_asked_of_a_run_that_is_over() -> None:
    """Every operation fails with `Closed`; what can still be read can be read."""
    run, _ = start()
    with run:
        run.call("answers", "up", timeout=50)
    assert run.over
    for operation in (
        lambda: run.call("answers", 1),
        lambda: run.cast("answers", 1),
        run.which_children,
        lambda: run.subscribe("answers", to="source"),
        lambda: run.terminate_child("answers"),
        lambda: run.monitor("answers", print),
    ):
        with pytest.raises(Closed):
            operation()
    assert run.outcome().status == "stopped"
    assert run.stop().status == "stopped"
    assert run.drain().status == "stopped"
    run.close()
    assert [stage.state for stage in run.stats().stages] == ["ended", "ended"]
