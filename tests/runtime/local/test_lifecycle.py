"""Starting, talking to and ending processes that behave."""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

from actorflow.errors import Closed, OptionError, PlatformUnsupported
from actorflow.protocol.control import Exiting, decode_control
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import StageId
from actorflow.protocol.messages import Cast, Info
from actorflow.runtime.local.runtime import LocalRuntime
from actorflow.supervision.runtime import Exited, Observation, Received, Started, TimerFired
from tests.runtime.local.watched import (
    Make,
    Watched,
    alive,
    eventually,
    open_files,
    stage,
    stage_spec,
)

pytestmark = pytest.mark.processes


def test_a_stage_answers_on_its_control_link(watched: Make) -> None:
    """Messages go to the stage and come back, in order, and it ends with status 0."""
    one = watched("echo")
    child = one.spawn()
    for number in range(50):
        one.tell(child, f"hello {number}", number)
    assert one.texts(child, 50) == [f"hello {number}" for number in range(50)]
    one.tell(child, "stop")
    end = one.exited(child)
    assert (end.status, end.signal, end.detail) == (0, None, "")
    assert end.pid == one.started(child)
    assert end.max_rss > 1_000_000
    assert one.threads == {"actorflow-runtime"}


def test_a_large_message_passes_both_ways(watched: Make) -> None:
    """A message of several megabytes, far more than a socket holds, arrives whole."""
    one = watched("echo")
    child = one.spawn()
    text = "0123456789" * 500_000
    one.tell(child, text)
    one.tell(child, "behind it")
    assert one.texts(child, 2) == [text, "behind it"]


def test_an_exit_status_is_reported_after_the_last_words(watched: Make) -> None:
    """The exit comes behind everything that the stage had sent, with its status."""
    one = watched("exits_3")
    child = one.spawn()
    assert one.exited(child).status == 3
    assert [type(seen) for seen in one.seen] == [Started, Received, Exited]


def test_sys_exit_sets_the_status(watched: Make) -> None:
    """A stage that calls sys.exit ends with that status, and that is no failure."""
    one = watched("quits")
    child = one.spawn()
    assert one.exited(child).status == 4
    assert [type(seen) for seen in one.seen] == [Started, Exited]


def test_an_error_travels_as_last_words(watched: Make) -> None:
    """An exception that leaves the entry is sent with its traceback, and the status is 1."""
    one = watched("raises")
    child = one.spawn()
    assert one.exited(child).status == 1
    failure = last_words(one)
    assert failure.summary == "ValueError: no"
    assert "in raises" in failure.traceback
    assert isinstance(failure.exception(), ValueError)


def test_a_specification_that_cannot_be_rebuilt_is_the_stages_failure(watched: Make) -> None:
    """What fails while unpickling fails in the stage's process, not in the zygote."""
    one = watched("echo")
    child = one.spawn(argument=Unrebuildable())
    assert one.exited(child).status == 1
    assert last_words(one).summary == "LookupError: not here"
    other = one.spawn(stage("other"))
    one.tell(other, "still there")
    assert one.texts(other, 1) == ["still there"]


def test_a_specification_that_cannot_be_sent_is_an_exit(watched: Make) -> None:
    """What cannot be pickled is observed as a process that could not be started."""
    one = watched("echo")
    child = one.spawn(argument=threading.Lock())
    end = one.exited(child)
    assert (end.pid, end.status, end.signal) == (0, None, None)
    assert "cannot pickle '_thread.lock' object" in end.detail


def test_a_class_of_the_main_program_and_a_lambda_can_be_sent(watched: Make) -> None:
    """What has no importable name travels by value."""
    one = watched("describes_itself")

    class Local:
        def __repr__(self) -> str:
            return "'by value'"

    child = one.spawn(local=Local(), call=lambda: 42)
    facts = ast.literal_eval(one.texts(child, 1)[0])
    assert facts["spec"] == {"local": "by value", "call": 42}


def test_a_stage_starts_in_a_clean_process(watched: Make) -> None:
    """Own process group, default signals but for SIGINT, no descriptor but its own, a title."""
    one = watched("describes_itself", preload=["keeps_a_file"])
    first = one.spawn(stage("first"))
    one.exited(first)
    child = one.spawn(stage("count", 1, 7))
    facts: dict[str, Any] = ast.literal_eval(one.texts(child, 1)[0])
    assert [facts[fact] for fact in ("group", "int", "term", "chld")] == [True] * 4
    assert facts["mask"] == []
    assert facts["argv"] == sys.argv
    # The fifth is what the preloaded module has open: its owner refers to it by number.
    assert facts["fds"] == sorted({0, 1, 2, facts["control"], facts["kept"]})
    assert facts["kept_text"] == "kept"
    if sys.platform == "linux":
        assert facts["title"] == "actorflow: count/1#7"
        assert facts["comm"] == "count/1#7"


def test_counters_are_seen_while_it_runs_and_afterwards(watched: Make) -> None:
    """The host reads a stage's slot without asking it, also after its death and after close."""
    one = watched("echo")
    child = one.spawn()
    one.tell(child, "hello")
    one.texts(child, 1)
    counters = one.runtime.counters(child.stage)
    assert (counters["events_in"], counters["pid"]) == (1, one.started(child))
    one.runtime.signal(child, "kill")
    one.exited(child)
    again = one.spawn(stage(generation=2))
    one.tell(again, "hello")
    one.texts(again, 1)
    assert one.runtime.counters(child.stage)["events_in"] == 2
    one.runtime.close()
    assert one.runtime.counters(child.stage)["generation"] == 2
    assert one.runtime.counters(StageId("unknown"))["generation"] == 0


def test_terminate_ends_a_stage_by_sigterm(watched: Make) -> None:
    """SIGTERM has its default action in a stage."""
    one = watched("echo")
    child = one.spawn()
    one.started(child)
    one.runtime.signal(child, "terminate")
    end = one.exited(child)
    assert (end.status, end.signal) == (None, signal.SIGTERM)


def test_kill_ends_a_stage_that_ignores_sigterm(watched: Make) -> None:
    """What does not listen to SIGTERM goes by SIGKILL."""
    one = watched("ignores_sigterm")
    child = one.spawn()
    one.texts(child, 1)
    one.runtime.signal(child, "terminate")
    one.runtime.signal(child, "kill")
    end = one.exited(child)
    assert (end.status, end.signal, end.detail) == (None, signal.SIGKILL, "")


def test_fifty_stages_at_once(watched: Make) -> None:
    """A storm of starts: each is started, answers, and exits once."""
    one = watched("echo")
    children = [one.spawn(stage("storm", index)) for index in range(50)]
    for child in children:
        one.tell(child, str(child))
    for child in children:
        assert one.texts(child, 1) == [str(child)]
        one.tell(child, "stop")
    for child in children:
        assert one.exited(child).status == 0
    assert len({one.started(child) for child in children}) == 50
    assert one.runtime.describe()["processes"] == 0


def test_two_hundred_starts_leave_no_descriptor(watched: Make) -> None:
    """Descriptors, here and in the zygote, are where they were after 200 starts, and no zombies."""
    one = watched("echo")
    first = one.spawn(stage("first"))
    one.tell(first, "stop")
    one.exited(first)
    before = descriptors_at_rest(one)
    for generation in range(200):
        child = one.spawn(stage("many", generation % 3, generation))
        one.tell(child, "stop")
        assert one.exited(child).status == 0
    assert descriptors_at_rest(one) == before
    assert len(one.zygote.children()) == 1


def descriptors_at_rest(one: Watched) -> tuple[int, int]:
    """How many are open here and in the zygote, when both have done what is to be done.

    A copy of what was handed over is closed a moment after the other process has it.
    """
    eventually(lambda: one.spares() == 1 and one.zygote.status() == "sleeping", "a spare")
    fired = one.seen.count(TimerFired(0))
    one.runtime.timer(0, 0)
    one.wait(lambda seen: seen.count(TimerFired(0)) > fired, "the reactor's next turn")
    return open_files(), one.zygote.num_fds()


def test_timers_fire_in_order_from_the_reactors_thread(watched: Make) -> None:
    """A timer fires after its time, an earlier one first, one of 0 seconds at once."""
    one = watched("echo")
    began = time.monotonic()
    one.runtime.timer(3600, 3)
    one.runtime.timer(0.02, 2)
    one.wait(lambda seen: len(seen) == 1, "the earlier timer")
    assert time.monotonic() - began >= 0.02
    one.runtime.timer(0, 1)
    one.wait(lambda seen: len(seen) == 2, "the timer of no time")
    assert one.seen == [TimerFired(2), TimerFired(1)]
    assert one.threads == {"actorflow-runtime"}


def test_an_observer_that_raises_ends_nothing(
    watched: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged, and the next observation is made all the same."""
    one = watched("echo")
    processes = one.runtime._processes
    assert processes is not None

    def observe(seen: Observation) -> None:
        one.observe(seen)
        raise ValueError("no")

    processes._tell = observe
    child = one.spawn()
    one.tell(child, "hello")
    assert one.texts(child, 1) == ["hello"]
    assert "the observer failed on Started" in caplog.text


def test_messages_and_signals_to_one_that_is_gone_are_dropped(watched: Make) -> None:
    """Nothing that is said to a dead or unknown child raises or reaches another."""
    one = watched("echo")
    child = one.spawn()
    one.tell(child, "stop")
    one.exited(child)
    one.tell(child, "too late")
    one.runtime.signal(child, "kill")
    one.runtime.link(1, child, stage("nobody"), ping(1), ping(1))
    other = one.spawn(stage("other"))
    one.tell(other, "hello")
    assert one.texts(other, 1) == ["hello"]


def test_close_from_the_observer(watched: Make) -> None:
    """The runtime may be closed from its own thread, and again from another."""
    one = watched("echo")
    child = one.spawn()
    pid = one.started(child)
    closed = threading.Event()

    def close(seen: object) -> None:
        one.runtime.close()
        closed.set()

    one.runtime._observe = close
    one.runtime.timer(0, 1)
    assert closed.wait(10)
    assert not alive(pid)


def test_close_twice_and_open_afterwards() -> None:
    """Closing is idempotent, also of a runtime that was never opened, which then stays closed."""
    files = open_files()
    runtime = LocalRuntime()
    runtime.close()
    runtime.close()
    assert open_files() == files
    with pytest.raises(Closed):
        runtime.open(print)
    runtime.spawn(stage(), stage_spec())
    runtime.signal(stage(), "kill")


def test_a_system_without_fork_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no fork, the constructor says so in a sentence."""
    monkeypatch.delattr(os, "fork")
    with pytest.raises(PlatformUnsupported, match="fork"):
        LocalRuntime()


def test_bad_arguments_are_refused_where_they_are_passed() -> None:
    """A wrong option or signal raises at once."""
    with pytest.raises(OptionError, match="boot_within"):
        LocalRuntime(boot_within=0)
    runtime = LocalRuntime()
    with pytest.raises(OptionError, match="terminate, kill"):
        runtime.signal(stage(), "term")
    runtime.close()


def test_what_cannot_be_preloaded_is_logged_and_not_fatal(
    watched: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A preload that fails is a warning, and stages start all the same."""
    one = watched("echo", preload=["no_such_module", "entries", "raises_system_exit"])
    child = one.spawn()
    one.tell(child, "hello")
    assert one.texts(child, 1) == ["hello"]
    assert "no_such_module cannot be preloaded: ModuleNotFoundError" in caplog.text


class Unrebuildable:
    """Pickles, and raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return _not_here, ()


def _not_here() -> None:
    raise LookupError("not here")


def last_words(one: Watched) -> Failure:
    """The failure in the `Exiting` that some child sent."""
    for seen in one.seen:
        if isinstance(seen, Received) and isinstance(seen.message, Cast):
            record = decode_control(seen.message)
            if isinstance(record, Exiting) and record.failure:
                return Failure.from_wire(record.failure)
    raise AssertionError(f"no last words in {one.seen}")


def ping(ref: int) -> Any:
    """Any message."""
    return Info(ref, "user", "text", b"")
