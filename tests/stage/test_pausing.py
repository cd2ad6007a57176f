"""A subscription that is paused, asked on by hand for a while, or limited in rate, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from actorflow import OptionError
from actorflow.protocol import control
from actorflow.protocol.messages import Ask
from actorflow.protocol.pace import SHARE
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Forwarder, Same


class Told(Forwarder):
    """Does in a callback what a test casts it: ``["pause"]``, ``["set_rate", 5, 1]``, …."""

    subscription: Any = None
    mode = "automatic"

    def handle_subscribe(self, side: str, options: Mapping[str, Any], subscription: Any) -> str:
        self.subscription = subscription
        return self.mode

    def handle_cast(self, message: list[Any]) -> None:
        verb, *arguments = message
        getattr(self, verb)(self.subscription, *arguments)


class ToldBetween(Told, Same):
    """A producer-consumer that does the same."""

    handle_events = Same.handle_events

    def handle_subscribe(self, side: str, options: Mapping[str, Any], subscription: Any) -> str:
        if side == "producer":
            self.subscription = subscription
            return self.mode
        return "automatic"


class Manual(Told):
    """Asks by hand from the beginning."""

    mode = "manual"


class ManualBetween(ToldBetween):
    """A producer-consumer that does the same."""

    mode = "manual"


def stage_of(kind: type[Any], **options: Any) -> StageHarness:
    """A stage with a subscription to a producer that the test plays, and demand for its output."""
    stage = StageHarness(kind)
    stage.link_to_producer(1, **options)
    if kind.__mro__.count(Same):
        stage.subscribe(9, "sink")
        stage.ask(9, 10_000)
    return stage


def outstanding(stage: StageHarness, ref: int = 1) -> int:
    """What was asked for less what was sent."""
    return sum(stage.asks(ref)) - sum(map(len, stage.behaviour.batches))


KINDS = [Told, ToldBetween]


# --- pausing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["stage", "program"])
def test_a_paused_subscription_asks_for_nothing_and_takes_what_comes(
    kind: type[Any], by: str
) -> None:
    """What was asked for before is handled; resumed, it asks for what the window lacks, once."""
    stage = stage_of(kind, max_demand=4, min_demand=2)
    act(stage, by, paused=True)
    stage.route(1, [1, 2])
    stage.route(1, [3, 4])
    assert stage.behaviour.batches == [[1, 2], [3, 4]]
    assert stage.asks(1) == [4]
    act(stage, by, paused=False)
    assert stage.asks(1) == [4, 4]
    act(stage, by, paused=False)
    stage.route(1, [5, 6])
    assert stage.asks(1) == [4, 4, 2]


def act(stage: StageHarness, by: str, *, paused: bool) -> None:
    """Pause or resume, as the stage or as the program."""
    if by == "stage":
        stage.cast(["pause" if paused else "resume"])
    else:
        stage.order(control.PauseSubscription(1, paused))


@pytest.mark.parametrize("kind", KINDS)
def test_batches_in_hand_are_handled_and_acknowledged(kind: type[Any]) -> None:
    """A pause between the batches of one message holds back the asks, not the acknowledgements."""
    stage = StageHarness(kind, autorun=False)
    stage.run()
    stage.link_to_producer(1, max_demand=4, min_demand=3)
    stage.subscribe(9, "sink")
    stage.ask(9, 99)
    stage.run()
    stage.route(1, [1, 2, 3, 4])
    assert stage.step() == "handle_events"
    stage.order(control.PauseSubscription(1, paused=True))
    stage.run()
    assert stage.behaviour.batches == [[1], [2], [3], [4]]
    assert stage.asks(1) == [4, 1]
    if kind is Told:
        stage.advance(1)
        assert stage.sent(1)[-1] == Ask(1, 0, 1)
    stage.order(control.PauseSubscription(1, paused=False))
    assert stage.asks(1) == [4, 1, 3]


def test_pausing_twice_is_pausing_once() -> None:
    """And resuming what is not paused is nothing."""
    stage = stage_of(Told, max_demand=2)
    for verb in ("resume", "pause", "pause", "resume"):
        stage.cast([verb])
    stage.route(1, [1])
    assert stage.asks(1) == [2, 1]


def test_stage_and_program_pause_independently() -> None:
    """Each lifts only its own pause."""
    stage = stage_of(Told, max_demand=2)
    stage.cast(["pause"])
    stage.order(control.PauseSubscription(1, paused=True))
    stage.route(1, [1, 2])
    stage.cast(["resume"])
    assert stage.asks(1) == [2]
    stage.order(control.PauseSubscription(1, paused=False))
    assert stage.asks(1) == [2, 2]


def test_a_subscription_may_begin_paused() -> None:
    """The link says so when the program has paused it before; so does the stage's own callback."""
    stage = StageHarness(Told)
    stage.order(control.Link(1, "consumer", "producer/0#1", {"max_demand": 2}, paused=True))
    assert stage.asks(1) == []
    stage.order(control.PauseSubscription(1, paused=False))
    assert stage.asks(1) == [2]


def test_a_stage_may_pause_in_handle_subscribe() -> None:
    """Then it asks for nothing before it is resumed."""

    class Late(Told):
        def handle_subscribe(self, side: str, options: Any, subscription: Any) -> str:
            self.pause(subscription)
            return super().handle_subscribe(side, options, subscription)

    stage = stage_of(Late, max_demand=2)
    assert stage.asks(1) == []
    stage.cast(["resume"])
    assert stage.asks(1) == [2]


def test_the_successor_of_a_subscription_stays_paused() -> None:
    """A producer that is started again is not asked either; then resume asks it."""
    stage = stage_of(Told, max_demand=2)
    stage.cast(["pause"])
    stage.hang_up(1)
    stage.down("producer", restarting=True)
    stage.link_to_producer(2, "producer#2", max_demand=2)
    assert stage.asks(2) == []
    stage.cast(["resume"])
    assert stage.asks(2) == [2]
    # It was kept for one successor, and not for those after a resume.
    stage.hang_up(2)
    stage.down("producer#2", restarting=True)
    stage.link_to_producer(3, "producer#3", max_demand=2)
    assert stage.asks(3) == [2]


@pytest.mark.parametrize("resumed", ["in between", "afterwards"])
def test_a_stage_resumes_the_successor_by_the_handle_it_has(resumed: str) -> None:
    """A timer that was set before the restart lifts the pause all the same."""
    stage = stage_of(Told, max_demand=2)
    handle = stage.behaviour.subscription
    stage.cast(["pause"])
    for ref, generation in ((2, 2), (3, 3)):
        stage.hang_up(ref - 1)
        stage.down(f"producer#{generation - 1}", restarting=True)
        if resumed == "in between" and ref == 3:
            stage.behaviour.resume(handle)
        stage.link_to_producer(ref, f"producer#{generation}", max_demand=2)
    if resumed == "afterwards":
        assert stage.asks(3) == []
        stage.behaviour.resume(handle)
    assert stage.asks(3) == [2]


def test_what_is_kept_for_a_successor_is_forgotten_when_none_comes() -> None:
    """A later subscription to the same stage begins as it is declared."""
    stage = stage_of(Told, max_demand=2, cancel="temporary")
    stage.cast(["pause"])
    stage.down("producer", restarting=True)
    stage.down("producer", restarting=False)
    stage.link_to_producer(2, "producer#2", max_demand=2, cancel="temporary")
    assert stage.asks(2) == [2]


def test_a_paused_subscription_can_be_cancelled() -> None:
    """And nothing is asked on it afterwards, resumed or not."""
    stage = stage_of(Told, max_demand=2, cancel="temporary")
    stage.cast(["pause"])
    stage.route(1, [1, 2])
    stage.cast(["cancel"])
    stage.eos(1, "normal")
    stage.cast(["resume"])
    assert stage.asks(1) == [2]
    assert [reason for reason, _ in stage.calls("handle_cancel")] == [("cancel", "normal")]
    assert stage.exiting is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_paused_stage_ends_with_its_producer(kind: type[Any]) -> None:
    """The end of a stream needs no demand."""
    stage = stage_of(kind, max_demand=2)
    stage.cast(["pause"])
    stage.route(1, [1])
    stage.eos(1, "done")
    assert stage.behaviour.batches == [[1]]
    if kind is ToldBetween:
        stage.acknowledge(9)
    assert stage.exiting is not None


def test_a_drain_lifts_every_pause_for_good() -> None:
    """What is under way has to be processed, or the drain would never come to its end."""
    stage = stage_of(Told, max_demand=2)
    stage.cast(["pause"])
    stage.order(control.PauseSubscription(1, paused=True))
    stage.route(1, [1, 2])
    stage.order(control.Draining())
    assert stage.asks(1) == [2, 2]
    stage.cast(["pause"])
    stage.route(1, [3])
    assert stage.asks(1) == [2, 2, 1]


@pytest.mark.parametrize("what", [None, 7, "producer", ("ok", 1)])
def test_what_is_no_subscription_is_refused(what: Any) -> None:
    """At the call, by name, rule and value; a consumer's subscription is none to a producer."""
    stage = stage_of(Told)
    for verb in (stage.behaviour.pause, stage.behaviour.resume):
        with pytest.raises(OptionError, match="subscription must be a subscription to a producer"):
            verb(what)


# --- by hand, and by itself again -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_switched_to_manual_it_asks_only_when_told(kind: type[Any]) -> None:
    """What is under way still comes; a message is one batch; switched back it never asks twice."""
    stage = stage_of(kind, max_demand=10, min_demand=5)
    stage.route(1, range(4))
    stage.cast(["set_mode", "manual"])
    stage.route(1, range(4, 10))
    assert stage.asks(1) == [10]
    assert stage.behaviour.batches[-1] == list(range(4, 10))
    stage.cast(["ask", 7])
    assert stage.asks(1) == [10, 7]
    stage.route(1, range(10, 15))
    stage.cast(["set_mode", "automatic"])
    assert outstanding(stage) == 10
    assert stage.asks(1) == [10, 7, 8]


@pytest.mark.parametrize("kind", [Told, Manual, ToldBetween, ManualBetween])
def test_switched_back_with_more_under_way_than_the_window_holds(kind: type[Any]) -> None:
    """It asks again when no more than the minimum is left, and then up to the maximum."""
    stage = stage_of(kind, max_demand=10, min_demand=5)
    stage.cast(["set_mode", "manual"])
    stage.cast(["ask", 50 - sum(stage.asks(1))])
    stage.cast(["set_mode", "automatic"])
    assert outstanding(stage) == 50
    for first in range(0, 45, 5):
        asked = len(stage.asks(1))
        stage.route(1, range(first, first + 5))
        if first < 40:
            assert len(stage.asks(1)) == asked
    assert outstanding(stage) == 10


def test_switched_in_the_callback_between_two_batches() -> None:
    """The asks of batches that are still in hand are not sent, and not counted."""

    class Switches(Told):
        def handle_events(self, events: list[Any], subscription: Any) -> None:
            super().handle_events(events, subscription)
            if events == [0, 1]:
                self.set_mode(subscription, "manual")

    stage = stage_of(Switches, max_demand=6, min_demand=4)
    stage.route(1, range(6))
    assert stage.behaviour.batches == [[0, 1], [2, 3], [4, 5]]
    assert stage.asks(1) == [6, 2]
    stage.cast(["set_mode", "automatic"])
    assert stage.asks(1) == [6, 2, 4]
    assert outstanding(stage) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_any_sequence_of_switches_keeps_the_window(kind: type[Any]) -> None:
    """Law 5: with manual asks of no more than is missing, never more than the maximum is open."""
    stage = stage_of(kind, max_demand=8, min_demand=3)
    sent = 0
    for turn in range(60):
        open_now = outstanding(stage)
        assert 0 <= open_now <= 8
        if turn % 3 == 0 and open_now:
            size = min(1 + turn % 5, open_now)
            stage.route(1, range(sent, sent + size))
            sent += size
        elif turn % 3 == 1:
            stage.cast(["set_mode", "manual" if turn % 2 else "automatic"])
        elif turn % 2:
            stage.cast(["ask", 8 - open_now])
    stage.cast(["set_mode", "automatic"])
    assert 3 < outstanding(stage) <= 8


def test_asks_by_hand_wait_while_paused() -> None:
    """They are sent, all together, when the subscription is resumed."""
    stage = stage_of(Manual)
    stage.cast(["pause"])
    stage.cast(["ask", 3])
    stage.cast(["ask", 4])
    assert stage.asks(1) == []
    stage.cast(["resume"])
    assert stage.asks(1) == [7]


def test_an_adaptive_window_learns_on_while_it_is_manual() -> None:
    """Switched back it is as wide as it would be, and its books are right."""
    stage = stage_of(Told, max_demand="auto")
    stage.cast(["set_mode", "manual"])
    for turn in range(30):
        stage.cast(["ask", 5])
        stage.route(1, [turn] * 5)
    stage.cast(["set_mode", "automatic"])
    window = stage.machine.consuming.subscriptions[1].automatic  # type: ignore[union-attr]
    assert window.max_demand == 2 + 150 // SHARE
    assert outstanding(stage) == window.max_demand == window.outstanding


def test_a_mode_that_does_not_exist() -> None:
    """It is refused where it is given."""
    stage = stage_of(Told)
    with pytest.raises(OptionError, match="mode must be automatic or manual, got 'sometimes'"):
        stage.behaviour.set_mode(stage.behaviour.subscription, "sometimes")


def test_a_stage_that_finishes_later_has_one_mode() -> None:
    """Its windows count something else."""

    class Later(Told):
        finishes_later = True

    stage = stage_of(Later, max_demand=4)
    with pytest.raises(OptionError, match="mode must be left as it is"):
        stage.behaviour.set_mode(stage.behaviour.subscription, "manual")


# --- limited in rate ------------------------------------------------------------------------------


class Source:
    """A producer with endless events that answers every ask at once."""

    def __init__(self, stage: StageHarness, ref: int = 1, sent: int = 0) -> None:
        self.stage, self.ref, self.sent = stage, ref, sent

    def run(self, seconds: float) -> int:
        """Let time pass, answering on the way; returns how many events were sent."""
        before, clock = self.sent, self.stage.clock
        until = clock() + seconds
        self.answer()
        while (due := self.stage.machine.next_due()) is not None and due <= until:
            self.stage.advance(max(0.0, due - clock()))
            self.answer()
        self.stage.advance(until - clock())
        return self.sent - before

    def answer(self) -> None:
        """Send what is asked for and was not sent."""
        while (due := sum(self.stage.asks(self.ref)) - self.sent) > 0:
            self.stage.route(self.ref, range(self.sent, self.sent + due))
            self.sent += due


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("demand", [1, 5, 100, "auto"])
def test_events_take_the_time_that_their_rate_says(kind: type[Any], demand: Any) -> None:
    """To the event: a burst at once, then one every tenth of a second."""
    stage = stage_of(kind, max_demand=demand, rate=10, burst=3)
    source = Source(stage)
    assert source.run(0.05) == 3
    for tick in range(100):
        assert source.run(0.1) == 1, f"after {tick / 10} s"
    assert stage.behaviour.batches == [[each] for each in range(103)] or demand != 1


def test_a_slow_producer_cannot_save_up() -> None:
    """However long nothing comes, at most a burst is asked for, and comes at once."""
    stage = stage_of(Told, max_demand=100, rate=10, burst=3)
    stage.advance(60)
    assert stage.asks(1) == [3]
    stage.route(1, [1, 2, 3])
    assert stage.asks(1) == [3]
    stage.advance(0.1)
    assert stage.asks(1) == [3, 1]


@pytest.mark.parametrize("by", ["stage", "program"])
def test_the_rate_may_change_while_it_runs(by: str) -> None:
    """Slower, faster, and without a limit; what is under way counts."""
    stage = stage_of(Told, max_demand=20, min_demand=19)
    source = Source(stage, sent=20)

    def limit(*given: Any) -> None:
        if by == "stage":
            stage.cast(["set_rate", *given])
        else:
            stage.order(control.SetRate(1, *given))

    limit(10, 2)
    stage.route(1, range(20))
    assert source.run(1.85) == 0  # the twenty that came at once have to be paid for
    assert source.run(1) == 10
    limit(40, 4)
    assert source.run(1) == 40
    limit(5, 1)
    assert source.run(2) == 10
    limit(None)
    assert outstanding(stage) == 20
    stage.route(1, [1] * 20)
    assert outstanding(stage) == 20


def test_a_limit_in_the_callback_between_two_batches() -> None:
    """Asks that batches in hand have earned are limited too, and counted once."""

    class Limits(Told):
        def handle_events(self, events: list[Any], subscription: Any) -> None:
            super().handle_events(events, subscription)
            if events == [0, 1]:
                self.set_rate(subscription, 10, burst=1)

    stage = stage_of(Limits, max_demand=6, min_demand=4)
    stage.route(1, range(6))
    assert stage.asks(1) == [6, 2]
    stage.route(1, [6, 7])
    assert Source(stage, sent=8).run(10.05) == 99  # one token is missing, for the second of the two
    assert set(stage.asks(1)[2:]) == {1}


def test_a_limit_means_nothing_while_the_stage_asks_itself() -> None:
    """And holds again when it does not, what is under way included."""
    stage = stage_of(Manual, max_demand=10, rate=1, burst=2)
    stage.cast(["ask", 5])
    assert stage.asks(1) == [5]
    stage.cast(["set_mode", "automatic"])
    assert stage.asks(1) == [5]
    stage.route(1, range(5))
    stage.advance(3.5)
    assert sum(stage.asks(1)) == 5
    stage.advance(1)
    assert sum(stage.asks(1)) == 6


def test_a_limit_set_by_the_stage_outlives_its_producer() -> None:
    """A successor is asked at the same rate; the program's word counts when it is the last."""
    stage = stage_of(Told, max_demand=10, rate=1, burst=1)
    stage.cast(["set_rate", 5, 4])
    stage.hang_up(1)
    stage.down("producer", restarting=True)
    stage.link_to_producer(2, "producer#2", max_demand=10, rate=1, burst=1)
    assert stage.asks(2) == [4]
    stage.order(control.SetRate(2, 3, 2))
    stage.hang_up(2)
    stage.down("producer#2", restarting=True)
    stage.link_to_producer(3, "producer#3", max_demand=10, rate=3, burst=2)
    assert stage.asks(3) == [2]


def test_each_subscription_has_a_rate_of_its_own() -> None:
    """Two producers, one limited and one not."""
    stage = StageHarness(Forwarder)
    stage.link_to_producer(1, "slow", max_demand=10, rate=2, burst=1)
    stage.link_to_producer(2, "fast", max_demand=10)
    assert (stage.asks(1), stage.asks(2)) == ([1], [10])


def test_a_stage_that_finishes_later_can_be_limited() -> None:
    """Each event that is begun costs a token."""

    class Later(Told):
        finishes_later = True

    stage = stage_of(Later, max_demand=10, rate=10, burst=2)
    assert stage.asks(1) == [2]
    stage.route(1, [1, 2])
    stage.advance(0.1)
    assert stage.asks(1) == [2, 1]


def test_a_paused_and_limited_subscription_waits_for_both() -> None:
    """Tokens that come while it is paused are there when it is resumed."""
    stage = stage_of(Told, max_demand=10, min_demand=9, rate=10, burst=2)
    stage.cast(["pause"])
    stage.route(1, [1, 2])
    stage.advance(60)
    assert stage.asks(1) == [2]
    stage.cast(["resume"])
    assert stage.asks(1) == [2, 2]


def test_a_producer_can_refuse_a_bad_rate_too() -> None:
    """A peer that is not this library is told."""
    producer = StageHarness(Counter)
    producer.subscribe(1, "sink", rate=0)
    assert producer.eos_reasons(1)[0][0] == "bad_option"
