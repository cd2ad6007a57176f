"""An exception in a stage ends the run as itself, with the traceback of the other process."""

from __future__ import annotations

import sys
import threading
import traceback
import types
from pathlib import Path

import pytest

from actorflow import (
    BadReturn,
    EventNotEncodable,
    IntensityExceeded,
    StageKilled,
    StartFailed,
    SubscribeTo,
    SupervisorOptions,
    Topology,
)
from actorflow.supervision.events import ChildEnded
from tests.end_to_end.helpers import Events
from tests.end_to_end.stages import (
    Collect,
    Fails,
    FailsOnce,
    Needy,
    Numbers,
    Sink,
    Unspeakable,
    WithALock,
)

pytestmark = pytest.mark.processes

IN_EACH = pytest.mark.parametrize("where", ["init", "on_start", "handle_demand"])


def failing(where: str, what: str = "plain", restarts: int = 0) -> Topology:
    """A source that fails, and a sink."""
    return (
        Topology("failing", supervisor=SupervisorOptions(max_restarts=restarts))
        .stage("fails", Fails, args={"where": where, "what": what})
        .stage("sink", Sink, subscribe_to=["fails"])
    )


def error_of(topology: Topology) -> tuple[BaseException, str]:
    """The exception that a run ends with, and how Python prints it."""
    with topology.start(Events()) as run, pytest.raises(BaseException) as caught:  # noqa: PT011
        run.wait(50)
    return caught.value, "".join(traceback.format_exception(caught.value))


@IN_EACH
def test_the_exception_is_the_one_that_the_stage_raised(where: str) -> None:
    """Type and text are the original's, and the remote traceback names file, line and callback."""
    error, text = error_of(failing(where))
    assert type(error) is ValueError
    assert str(error) == "a plain mistake"
    assert "stages.py" in text
    assert {"init": "__init__"}.get(where, where) in text
    assert "ERRORS[self.what]()" in text
    assert "raised in stage fails/0 (process " in text


def test_a_failing_stage_is_started_again_before_the_run_ends() -> None:
    """A stage that goes on failing is restarted as often as is bearable, then its error shows."""
    events = Events()
    with failing("handle_demand", restarts=2).start(events) as run:
        outcome = run.outcome(50)
    assert outcome.status == "failed"
    assert type(outcome.error) is IntensityExceeded
    assert "max_restarts=2" in str(outcome.error)
    assert outcome.root_cause is outcome.error.__cause__
    assert type(outcome.root_cause) is ValueError
    assert len(events.of(ChildEnded, "fails")) == 3
    assert any("max_restarts=2" in note for note in outcome.root_cause.__notes__)


def test_a_start_that_fails_is_not_tried_again() -> None:
    """What cannot even start ends the run at once, however many restarts are bearable."""
    events = Events()
    with failing("on_start", restarts=3).start(events) as run:
        assert type(run.outcome(50).error) is ValueError
    assert len(events.of(ChildEnded, "fails")) == 1


@IN_EACH
def test_an_exception_whose_constructor_wants_arguments_arrives(where: str) -> None:
    """An exception that pickle cannot make again is still told by name, text and traceback."""
    error, text = error_of(failing(where, "needy"))
    assert "a needy mistake (7)" in str(error)
    assert Needy.__name__ in text
    assert "ERRORS[self.what]()" in text


@IN_EACH
def test_an_exception_that_holds_a_lock_arrives(where: str) -> None:
    """So is one that holds what cannot be pickled."""
    error, text = error_of(failing(where, "lock"))
    assert "a locked mistake" in str(error)
    assert WithALock.__name__ in text


def test_an_exception_that_cannot_be_printed_arrives() -> None:
    """Even one whose text raises is told by its name."""
    error, text = error_of(failing("handle_demand", "unspeakable"))
    assert type(error) is Unspeakable
    assert "in handle_demand" in text
    assert "its text raised RuntimeError" in text


def test_a_keyboard_interrupt_raised_by_a_stage_arrives() -> None:
    """What is no Exception ends the stage like any other error."""
    error, text = error_of(failing("handle_demand", "interrupt"))
    assert type(error) is KeyboardInterrupt
    assert "in handle_demand" in text


@pytest.mark.parametrize(("what", "status"), [("exit", 3), ("exit_text", 1)])
def test_sys_exit_in_a_callback_is_a_failure_with_a_status(what: str, status: int) -> None:
    """A stage that exits the process by itself is reported with its exit status."""
    error, _ = error_of(failing("handle_demand", what))
    assert isinstance(error, StageKilled)
    assert error.stage == "fails/0"
    assert f"exit status {status}" in str(error)


def test_an_event_that_cannot_be_sent_is_named() -> None:
    """The error says which stage emitted it, its type, and what to do instead."""
    error, text = error_of(failing("codec"))
    assert isinstance(error, EventNotEncodable)
    assert error.stage == "fails"
    assert error.event_type == "_thread.lock"
    assert "emit plain data or an object that pickle accepts" in str(error)
    assert "cannot pickle '_thread.lock' object" in text


def test_an_argument_that_cannot_be_sent_is_told() -> None:
    """A stage whose arguments cannot travel fails the start, and says why."""
    topology = Topology("unsendable").stage("sink", Wants, args={"what": threading.Lock()})
    error, _ = error_of(topology)
    assert isinstance(error, StartFailed)
    assert str(error).startswith("stage sink/0 could not be started: its class or arguments cannot")
    assert "cannot pickle '_thread.lock' object" in str(error)


class Wants(Sink):
    def __init__(self, what: object) -> None:
        self.what = what


def test_a_module_that_stages_cannot_import_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What exists in the host alone is an error of the stage's start, with the module's name."""
    ghost = types.ModuleType("ghost")
    monkeypatch.setitem(sys.modules, "ghost", ghost)
    seen = type("Seen", (Sink,), {"__module__": "ghost"})
    ghost.Seen = seen  # type: ignore[attr-defined]
    error, text = error_of(Topology("ghosts").stage("sink", seen))
    assert isinstance(error, ModuleNotFoundError)
    assert "No module named 'ghost'" in text


class EmitsInAConsumer(Collect):
    def handle_events(self, events: list[int], subscription: object) -> list[int]:  # type: ignore[override]
        return events


def test_a_callback_that_returns_what_it_may_not_is_told(tmp_path: Path) -> None:
    """A consumer that returns events is told that it cannot."""
    topology = (
        Topology("returns", supervisor=SupervisorOptions(max_restarts=0))
        .stage("numbers", Numbers, args={"limit": 3})
        .stage(
            "sink",
            EmitsInAConsumer,
            args={"path": str(tmp_path / "journal")},
            subscribe_to=["numbers"],
        )
    )
    error, _ = error_of(topology)
    assert isinstance(error, BadReturn)
    assert "a consumer cannot dispatch events" in str(error)


def test_an_event_whose_batch_failed_is_delivered_again(tmp_path: Path) -> None:
    """A failure in the middle of a chain loses nothing of the batch in hand."""
    journal = tmp_path / "journal"
    topology = (
        Topology("again")
        .stage("numbers", Numbers, args={"limit": 300})
        .stage(
            "fails",
            FailsOnce,
            args={"at": 150, "path": str(tmp_path / "failed")},
            subscribe_to=[SubscribeTo("numbers", max_demand=10)],
        )
        .stage("sink", Collect, args={"path": str(journal)}, subscribe_to=["fails"])
    )
    events = Events()
    with topology.start(events) as run:
        run.wait(50)
    assert sorted(set(map(int, journal.read_text().split()))) == list(range(300))
    assert [end.normal for end in events.of(ChildEnded, "fails")] == [False, True]
