"""Subscriptions made, refused and ended while everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actorflow import NoSuchStage, Refused, Run, SubscribeTo, SubscriptionOptions, Topology
from actorflow.supervision.events import ChildEnded
from tests.end_to_end.helpers import Events, how_many_in, kill, numbers_in, pids, states, wait_until
from tests.end_to_end.stages import Collect, Idle, Numbers, Pass, Sink

pytestmark = pytest.mark.processes


def start(topology: Topology) -> tuple[Run, Events]:
    """Start, and wait until every stage runs."""
    events = Events()
    run = topology.start(events)
    events.started(*(stage.name for stage in topology.stages))
    return run, events


def unlinked(path: Path, **source: object) -> Topology:
    """A source of numbers and a sink that is not subscribed to it."""
    return (
        Topology("unlinked")
        .stage("numbers", Numbers, **source)  # type: ignore[arg-type]
        .stage("pass", Pass, subscribe_to=[])
        .stage("sink", Collect, args={"path": str(path)}, subscribe_to=[])
    )


def subscriptions_of(run: Run, stage: str) -> list[int]:
    """The refs that a consumer knows of."""
    return [each["ref"] for each in run.status(stage)["producers"]]


def flow(run: Run, stage: str, events: int) -> None:
    """Wait until a stage has taken so many events more."""
    before = run.stats().stage(stage).events_in
    wait_until(lambda: run.stats().stage(stage).events_in > before + events, "events to flow")


def is_over(run: Run, ref: int) -> bool:
    """Whether a subscription has ended: then there is nothing to cancel any more."""
    try:
        run.cancel(ref)
    except Refused as error:
        return error.reason == "unknown_subscription" and f"the ref {ref}" in str(error)
    return False


def test_events_flow_from_a_subscription_until_it_is_cancelled(tmp_path: Path) -> None:
    """A subscription made by hand works like a declared one; a temporary one may end alone."""
    journal = tmp_path / "journal"
    run, _ = start(unlinked(journal))
    with run:
        options = SubscriptionOptions(max_demand=10, cancel="temporary")
        ref = run.subscribe("sink", to="numbers", options=options)
        wait_until(lambda: how_many_in(journal) > 50, "events to flow")
        assert subscriptions_of(run, "sink") == [ref]
        run.cancel(ref)
        wait_until(lambda: is_over(run, ref), "the subscription to end")
        assert subscriptions_of(run, "sink") == []
        arrived = numbers_in(journal)
        assert arrived == list(range(len(arrived)))
        assert states(run)["sink/0"] == "running"
        again = run.subscribe("sink", to="numbers", options=options)
        assert again != ref
        seen = len(arrived)
        wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
        outcome = run.drain(timeout=50)
    # What was under way when it was cancelled was delivered again, and nothing was lost.
    assert set(numbers_in(journal)) == set(range(outcome.results["numbers"]))


@pytest.mark.parametrize(
    ("mode", "reason", "state", "restarts"),
    [
        ("temporary", "normal", "running", 0),
        ("temporary", "a fault", "running", 0),
        ("transient", "normal", "running", 0),
        ("transient", "a fault", "running", 1),
        ("permanent", "normal", "ended", 0),
        ("permanent", "a fault", "running", 1),
    ],
)
def test_the_cancel_mode_decides_what_a_cancellation_does(
    mode: str, reason: str, state: str, restarts: int, tmp_path: Path
) -> None:
    """GenStage's three modes: temporary goes on, permanent ends, transient ends with a fault."""
    run, events = start(unlinked(tmp_path / "journal"))
    with run:
        options = SubscriptionOptions(max_demand=10, cancel=mode)
        run.cancel(run.subscribe("sink", to="numbers", options=options), reason)
        if state == "ended" or restarts:
            (end,) = events.wait(ChildEnded, "sink")
            assert end.reason == reason
        if restarts:
            events.restarted("sink", restarts)
        else:
            wait_until(
                lambda: states(run)["sink/0"] == "ended" or not subscriptions_of(run, "sink"),
                "the end of the subscription",
            )
        assert states(run)["sink/0"] == state
        assert [row.restarts for row in run.which_children()] == [0, 0, restarts]


def test_any_reason_can_be_given(tmp_path: Path) -> None:
    """A reason that is no plain data travels as its text."""
    run, events = start(unlinked(tmp_path / "journal"))
    with run:
        ref = run.subscribe("sink", to="numbers", options=SubscriptionOptions(cancel="transient"))
        run.cancel(ref, ValueError("because"))
        (end,) = events.wait(ChildEnded, "sink")
        assert end.reason == "ValueError('because')"
        assert run.stop(KeyError("enough")).status == "stopped"


def test_what_cannot_be_subscribed_is_refused(tmp_path: Path) -> None:
    """Each refusal has a reason to test for and a sentence to read."""
    run, _ = start(unlinked(tmp_path / "journal"))
    with run:
        for consumer, producer, reason, text in [
            ("pass", "sink", "not_a_producer", "sink/0 is a consumer"),
            ("numbers", "pass", "not_a_consumer", "numbers/0 is a producer"),
            ("pass", "pass", "cycle", "pass/0 already feeds pass/0"),
        ]:
            with pytest.raises(Refused, match=text) as caught:
                run.subscribe(consumer, to=producer)
            assert caught.value.reason == reason
        with pytest.raises(NoSuchStage, match="did you mean 'numbers'"):
            run.subscribe("sink", to="number")
        run.terminate_child("numbers")
        with pytest.raises(Refused, match="numbers/0 has ended") as caught:
            run.subscribe("sink", to="numbers")
        assert caught.value.reason == "noproc"


def test_a_subscription_that_would_close_a_circle_is_refused() -> None:
    """Over any number of stages: events never come back to where they were."""
    topology = (
        Topology("circle")
        .stage("a", Pass, subscribe_to=[])
        .stage("b", Pass, subscribe_to=["a"])
        .stage("c", Pass, subscribe_to=["b"])
    )
    run, _ = start(topology)
    with run, pytest.raises(Refused, match="a/0 already feeds c/0") as caught:
        run.subscribe("a", to="c")
    assert caught.value.reason == "cycle"


def test_a_second_subscription_to_a_broadcast_is_refused_and_harmless(tmp_path: Path) -> None:
    """`already_subscribed` is told to the caller, and the consumer and its events go on."""
    journal = tmp_path / "journal"
    run, events = start(unlinked(journal, dispatcher="broadcast"))
    with run:
        options = SubscriptionOptions(max_demand=10)
        ref = run.subscribe("sink", to="numbers", options=options)
        wait_until(lambda: how_many_in(journal) > 20, "events to flow")
        with pytest.raises(Refused) as caught:
            run.subscribe("sink", to="numbers", options=options)
        assert "already_subscribed" in str(caught.value)
        seen = how_many_in(journal)
        wait_until(lambda: how_many_in(journal) > seen + 20, "events to go on")
        assert subscriptions_of(run, "sink") == [ref]
        assert events.of(ChildEnded) == []
        outcome = run.drain(timeout=50)
    assert numbers_in(journal) == list(range(outcome.results["numbers"]))


@pytest.mark.parametrize("victim", ["numbers", "sink"])
def test_a_subscription_made_by_hand_is_in_place_again_after_a_kill(
    victim: str, tmp_path: Path
) -> None:
    """Declared or not: a subscription outlives the processes at its ends."""
    journal = tmp_path / "journal"
    run, events = start(unlinked(journal))
    with run:
        run.subscribe("sink", to="numbers", options=SubscriptionOptions(max_demand=10))
        wait_until(lambda: how_many_in(journal) > 20, "events to flow")
        kill(run, victim)
        events.restarted(victim)
        seen = how_many_in(journal)
        wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
        outcome = run.drain(timeout=50)
    assert set(range(outcome.results["numbers"])) <= set(numbers_in(journal))


def test_s110_resubscribing_at_full_load(tmp_path: Path) -> None:
    """A permanent subscription replaced again and again under load: nothing lost or repeated."""
    journal = tmp_path / "journal"
    run, events = start(unlinked(journal))
    with run:
        ref = run.subscribe("sink", to="numbers", options=SubscriptionOptions(max_demand=50))
        for turn in range(20):
            flow(run, "sink", 100)
            options = SubscriptionOptions(max_demand=10 + 10 * turn)
            old, ref = ref, run.resubscribe(ref, options=options, reason="again")
            assert ref != old
        wait_until(lambda: subscriptions_of(run, "sink") == [ref], "the old ones to end")
        assert events.of(ChildEnded) == []
        outcome = run.drain(timeout=50)
    assert numbers_in(journal) == list(range(outcome.results["numbers"]))


def test_s110_moving_between_two_producers_at_full_load(tmp_path: Path) -> None:
    """What one producer had sent is handled, and the next one's events come without a gap."""
    journal = tmp_path / "journal"
    topology = (
        Topology("moves")
        .stage("even", Numbers, args={"start": 0})
        .stage("odd", Numbers, args={"start": 1_000_000_000})
        .stage("keeps", Sink, subscribe_to=["even", "odd"])
        .stage("sink", Collect, args={"path": str(journal)}, subscribe_to=[])
    )
    run, events = start(topology)
    with run:
        ref = run.subscribe("sink", to="even", options=SubscriptionOptions(max_demand=50))
        for turn in range(10):
            flow(run, "sink", 100)
            ref = run.resubscribe(ref, to=("odd", "even")[turn % 2])
        assert events.of(ChildEnded) == []
        run.drain(timeout=50)
    arrived = numbers_in(journal)
    assert len(arrived) == len(set(arrived))
    for mine in (
        [number for number in arrived if number < 1_000_000_000],
        [number for number in arrived if number >= 1_000_000_000],
    ):
        assert mine == sorted(mine)
        assert len(mine) > 300


def test_a_program_pauses_limits_and_resumes_a_declared_subscription(tmp_path: Path) -> None:
    """With real processes, over a kill of the producer; the drain at the end loses nothing."""
    journal = tmp_path / "journal"
    topology = (
        Topology("held")
        .stage("numbers", Numbers)
        .stage(
            "sink",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("numbers", max_demand=10)],
        )
    )
    run, events = start(topology)
    with run:
        flow(run, "sink", 50)
        (row,) = run.which_subscriptions("sink")
        assert (row.consumer, row.producer, row.paused) == ("sink/0", "numbers/0", False)
        run.pause(row.ref)
        run.status("sink")  # what it was told before is done when it answers
        wait_until(
            lambda: all(not each["outstanding"] for each in consumers_of(run, "numbers")),
            "what was asked for to be sent",
        )
        assert run.status("sink")["producers"][0]["state"] == "paused"
        kill(run, "numbers")
        events.restarted("numbers")
        wait_until(lambda: consumers_of(run, "numbers"), "the new subscription")
        assert [each["outstanding"] for each in consumers_of(run, "numbers")] == [0]
        run.set_rate(row.ref, 1000, burst=5)
        run.resume(row.ref)
        flow(run, "sink", 50)
        assert run.which_subscriptions()[0].options.rate == 1000
        run.pause(row.ref)
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    assert set(range(outcome.results["numbers"])) <= set(numbers_in(journal))


def consumers_of(run: Run, stage: str) -> list[dict[str, Any]]:
    """What a producer says of its consumers."""
    found: list[dict[str, Any]] = run.status(stage)["producing"]["consumers"]
    return found


def test_a_drain_ends_consumers_that_would_not_end_by_themselves(tmp_path: Path) -> None:
    """With temporary subscriptions or none a consumer outlives its producers, but not a drain."""
    journal = tmp_path / "journal"
    topology = (
        Topology("lasting")
        .stage("numbers", Numbers)
        .stage("alone", Sink, subscribe_to=[])
        .stage("pass", Pass, subscribe_to=[SubscribeTo("numbers", max_demand=5)])
        .stage(
            "sink",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("pass", max_demand=5, cancel="temporary")],
        )
    )
    run, _ = start(topology)
    with run:
        wait_until(lambda: how_many_in(journal) > 20, "events to flow")
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    assert numbers_in(journal) == list(range(outcome.results["numbers"]))


def test_a_subscription_to_a_stage_that_never_starts_fails_with_it(tmp_path: Path) -> None:
    """Whoever waits for a subscription learns at once that it will not come."""
    from concurrent.futures import ThreadPoolExecutor

    from tests.end_to_end.stages import StartsWhenAllowed
    from tests.end_to_end.test_children import spec

    run, _ = start(Topology("late").stage("source", Idle))
    with run, ThreadPoolExecutor() as pool:
        path = str(tmp_path / "never")
        starting = pool.submit(run.start_child, spec("late", StartsWhenAllowed, path=path))
        wait_until(lambda: states(run).get("late/0") == "starting", "the start to begin")
        waiting = pool.submit(run.subscribe, "late", to="source", timeout=50)
        pid = wait_until(lambda: pids(run)["late/0"], "its process")
        run.terminate_child("late")
        assert pid
        assert waiting.exception(50) is not None
        assert isinstance(waiting.exception(), Refused)
        assert starting.exception(50) is not None
