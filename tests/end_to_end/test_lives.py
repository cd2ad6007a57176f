"""The life of a run: ended before it began, waited for, drained, closed, asked in between."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from actorflow import Closed, Run, SubscribeTo, SupervisorOptions, Topology
from actorflow.supervision.events import ChildEnded
from tests.end_to_end.helpers import Events, descriptors, kill, numbers_in, wait_until
from tests.end_to_end.stages import Collect, Count, Numbers, Once, Pass, Sink, Some
from tests.end_to_end.stages_of_lives import Ahead, Hesitates, Noted

pytestmark = pytest.mark.processes


def endless() -> Topology:
    """Numbers without an end."""
    return (
        Topology("endless")
        .stage("numbers", Numbers)
        .stage("pass", Pass, subscribe_to=["numbers"])
        .stage("count", Count, subscribe_to=["pass"])
    )


@pytest.mark.parametrize("how", ["stop", "close", "drain", "leave"])
def test_a_run_may_be_ended_before_anything_has_started(how: str) -> None:
    """At once, while nothing is up yet: the run ends in good order and leaves nothing."""
    before = descriptors()
    with endless().start(Events()) as run:
        if how == "stop":
            assert run.stop().status == "stopped"
        elif how == "close":
            run.close()
            assert isinstance(run.outcome(1).error, Closed)
        elif how == "drain":
            outcome = run.drain(timeout=50)
            assert outcome.status == "done"
            assert outcome.results["count"]["events"] == outcome.results["numbers"]
    assert run.over
    assert descriptors() == before


def test_processes_start_and_stop_one_by_one(tmp_path: Path) -> None:
    """What they do in their starts and ends never overlaps; a group restarts in order too."""
    path = tmp_path / "noted"
    rules = SupervisorOptions(order="one_by_one", strategy="rest_for_one")
    topology = Topology("ordered", supervisor=rules)
    for name in "abc":
        slow = 0.05 if name == "b" else 0.0
        topology = topology.stage(name, Noted, args={"path": str(path), "seconds": slow})
    events = Events()
    with topology.start(events) as run:
        events.started(*"abc")
        kill(run, "b")
        events.started("c", generation=2)
    noted = path.read_text().split()
    assert noted[:6] == ["+a", "+a.", "+b", "+b.", "+c", "+c."]
    assert noted[6:12] == ["-c", "-c.", "+b", "+b.", "+c", "+c."]
    assert noted[12:] == ["-c", "-c.", "-b", "-b.", "-a", "-a."]


def test_waiting_has_a_limit_and_changes_nothing() -> None:
    """A wait that is given up raises TimeoutError; the run goes on and can be waited for again."""
    with endless().start(Events()) as run:
        with pytest.raises(TimeoutError, match=r"'endless' is not over after 0\.01 s"):
            run.wait(0.01)
        assert not run.over
        with pytest.raises(TimeoutError):
            run.outcome(0)
        wait_until(lambda: run.stats().stage("count").events_in, "events to flow")
        run.drain(timeout=50)
        assert run.wait(0)["count"]["events"] > 0
        assert run.wait() == run.outcome().results


def test_whoever_wants_to_know_is_told_of_the_end() -> None:
    """`on_over` calls back once, also when the run is over already."""
    told: list[str] = []
    over = threading.Event()
    with endless().start(Events()) as run:
        run.on_over(lambda: (told.append("first"), over.set()))  # type: ignore[arg-type,func-returns-value]
        assert told == []
        run.stop()
        assert over.wait(50)
        run.on_over(lambda: told.append("second"))
    assert told == ["first", "second"]


def test_operations_from_many_threads_do_not_disturb_each_other() -> None:
    """Every method may be called from any thread, also while another one ends the run."""
    failures: list[BaseException] = []
    stopping = threading.Event()

    def ask(run: Run) -> None:
        while True:
            try:
                run.stats()
                run.count_children()
                run.status("pass")
            except Closed:
                return
            except Exception as error:  # noqa: BLE001  (whatever it is, the test shows it)
                if not stopping.is_set():
                    failures.append(error)
                return

    events = Events()
    with endless().start(events) as run:
        events.started("numbers", "pass", "count")
        threads = [threading.Thread(target=ask, args=(run,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: run.stats().stage("count").events_in > 1000, "events to flow")
        stopping.set()
        enders = [threading.Thread(target=end) for end in (run.stop, run.close, run.drain)]
        for thread in enders:
            thread.start()
        for thread in [*enders, *threads]:
            thread.join(50)
            assert not thread.is_alive()
    assert failures == []


@pytest.mark.parametrize("through", [False, True])
def test_a_drain_does_not_wait_for_consumers_that_are_gone(through: bool) -> None:
    """What nobody is left to take is dropped, and said so, instead of being kept for ever.

    The source has emitted more than was ever asked for, so that something is left however the
    processes take turns.
    """
    events = Events()
    topology = Topology("alone").stage("numbers", Ahead, args={"count": 5000}, buffer_size=None)
    if through:
        topology = topology.stage("pass", Pass, subscribe_to=["numbers"])
    last = "pass" if through else "numbers"
    topology = topology.stage(
        "some", Some, args={"count": 100}, subscribe_to=[SubscribeTo(last, max_demand=50)]
    )
    with topology.start(events) as run:
        (end,) = events.wait(ChildEnded, "some")
        assert end.reason == "normal"
        wait_until(lambda: not run.status(last)["producing"]["consumers"], "it to be seen")
        assert not run.over
        assert run.drain(timeout=50).status == "done"
    (said,) = events.errors(last)
    assert "dropped what nobody is left to take" in said


def test_demand_may_be_held_back_and_let_flow(tmp_path: Path) -> None:
    """`set_demand` holds a producer's events and lets them go, all of them and in order."""
    journal = tmp_path / "journal"
    events = Events()
    topology = (
        Topology("held")
        .stage("numbers", Numbers, args={"limit": 500}, demand="accumulate")
        .stage(
            "sink",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("numbers", max_demand=10)],
        )
    )
    with topology.start(events) as run:
        events.started("numbers", "sink")
        assert run.demand("numbers") == "accumulate"
        assert run.demand("sink") == "forward"
        wait_until(lambda: run.stats().stage("numbers").demand_in >= 10, "the sink's demand")
        assert numbers_in(journal) == []
        run.set_demand("numbers", "forward")
        assert run.wait(50)["sink"] == 500
    assert numbers_in(journal) == list(range(500))


def test_a_poll_interval_asks_again() -> None:
    """A source with nothing to give is asked again after its interval, until it has something."""
    topology = (
        Topology("polled")
        .stage("source", Hesitates, poll_interval=0.01)
        .stage("count", Count, subscribe_to=["source"])
    )
    with topology.start() as run:
        assert run.wait(50)["count"]["events"] == 3


def test_a_large_result_and_large_events_arrive() -> None:
    """Nothing depends on what fits into a pipe or a socket."""
    topology = (
        Topology("large")
        .stage("source", Once, args={"count": 3, "size": 8_000_000})
        .stage("keep", Keeps, subscribe_to=["source"])
    )
    with topology.start() as run:
        result = run.wait(50)["keep"]
    assert [len(event) for event in result] == [8_000_000] * 3
    assert [event[:1] for event in result] == [b"\0", b"\1", b"\2"]


class Keeps(Sink):
    """Its result is all that it got."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def handle_events(self, events: list[bytes], subscription: object) -> None:  # type: ignore[override]
        self.kept += events

    def on_stop(self, reason: object) -> None:
        self.set_result(self.kept)


class Unreadable:
    """Cannot be made again in another process."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return fails_at_home, ("home",)


def fails_at_home(word: str) -> None:
    """What an unpickled object may do."""
    raise OSError(f"not at {word}")


class LeavesUnreadable(Sink):
    def on_stop(self, reason: object) -> None:
        self.set_result(Unreadable())


def test_a_result_that_cannot_be_read_is_told_and_harms_nobody() -> None:
    """The other results arrive, and the log has the reason."""
    events = Events()
    topology = (
        Topology("unreadable")
        .stage("numbers", Numbers, args={"limit": 10})
        .stage("sink", LeavesUnreadable, subscribe_to=["numbers"])
    )
    with topology.start(events) as run:
        assert run.wait(50) == {"numbers": 10}
    (said,) = events.errors("sink")
    assert "cannot be read" in said
    assert "OSError: not at home" in said


class SometimesDies(Sink):
    """The first replica is killed before it can leave a result."""

    def on_stop(self, reason: object) -> None:
        if not self.index:
            os.abort()
        self.set_result(self.index)


def test_results_of_replicas_keep_their_places() -> None:
    """A list by index; a replica without a result has None."""
    topology = (
        Topology("places")
        .stage("numbers", Numbers, args={"limit": 10})
        .stage("sink", SometimesDies, replicas=3, restart="temporary", subscribe_to=["numbers"])
    )
    with topology.start(Events()) as run:
        assert run.wait(50) == {"numbers": 10, "sink": [None, 1, 2]}
